# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What becomes of an upgrade that somebody interrupts, on a cluster in memory."""

import argparse
import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from pipeline import upgrading
from pipeline.manifests.render import render, render_upgrade
from pipeline.rollout.engine import Engine
from pipeline.rollout.journal import Journal, begin, latest
from pipeline.rollout.plan import Way
from pipeline.rollout.planner import Goal, plan
from pipeline.rollout.target import Target
from pipeline.upgrade_cli import share_of
from stackway import console
from stackway.commands import Session
from stackway.console import SilentReporter
from stackway.errors import ExitCode
from stackway.settings import load_settings
from tests.fakes.cluster import FakeCluster
from tests.fakes.sites import site

if TYPE_CHECKING:
    from pipeline.api import Api

NEW = site("2026.1.1", services={"glance": {"settings": {"debug": True}}})


@pytest.fixture
def begun() -> tuple["Api", Target, Journal]:
    """Return a cluster, what an upgrade leads to, and its journal."""
    objects = copy.deepcopy(render(site("2026.1.0")).objects)
    cluster = FakeCluster({(item["kind"], item["metadata"]["name"]): item for item in objects})
    rendered = render_upgrade(NEW)
    goal = Goal("dev", "2026.1.1", "sha256:1", rendered, NEW.services)
    api = cast("Api", cluster)
    return api, Target(NEW, rendered), begin(api, "dev", plan(goal, "2026.1.0", cluster.objects, Way()))


def session(tmp_path: Path) -> Session:
    settings = load_settings(tmp_path, {"state": str(tmp_path / "state")})
    return Session(argparse.Namespace(root=str(tmp_path)), tmp_path, settings, SilentReporter(), wants_json=True)


@pytest.fixture
def _interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C when the engine has written its third line, once. Records and other programs are not what this is about."""
    append, presses = Journal.append, [3]

    def interrupt(book: Journal, *line: Any) -> None:
        append(book, *line)
        if presses and len(book.lines) == presses[0]:
            presses.clear()
            raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "append", interrupt)
    for name in ("observe", "mend_records", "_pin_back"):
        monkeypatch.setattr(upgrading, name, lambda *_, **__: None)


def carried_on(begun: tuple["Api", Target, Journal], tmp_path: Path) -> tuple[ExitCode, str]:
    """Carry an upgrade on; return the exit code, and how it stands after that."""
    api, target, book = begun
    found = session(tmp_path)
    code = upgrading.carry_on(found, api, target, book)
    return code, str(found.shown[-1]["outcome"])


@pytest.mark.usefixtures("_interrupted")
@pytest.mark.parametrize(
    ("answer", "code", "outcome"),
    [("c", ExitCode.DONE, "upgraded"), ("p", ExitCode.DONE, "paused"), ("b", ExitCode.ROLLED_BACK, "rolled back")],
)
def test_who_interrupts_an_upgrade_says_how_it_goes_on(
    begun: tuple["Api", Target, Journal],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    code: ExitCode,
    outcome: str,
) -> None:
    monkeypatch.setattr(console, "choose", lambda *_: answer)
    assert carried_on(begun, tmp_path) == (code, outcome)


@pytest.mark.usefixtures("_interrupted")
def test_where_nobody_can_be_asked_an_interrupted_upgrade_stands_where_it_is(
    begun: tuple["Api", Target, Journal], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        carried_on(begun, tmp_path)
    api, target, _ = begun
    book = latest(api, "dev")
    assert book
    assert book.progress.outcome is None
    assert str(Engine(api, book, target, SilentReporter(), look=0.01).run()) == "upgraded"


@pytest.mark.parametrize(("text", "share"), [("25%", 0.25), ("1%", 0.01), ("99", 0.99)])
def test_share_of_users_is_read(text: str, share: float) -> None:
    assert share_of(text) == share


@pytest.mark.parametrize("text", ["0%", "100%", "101", "-5%", "2.5%", "half", "%", "", "\u0662\u0665%%"])
def test_anything_else_is_no_share(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="no share of users: 1% to 99%"):
        share_of(text)
