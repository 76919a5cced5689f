# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The bake plan of two images as a whole, and what the builder's progress tells of steps, failures and images."""

import base64
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

import pytest

from buildkit.bake import BakeFolders, Progress, Step, bake_file, owners, target_of
from buildkit.context import BuildContext
from buildkit.prepare import make_contexts, toolset
from tests.fakes.checkout import EPOCH, FakeCheckout
from tests.fakes.dockerfiles import instructions

START = datetime(2026, 6, 1, 12, tzinfo=UTC)
FOLDERS = BakeFolders(PurePosixPath("/b/context"), PurePosixPath("/b/output"))
KEYSTONE, OLD_KEYSTONE, GLANCE, MEMCACHED = "keystone:2026.1", "keystone:2025.1", "glance:2026.1", "memcached:1.6"


_BOOTSTRAP = {"bootstrap:trixie": "oci-layout:///b/context/bootstrap/trixie:bootstrap"}
NAMED = {
    "keystone-2026.1": {
        **_BOOTSTRAP,
        "debs-trixie-os": "/b/context/debs/trixie-os",
        "debs-trixie-interpreter": "/b/context/debs/trixie-interpreter",
        "packages-2026.1-common": "/b/context/python/2026.1-common",
        "packages-keystone-2026.1-own": "/b/context/python/keystone-2026.1-own",
        "tools": "/b/context/tools",
    },
    "memcached-1.6": {
        **_BOOTSTRAP,
        "debs-trixie-os": "/b/context/debs/trixie-os",
        "debs-memcached-1.6": "/b/context/debs/memcached-1.6",
    },
}


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BuildContext]:
    checkout = FakeCheckout(tmp_path_factory.mktemp("checkout"))
    checkout.lock()
    catalog = checkout.catalog()
    return make_contexts(catalog, catalog.select([]), toolset())


def target(slug: str, stage: str, output: str) -> dict[str, Any]:
    return {
        "context": "/b/context",
        "contexts": NAMED[slug],
        "dockerfile": f"dockerfiles/{slug}.Dockerfile",
        "args": {"SOURCE_DATE_EPOCH": EPOCH},
        "platforms": ["linux/amd64"],
        "target": stage,
        "output": [output],
    }


def oci(slug: str) -> str:
    return f"type=oci,tar=false,dest=/b/output/{slug},compression=zstd,force-compression=true"


def test_the_plan_of_two_images(contexts: dict[str, BuildContext]) -> None:
    assert bake_file([contexts[KEYSTONE], contexts[MEMCACHED]], FOLDERS) == {
        "group": {
            "default": {"targets": ["keystone-2026_1", "keystone-2026_1-smoke", "memcached-1_6", "memcached-1_6-smoke"]}
        },
        "target": {
            "keystone-2026_1": target("keystone-2026.1", "image", oci("keystone-2026.1")),
            "keystone-2026_1-smoke": target(
                "keystone-2026.1", "report", "type=local,dest=/b/output/keystone-2026.1-smoke"
            ),
            "memcached-1_6": target("memcached-1.6", "image", oci("memcached-1.6")),
            "memcached-1_6-smoke": target("memcached-1.6", "report", "type=local,dest=/b/output/memcached-1.6-smoke"),
        },
    }


def test_dockerfiles_mount_from_stages_and_from_the_named_contexts_of_their_target(
    contexts: dict[str, BuildContext],
) -> None:
    for context in contexts.values():
        (plan, _) = bake_file([context], FOLDERS)["target"].values()
        stages = {item.rest.split(" AS ")[1] for item in instructions(context.dockerfile) if item.keyword == "FROM"}
        used = set(re.findall(r"(?:--mount=[^ ]*|^FROM |--)from=([^ ,]+)", context.dockerfile))
        assert used - stages == {name for name in plan["contexts"] if not name.startswith("bootstrap:")}
        assert f"FROM bootstrap:{context.base.name} AS bootstrap" in context.dockerfile


def test_checks_that_failed_are_run_anew(contexts: dict[str, BuildContext]) -> None:
    again = replace(FOLDERS, again=frozenset({"keystone-2026.1"}))
    targets = bake_file([contexts[KEYSTONE], contexts[GLANCE]], again)["target"]
    found = {name: value["no-cache-filter"] for name, value in targets.items() if "no-cache-filter" in value}
    assert found == {"keystone-2026_1-smoke": ["smoke"]}


def test_each_stage_that_is_built_is_in_the_dockerfile(contexts: dict[str, BuildContext]) -> None:
    for context in contexts.values():
        for entry in bake_file([context], FOLDERS)["target"].values():
            assert f" AS {entry['target']}\n" in context.dockerfile


def vertex(name: str, digest: str = "sha256:1", **values: Any) -> str:
    """Return a line of rawjson that tells of one vertex."""
    return json.dumps({"vertexes": [{"digest": digest, "name": name, **values}]})


def log(text: bytes, digest: str = "sha256:1") -> str:
    data = base64.b64encode(text).decode()
    return json.dumps({"logs": [{"vertex": digest, "stream": 1, "data": data, "timestamp": START.isoformat()}]})


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def fed(*lines: str) -> Progress:
    progress = Progress()
    for line in lines:
        progress.feed(line)
    return progress


