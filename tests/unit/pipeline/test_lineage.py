# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The way from a pod to the lines it was made from: complete when all holds, broken just where something does not."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

import pytest

from buildkit.catalog import load_catalog
from pipeline.lineage import Node, Origin, State, Subject, trace
from pipeline.sight import digest_of, key_of
from pipeline.sources import Sources
from pipeline.tracing import sources_of
from releases.records import Chain, Pin
from tests.fakes.chains import PINS, Book
from tests.fakes.sights import healthy
from tests.fakes.sites import ROOT, content

KEY = ("glance", "api")
OWN = Pin("2026.1.0", content().digest)
OTHER = f"sha256:{'1' * 64}"


@cache
def chain(*pins: Pin) -> Chain:
    book = Book()
    for pin in pins:
        book.promote(pin)
    return book.trusting()


@cache
def sources() -> Sources:
    return sources_of(cast("Any", SimpleNamespace(catalog=load_catalog(ROOT))), content())


def subject(**other: Any) -> Subject:
    """Return a pod of glance's API, and what is around it."""
    seen = healthy()
    pod, workload = (next(item for item in seen.all(kind) if key_of(item) == KEY) for kind in ("Pod", "Deployment"))
    image = pod["spec"]["containers"][0]["image"]
    addresses = tuple(item for item in seen.all("Service") if key_of(item) == KEY)
    found = Subject("dev", image, *KEY, pod, workload, addresses, seen.names)
    return replace(found, **other)


def origin(*pins: Pin, **other: Any) -> Origin:
    return replace(Origin(content(), ("owner",), "", chain(*(pins or (OWN,)))), **other)


def walk(node: Node) -> Iterator[Node]:
    yield node
    for item in node.children:
        yield from walk(item)


def states(node: Node) -> dict[str, State]:
    """Return the steps that do not hold."""
    return {item.kind: item.state for item in walk(node) if item.state is not State.HOLDS}


def test_way_of_a_pod_that_is_as_it_should_be_holds_to_its_lines() -> None:
    node = trace(subject(), origin(), sources())
    assert node.is_sound
    kinds = [item.kind for item in walk(node)]
    assert kinds[:2] == ["Pod", "Deployment"]
    assert {"ConfigMap", "Secret", "image", "release", "record", "provenance", "line", "file"} <= {*kinds}
    assert states(node) == {}


def test_every_step_of_the_way_is_in_the_text_and_in_the_data() -> None:
    node = trace(subject(), origin(), sources())
    lines = list(node.lines())
    assert len(lines) == sum(1 for _ in walk(node))
    assert all(item.name in line for item, line in zip(walk(node), lines, strict=True))
    assert json.loads(json.dumps(node.to_dict()))["kind"] == "Pod"


def test_tree_is_drawn_with_its_branches() -> None:
    leaf = Node("leaf", "x", "sha256:1", "a note")
    tree = Node("root", "r", children=(Node("a", "1", children=(leaf,)), Node("b", "2", state=State.BROKEN)))
    assert list(tree.lines()) == ["root r", "├─ a 1", "│  └─ leaf x  sha256:1  a note", "└─ [BROKEN] b 2"]


@pytest.mark.parametrize(
    ("state", "is_sound"),
    [(State.HOLDS, True), (State.DIFFERS, True), (State.UNKNOWN, False), (State.BROKEN, False)],
)
def test_way_is_sound_when_all_of_it_is(state: State, is_sound: bool) -> None:  # noqa: FBT001
    assert Node("a", "1", children=(Node("b", "2", children=(Node("c", "3", state=state),)),)).is_sound is is_sound


@pytest.mark.parametrize(
    ("given", "broken"),
    [
        (origin(content=None), {"release": State.BROKEN}),
        (origin(trouble="its signature is wrong"), {"release": State.BROKEN}),
        (origin(PINS[1]), {"record": State.BROKEN}),
        (origin(OWN, PINS[1]), {"record": State.DIFFERS}),
    ],
)
def test_way_breaks_where_a_release_or_its_record_does_not_hold(given: Origin, broken: dict[str, State]) -> None:
    assert states(trace(subject(), given, sources())) == broken


def test_record_is_the_newest_that_pinned_the_release() -> None:
    node = trace(subject(), origin(OWN, PINS[1], OWN), sources())
    (record,) = (item for item in walk(node) if item.kind == "record")
    assert (record.name, record.state) == ("3 of prod", State.HOLDS)
    assert "pinned now" in record.note


def test_image_of_no_release_leads_nowhere() -> None:
    node = trace(subject(image=f"x/glance@{OTHER}"), origin(), sources())
    assert states(node)["release"] is State.BROKEN
    assert not any(item.kind == "provenance" for item in walk(node))


def test_node_that_runs_another_image_than_the_pod_names_is_told() -> None:
    found = subject()
    assert found.pod is not None
    for own, is_sound in ((f"docker-pullable://x@{found.digest}", True), (f"x@{OTHER}", False), ("", True)):
        found.pod["status"]["containerStatuses"] = [{"imageID": own}]
        assert trace(found, origin(), sources()).is_sound is is_sound


@pytest.mark.parametrize(
    ("names", "state"), [({}, State.UNKNOWN), ({"ConfigMap": frozenset(), "Secret": frozenset()}, State.BROKEN)]
)
def test_configuration_is_looked_for_and_never_taken_for_granted(names: Any, state: State) -> None:
    node = trace(subject(names=names), origin(), sources())
    assert states(node) == {"ConfigMap": state, "Secret": state}


def test_pod_without_a_workload_names_its_own_configuration() -> None:
    node = trace(subject(workload=None), origin(), sources())
    assert {"ConfigMap", "Secret", "image"} == {item.kind for item in node.children}


def test_service_that_leads_to_another_revision_is_not_named() -> None:
    found = subject()
    selector = found.addresses[0]["spec"]["selector"]
    selector["stackway.dev/revision"] = "another"
    (workload,) = trace(found, origin(), sources()).children
    assert "behind Service" not in workload.note


def test_without_a_checkout_the_lines_are_unknown() -> None:
    node = trace(subject(), origin(), None)
    assert states(node) == {"provenance": State.UNKNOWN, "spec": State.UNKNOWN}


def test_image_by_its_digest_begins_with_itself_and_names_who_uses_it() -> None:
    digest = digest_of(subject().image)
    node = trace(Subject("dev", digest, users=("Deployment a",)), origin(), sources())
    assert (node.kind, node.digest, node.children[0].name) == ("image", digest, "Deployment a")
    assert node.is_sound
