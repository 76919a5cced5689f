# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""One image that fails stops no other; what several images share fails all of them and nobody else."""

import io
from dataclasses import replace
from pathlib import Path

import pytest

from buildkit.bake import BakeFolders, bake_file, target_of
from buildkit.bakery import Bakery, Outcome
from buildkit.engine import BuilderError
from buildkit.prepare import make_contexts, toolset
from stackway.console import PlainReporter
from stackway.files import write_json
from tests.fakes.builder import FakeBuilder
from tests.fakes.checkout import FakeCheckout

KEYSTONE, OLD, GLANCE, MEMCACHED = "keystone:2026.1", "keystone:2025.1", "glance:2026.1", "memcached:1.6"
ALL = {KEYSTONE, OLD, GLANCE, MEMCACHED}
ERROR = "process did not complete successfully: exit code: 1"


class Kitchen:
    """A checkout laid out as far as the bakery needs it, with a reporter that can be read."""

    def __init__(self, root: Path) -> None:
        fake = FakeCheckout(root)
        fake.lock()
        self.said = io.StringIO()
        self.checkout = replace(fake.open(), reporter=PlainReporter(self.said))
        catalog = self.checkout.catalog
        self.contexts = list(make_contexts(catalog, catalog.select([]), toolset()).values())
        workspace = self.checkout.workspace
        for context in self.contexts:
            path = workspace.context / f"dockerfiles/{context.slug}.Dockerfile"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(context.dockerfile)
        plan = bake_file(self.contexts, BakeFolders(workspace.context, workspace.folder / "output"))
        write_json(workspace.folder / "bake.json", plan)

    def bake(self, builder: FakeBuilder, *, cached: bool = True) -> Outcome:
        outcome = Outcome()
        Bakery(self.checkout, builder, outcome, cached=cached).bake(self.contexts)
        return outcome

    def built(self) -> set[str]:
        output = self.checkout.workspace.output
        return {item.service.image for item in self.contexts if (output(item.slug) / "index.json").exists()}


@pytest.fixture
def kitchen(tmp_path: Path) -> Kitchen:
    return Kitchen(tmp_path)


def test_all_images_are_built_in_one_run(kitchen: Kitchen) -> None:
    builder = FakeBuilder()
    outcome = kitchen.bake(builder)
    assert (outcome.failures, kitchen.built()) == ({}, ALL)
    assert outcome.seconds.keys() == outcome.logs.keys() == ALL
    ((targets, cached),) = builder.runs
    assert (len(targets), cached) == (8, True)
    said = kitchen.said.getvalue()
    assert said.count("built and checked") == 4
    assert said.index("images to build: 4, with a fake") < said.index("takes in packages and files")


@pytest.mark.parametrize(
    ("slug", "stage", "failed"),
    [
        ("keystone-2026.1", "python-own", {KEYSTONE}),
        ("memcached-1.6", "image", {MEMCACHED}),
        ("keystone-2025.1", "bootstrap", {OLD}),
        ("keystone-2026.1", "python-common", {KEYSTONE, GLANCE}),
        ("keystone-2026.1", "interpreter", {KEYSTONE, GLANCE}),
        ("keystone-2026.1", "bootstrap", {KEYSTONE, GLANCE, MEMCACHED}),
    ],
)
def test_a_broken_stage_fails_all_that_share_it_and_no_other(
    kitchen: Kitchen, slug: str, stage: str, failed: set[str]
) -> None:
    builder = FakeBuilder(broken={(slug, stage): ERROR})
    outcome = kitchen.bake(builder)
    assert outcome.failures.keys() == failed
    assert kitchen.built() == ALL - failed
    assert [len(targets) for targets, _ in builder.runs] == [8, 2 * len(ALL - failed)]


def test_a_failure_is_told_with_step_error_and_log(kitchen: Kitchen) -> None:
    outcome = kitchen.bake(FakeBuilder(broken={("keystone-2026.1", "python-own"): ERROR}))
    assert outcome.failures[KEYSTONE].splitlines() == [
        f"step python-own: {ERROR}",
        "RUN python-own",
        "output of [keystone-2026_1 python-own 1/1] RUN python-own",
    ]
    assert f"step python-own: {ERROR}" in kitchen.said.getvalue()


def test_images_that_fail_one_after_the_other_are_all_told(kitchen: Kitchen) -> None:
    broken = {("keystone-2026.1", "python-own"): "one", ("glance-2026.1", "python-own"): "two"}
    builder = FakeBuilder(broken=broken)
    assert kitchen.bake(builder).failures.keys() == {KEYSTONE, GLANCE}
    assert kitchen.built() == {OLD, MEMCACHED}
    assert len(builder.runs) == 3


def test_when_all_fail_nothing_is_run_again(kitchen: Kitchen) -> None:
    broken = {("keystone-2026.1", "bootstrap"): "one", ("keystone-2025.1", "bootstrap"): "two"}
    builder = FakeBuilder(broken=broken)
    assert kitchen.bake(builder).failures.keys() == ALL
    assert (len(builder.runs), kitchen.built()) == (2, set())


def test_a_build_without_cache_keeps_what_its_first_run_made(kitchen: Kitchen) -> None:
    builder = FakeBuilder(broken={("keystone-2026.1", "python-own"): ERROR})
    kitchen.bake(builder, cached=False)
    assert [cached for _, cached in builder.runs] == [False, True]


@pytest.mark.parametrize(
    ("report", "details"),
    [
        ("+ id\nINFO: noise\nFAILED: import keystone\nexit code 1\n", "+ id\nFAILED: import keystone\nexit code 1"),
        ("+ id\n", "+ id"),
        ("\n".join(map(str, range(40))) + "\n", "\n".join(map(str, range(15, 40)))),
    ],
)
def test_a_failed_check_fails_its_image_alone(kitchen: Kitchen, report: str, details: str) -> None:
    outcome = kitchen.bake(FakeBuilder(reports={"keystone-2026.1": report}))
    assert outcome.failures == {KEYSTONE: f"a check failed\n{details}"}


def test_a_log_holds_every_step_of_its_image_and_its_checks(kitchen: Kitchen) -> None:
    outcome = kitchen.bake(FakeBuilder(broken={("keystone-2026.1", "python-own"): ERROR}))
    log = Path(outcome.logs[KEYSTONE]).read_text()
    assert "[python-common] RUN python-common" in log
    assert (
        f"[python-own] RUN python-own\n    output of [keystone-2026_1 python-own 1/1] RUN python-own\n  {ERROR}, 1.5 s\n"
        in log
    )
    assert "memcached" not in log
    assert Path(outcome.logs[MEMCACHED]).read_text().endswith("checks:\n+ id\nexit code 0\n")


@pytest.mark.parametrize("words", ["ERROR: no space left on device", "panic: runtime error"])
def test_a_builder_that_names_no_step_is_the_failure(kitchen: Kitchen, words: str) -> None:
    with pytest.raises(BuilderError, match="without naming a step") as caught:
        kitchen.bake(FakeBuilder(words=words))
    assert caught.value.details == words
    assert "release doctor" in caught.value.resolution


def test_a_failed_step_of_nobody_is_the_builder_s_failure(kitchen: Kitchen) -> None:
    stranger, kitchen.contexts = kitchen.contexts[0], kitchen.contexts[1:]
    line = '{"vertexes": [{"digest": "1", "name": "[%s os 1/1] RUN x", "error": "broken"}]}'
    with pytest.raises(BuilderError, match="belongs to no image") as caught:
        kitchen.bake(FakeBuilder(words=line % target_of(stranger)))
    assert caught.value.details == "step os: broken\nRUN x"