NAME = "[keystone-2026_1 python-own 2/3] RUN --network=none     sh /mnt/x.sh"


def test_a_step_is_told_of_bit_by_bit() -> None:
    progress = fed(
        vertex(NAME), vertex(NAME, started=at(0)), log(b"one\ntwo\n"), vertex(NAME, started=at(0), completed=at(2.5))
    )
    (step,) = progress.steps.values()
    assert (step.target, step.stage, step.text) == (
        "keystone-2026_1",
        "python-own",
        "RUN --network=none     sh /mnt/x.sh",
    )
    assert (step.seconds, step.log, step.cached) == (2.5, ["one", "two"], False)
    assert str(step) == "[python-own] RUN --network=none     sh /mnt/x.sh"


def test_a_step_of_the_checks_belongs_to_the_image() -> None:
    (step,) = fed(vertex("[keystone-2026_1-smoke smoke 1/1] RUN sh /mnt/check.sh", cached=True)).steps.values()
    assert (step.target, step.stage, step.cached, step.seconds) == ("keystone-2026_1", "smoke", True, 0.0)


def test_a_command_of_many_lines_is_one_step() -> None:
    (step,) = fed(vertex("[nova-1 os 1/2] RUN a &&\n  b")).steps.values()
    assert step.text == "RUN a &&\n  b"


@pytest.mark.parametrize("started", [at(0), None])
def test_the_transfer_of_the_context_is_told_but_no_step(started: str | None) -> None:
    progress = Progress()
    (told,) = progress.feed(vertex("[keystone-2026_1 internal] load build context", started=started))
    assert (told.stage, told.target, told.started is None) == ("context", "", started is None)
    assert progress.steps == {}


@pytest.mark.parametrize(
    ("line", "other"),
    [
        ("ERROR: failed to solve", ["ERROR: failed to solve"]),
        ("[1, 2]", ["[1, 2]"]),
        ("{broken", ["{broken"]),
        (vertex("[internal] load metadata"), []),
        (vertex("exporting to image", error="no space left"), ["exporting to image: no space left"]),
        (json.dumps({"statuses": [{"id": "x", "vertex": "sha256:1", "current": 1}]}), []),
        (json.dumps({"vertexes": None, "logs": None}), []),
        (log(b"of nobody", "sha256:unknown"), []),
    ],
)
def test_what_is_no_step_is_kept_when_it_says_something(line: str, other: list[str]) -> None:
    progress = fed(line)
    assert (progress.other, progress.steps) == (other, {})


def test_a_log_that_is_not_base64_or_not_text_is_kept() -> None:
    plain = json.dumps({"logs": [{"vertex": "sha256:1", "data": "plain text!"}]})
    (step,) = fed(vertex(NAME), plain, log(b"\xff\n")).steps.values()
    assert step.log == ["plain text!", "\N{REPLACEMENT CHARACTER}"]


def test_cancelled_steps_are_no_failures() -> None:
    progress = fed(
        vertex("[a-1 os 1/1] RUN x", "sha256:1", error="process did not complete: exit code: 1"),
        vertex("[b-1 os 1/1] RUN y", "sha256:2", error="context canceled"),
        vertex("[c-1 os 1/1] RUN z", "sha256:3", error="operation cancelled"),
        vertex("[d-1 os 1/1] RUN w", "sha256:4", completed=at(1)),
    )
    assert [step.target for step in progress.failures()] == ["a-1"]


def test_progress_is_the_share_of_known_steps_that_are_done() -> None:
    lines = [vertex("[a-1 os 1/2] x", "sha256:1", completed=at(1)), vertex("[a-1 os 2/2] y", "sha256:2")]
    assert [fed(*lines[:count]).done() for count in (0, 1, 2)] == [0.0, 1.0, 0.5]


@pytest.mark.parametrize(
    ("image", "stage", "expected"),
    [
        (KEYSTONE, "bootstrap", {KEYSTONE, GLANCE, MEMCACHED}),
        (KEYSTONE, "os", {KEYSTONE, GLANCE, MEMCACHED}),
        (MEMCACHED, "os", {KEYSTONE, GLANCE, MEMCACHED}),
        (OLD_KEYSTONE, "os", {OLD_KEYSTONE}),
        (KEYSTONE, "interpreter", {KEYSTONE, GLANCE}),
        (KEYSTONE, "python-common", {KEYSTONE, GLANCE}),
        (KEYSTONE, "python-own", {KEYSTONE}),
        (OLD_KEYSTONE, "python-own", {OLD_KEYSTONE}),
        (KEYSTONE, "image", {KEYSTONE}),
        (KEYSTONE, "smoke", {KEYSTONE}),
        (MEMCACHED, "image", {MEMCACHED}),
    ],
)
def test_a_step_belongs_to_all_images_that_share_its_stage(
    contexts: dict[str, BuildContext], image: str, stage: str, expected: set[str]
) -> None:
    step = Step(target_of(contexts[image]), stage, "RUN x")
    assert {context.service.image for context in owners(step, contexts.values())} == expected


def test_a_step_of_an_unknown_target_belongs_to_nobody(contexts: dict[str, BuildContext]) -> None:
    assert owners(Step("nova-2026_1", "os", "RUN x"), contexts.values()) == []
