# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Plans: which images are built, and the words that say why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit.plan import ActionKind, BuildAction, BuildPlan, BuildRecord, Known, explain, plan_build

BUILD, KEEP = ActionKind.BUILD, ActionKind.KEEP
IMAGE = "keystone:2026.1"
ARROW = "\N{RIGHTWARDS ARROW}"


def digest(letter: str) -> str:
    return "sha256:" + letter * 64


DIGEST = digest("d")
INPUTS = {
    "Dockerfile": digest("1"),
    "epoch": "1700000000",
    "label org.example.team": "identity",
    "Python package requests": f"2.32.4 {digest('2')}",
    "file /etc/x.ini": f"644 {digest('3')}",
}
RECORDED = Known({IMAGE: BuildRecord(IMAGE, INPUTS, DIGEST)}, {})
DAMAGED = Known(RECORDED.records, {IMAGE: "blob sha256:ab is missing from the store"})
NEWER = {"Python package requests": f"2.32.5 {digest('4')}"}


@pytest.mark.parametrize(
    ("inputs", "known", "force", "action"),
    [
        (INPUTS, Known({}, {}), "", BuildAction(IMAGE, BUILD, ("it was never built here",))),
        (INPUTS, RECORDED, "", BuildAction(IMAGE, KEEP, ("nothing it is made of has changed",), DIGEST)),
        (
            dict(reversed(INPUTS.items())),
            RECORDED,
            "",
            BuildAction(IMAGE, KEEP, ("nothing it is made of has changed",), DIGEST),
        ),
        (
            {**INPUTS, **NEWER},
            RECORDED,
            "",
            BuildAction(IMAGE, BUILD, (f"Python package requests 2.32.4 {ARROW} 2.32.5",)),
        ),
        (
            {**INPUTS, "label org.example.team": "core", "Dockerfile": digest("9")},
            RECORDED,
            "",
            BuildAction(IMAGE, BUILD, (f"label org.example.team identity {ARROW} core",)),
        ),
        (
            {**INPUTS, "file /etc/x.ini": f"644 {digest('9')}"},
            RECORDED,
            "",
            BuildAction(IMAGE, BUILD, ("file /etc/x.ini changed",)),
        ),
        ({**INPUTS, "Dockerfile": digest("9")}, RECORDED, "", BuildAction(IMAGE, BUILD, ("Dockerfile changed",))),
        (INPUTS, DAMAGED, "", BuildAction(IMAGE, BUILD, ("blob sha256:ab is missing from the store",))),
        (INPUTS, RECORDED, "you asked for it", BuildAction(IMAGE, BUILD, ("you asked for it",))),
        (
            INPUTS,
            Known({}, {IMAGE: "it is not in the store"}),
            "",
            BuildAction(IMAGE, BUILD, ("it was never built here",)),
        ),
    ],
)
def test_a_situation_gives_a_plan(inputs: dict[str, str], known: Known, force: str, action: BuildAction) -> None:
    assert plan_build({IMAGE: inputs}, known, force=force) == BuildPlan((action,))


def test_a_plan_goes_by_name_and_leaves_other_records_alone() -> None:
    plan = plan_build({"nova:2026.1": INPUTS, "glance:2026.1": INPUTS, IMAGE: INPUTS}, RECORDED)
    assert [(action.image, action.kind) for action in plan.actions] == [
        ("glance:2026.1", BUILD),
        (IMAGE, KEEP),
        ("nova:2026.1", BUILD),
    ]
    assert [action.image for action in plan.builds] == ["glance:2026.1", "nova:2026.1"]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"a": "1"}, {"a": "1"}, []),
        ({}, {"a": "1"}, ["a is new"]),
        ({"a": "1"}, {}, ["a is gone"]),
        ({"a": "1"}, {"a": "2"}, [f"a 1 {ARROW} 2"]),
        ({"a": digest("1")}, {"a": digest("2")}, ["a changed"]),
        ({"a": f"1 {digest('1')}"}, {"a": f"1 {digest('2')}"}, ["a changed"]),
        ({"a": f"644 {digest('1')}"}, {"a": f"600 {digest('1')}"}, [f"a 644 {ARROW} 600"]),
        ({"Dockerfile": "x", "z": "1"}, {"Dockerfile": "y", "a": "1"}, ["a is new", "z is gone"]),
        ({"Dockerfile": digest("1")}, {"Dockerfile": digest("2")}, ["Dockerfile changed"]),
    ],
)
def test_differences_are_told_in_words(before: dict[str, str], after: dict[str, str], words: list[str]) -> None:
    assert explain(before, after) == words


INPUT_SETS = st.dictionaries(st.sampled_from(["Dockerfile", "a", "b"]), st.sampled_from(["1", "2"]))


@given(INPUT_SETS, INPUT_SETS)
def test_whatever_differs_is_built_with_a_reason(before: dict[str, str], after: dict[str, str]) -> None:
    (action,) = plan_build({IMAGE: after}, Known({IMAGE: BuildRecord(IMAGE, before, DIGEST)}, {})).actions
    assert (action.kind is KEEP) == (before == after)
    assert action.reasons
    assert all(action.reasons)


@pytest.mark.parametrize(
    ("reasons", "line"),
    [
        (("a",), "a"),
        (("a", "b", "c"), "a; b; c"),
        (("a", "b", "c", "d", "e"), "a; b; c; and 2 more"),
    ],
)
def test_many_reasons_are_cut_short_in_a_line(reasons: tuple[str, ...], line: str) -> None:
    action = BuildAction(IMAGE, BUILD, reasons)
    assert action.reason == line
    assert BuildPlan((action,)).to_dict()["actions"][0]["reasons"] == list(reasons)


def test_a_plan_is_shown_as_table_and_as_data() -> None:
    plan = plan_build({IMAGE: INPUTS, "nova:2026.1": INPUTS}, RECORDED)
    assert plan.to_table().to_text().splitlines() == [
        "IMAGE            ACTION  WHY",
        "keystone:2026.1  keep    nothing it is made of has changed",
        "nova:2026.1      build   it was never built here",
    ]
    assert plan.to_dict()["kind"] == "BuildPlan"
    assert [item["digest"] for item in plan.to_dict()["actions"]] == [DIGEST, None]
