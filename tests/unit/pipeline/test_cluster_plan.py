# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What `up` and `down` do about a local cluster, from what is there."""

from dataclasses import replace
from typing import Any

import pytest

from pipeline.cluster.plan import LEAST_FREE, Action, Facts, plan_down, plan_up
from pipeline.cluster.record import Record
from stackway.errors import StackwayError

HOME = "/x/cluster"
RECORD = Record(HOME, "10.213.0.0/16", "sw-1", ("/groups/cpu/a", "/groups/memory/a"), complete=True)
NOTHING = Facts(home=HOME, exists=False, record=None, keeper=0, has_link=False)
RUNNING = Facts(home=HOME, exists=True, record=RECORD, keeper=7, has_link=True)
STARTED = ["programs", "addresses", "keys", "configuration", "groups", "world", "link", "api", "objects", "node"]
AGAIN = ["programs", "end", *STARTED[1:]]
MENDED = ["api", "objects", "node"]


def actions(steps: Any) -> list[str]:
    return [str(step.action) for step in steps]


@pytest.mark.parametrize(
    ("changes", "wanted", "why"),
    [
        ({}, [], ""),
        ({"down": ("etcd",)}, MENDED, "etcd has ended"),
        ({"down": ("etcd", "kubelet")}, MENDED, "etcd, kubelet have ended"),
        ({"trouble": "the node is not ready"}, MENDED, "the node is not ready"),
        ({"record": replace(RECORD, complete=False)}, MENDED, "the last start was not finished"),
        ({"has_link": False}, AGAIN, "started without its link"),
        ({"keeper": 0, "has_link": False}, AGAIN, "its processes are gone"),
        ({"keeper": 0}, AGAIN, "its processes are gone"),
        ({"record": None, "keeper": 0, "has_link": False}, STARTED, "nothing runs"),
        ({"free": 1}, [], ""),
    ],
)
def test_up_does_what_is_needed_and_says_why(changes: dict[str, Any], wanted: list[str], why: str) -> None:
    steps = plan_up(replace(RUNNING, **changes))
    assert actions(steps) == wanted
    assert why in " ".join(step.reason for step in steps)
    assert all(step.reason for step in steps)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"lacks": ("root",)}, "missing: root"),
        ({"lacks": ("CAP_NET_ADMIN", "CAP_SYS_ADMIN")}, "missing: CAP_NET_ADMIN, CAP_SYS_ADMIN"),
        ({"free": LEAST_FREE - 1}, f"{HOME}: 4.0 GB are free, 4 GB are needed"),
        ({"original": "/y/cluster"}, f"{HOME} is a copy of /y/cluster"),
    ],
)
def test_up_says_what_is_in_the_way(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(StackwayError) as caught:
        plan_up(replace(NOTHING, **changes))
    assert caught.value.details == told
    assert caught.value.resolution


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        (NOTHING, []),
        (RUNNING, ["end", "unlink", "ungroup", "files"]),
        (replace(RUNNING, keeper=0), ["unlink", "ungroup", "files"]),
        (replace(RUNNING, record=None), ["end", "files"]),
        (replace(NOTHING, exists=True), ["files"]),
        (replace(RUNNING, original="/y/cluster"), ["files"]),
    ],
    ids=["nothing", "all", "dead", "without a record", "files only", "a copy of one that runs"],
)
def test_down_removes_what_is_there(facts: Facts, wanted: list[str]) -> None:
    assert actions(plan_down(facts)) == wanted


def test_down_asks_neither_for_rights_nor_for_room() -> None:
    assert actions(plan_down(replace(RUNNING, lacks=("root",), free=0)))[-1] == "files"


@pytest.mark.parametrize("steps", [plan_up(NOTHING), plan_up(replace(RUNNING, keeper=0))])
def test_what_is_outside_is_recorded_before_it_is_made(steps: Any) -> None:
    order = [step.action for step in steps]
    made = {Action.GROUPS, Action.WORLD, Action.LINK}
    assert all(order.index(Action.ADDRESSES) < order.index(action) for action in made)
