# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The decisions of an upgrade on a model of a cluster: thousands of histories of chance, and what holds in all of them."""

import random
from dataclasses import dataclass, field

import pytest

from pipeline.rollout.advance import (
    Act,
    Decision,
    Direction,
    Line,
    Outcome,
    Phase,
    Seen,
    advance,
    progress,
    read_line,
    to_data,
    way_back,
)
from pipeline.rollout.doom import Doom
from pipeline.rollout.plan import Kind, RolloutPlan, Step, Undo, Way, read_plan
from pipeline.rollout.sequential import Outlook

NOW = 1_790_000_000.0
OLD = (("w-old", 2),)


def step(kind: Kind, process: str = "api", undo: Undo = Undo.REVERSIBLE, seconds: float = 60.0) -> Step:
    return Step(kind, "nova", process, "because", undo, seconds, "new", OLD, 2)


PLAN = RolloutPlan(
    "dev",
    "2025.1.0",
    "2026.1.0",
    "sha256:0",
    Way(),
    (
        step(Kind.LAY, "", Undo.NOTHING),
        step(Kind.EXPAND, "", Undo.FORWARD),
        step(Kind.START, "conductor"),
        step(Kind.STOP, "periodic"),
        step(Kind.START, "periodic"),
        step(Kind.START),
        step(Kind.SHARE),
        step(Kind.HOLD, "", Undo.NOTHING),
        step(Kind.GROW, undo=Undo.NOTHING),
        step(Kind.SHIFT),
        step(Kind.SOAK, "", seconds=20.0),
    ),
    (),
)
LINES = {
    Act.DO: Phase.BEGUN,
    Act.CLOSE: Phase.DONE,
    Act.TURN: Phase.TURNED,
    Act.UNDO: Phase.UNDOING,
    Act.CLOSE_UNDO: Phase.UNDONE,
    Act.END: Phase.ENDED,
}


@dataclass
class World:
    """A cluster in which anything may happen, and a runner that may die after each line."""

    seed: int
    lines: list[Line] = field(default_factory=list)
    new: set[str] = field(default_factory=set)
    old: set[str] = field(default_factory=lambda: {"conductor", "periodic", "api"})
    users: str = "old"
    is_large: bool = False
    now: float = NOW

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def run(self) -> Outcome:
        for _ in range(5000):
            so_far = progress(self.lines)
            if so_far.outcome:
                return so_far.outcome
            decision = advance(PLAN, so_far, self.seen(), self.now)
            self.now += self.chance.uniform(0.1, 5)
            if decision.act is Act.HOLD:
                goes_on = self.chance.random() < 0.8
                asked = Phase.RESUMED if goes_on else Phase.TURNED
                self.lines.append(Line(asked, -1, self.now, "somebody said so"))
            elif decision.act is not Act.WAIT:
                self.write(decision)
            self.check()
        raise AssertionError(f"seed {self.seed}: no end after {len(self.lines)} lines")

    def seen(self) -> Seen:
        roll = self.chance.random()
        if roll < 0.02:
            return Seen(doom=Doom("crash", "w-new", "it fell"))
        if roll < 0.04:
            return Seen(ready=True, outlook=Outlook.FAILED)
        if roll < 0.05:
            return Seen(disturbed=15.5)
        ready = self.chance.random() < 0.5
        back = frozenset(number for number in range(len(PLAN.steps)) if self.chance.random() < 0.5)
        outlook = self.chance.choice([None, Outlook.PASSED, Outlook.UNDECIDED])
        return Seen(ready=ready, outlook=outlook, back=back)

    def write(self, decision: Decision) -> None:
        self.lines.append(Line(LINES[decision.act], decision.step, self.now, decision.reason, decision.rule))
        if self.chance.random() < 0.1:
            self.lines.append(Line(self.chance.choice([Phase.PAUSED, Phase.RESUMED]), -1, self.now))
        if decision.step < 0:
            return
        changed = PLAN.steps[decision.step]
        # New pods that are told to go are there for some time.
        last = Act.CLOSE_UNDO if changed.kind is Kind.START else Act.UNDO
        if decision.act in {Act.DO, last}:
            self.change(changed, forward=decision.act is Act.DO)

    def change(self, changed: Step, *, forward: bool) -> None:
        if changed.kind is Kind.START:
            (self.new.add if forward else self.new.discard)(changed.process)
        if changed.kind is Kind.STOP:
            (self.old.discard if forward else self.old.add)(changed.process)
        if changed.kind is Kind.GROW:
            self.is_large = True
        if changed.kind is Kind.SHARE:
            self.users = "both" if forward else "old"
        if changed.kind is Kind.SHIFT:
            self.users = "new" if forward else "both"

    def check(self) -> None:
        """What must hold at every moment: users are served by what is there and was proved."""
        so_far = progress(self.lines)
        if self.users == "old":
            assert "api" in self.old
        else:
            assert "api" in self.new
            assert 5 in so_far.done
        assert self.users != "new" or self.is_large
        assert {"api", "conductor"} <= self.old, "what is warm stays warm until it is final"
        assert "periodic" not in self.new & self.old, "there must not be two of it"


@pytest.mark.parametrize("part", range(5))
def test_every_history_ends_all_new_or_all_old(part: int) -> None:
    outcomes = set()
    for seed in range(part * 500, part * 500 + 500):
        world = World(seed)
        outcome = world.run()
        outcomes.add(outcome)
        if outcome is Outcome.UPGRADED:
            assert (world.users, world.new) == ("new", {"conductor", "periodic", "api"})
        else:
            assert (world.users, world.new, world.old) == ("old", set(), {"conductor", "periodic", "api"})
            turned = next(line for line in world.lines if line.phase is Phase.TURNED)
            assert turned.why
    assert outcomes == {Outcome.UPGRADED, Outcome.ROLLED_BACK}


@pytest.mark.parametrize("seed", range(40))
def test_whoever_reads_the_record_decides_the_same(seed: int) -> None:
    world = World(seed)
    world.run()
    for count in range(len(world.lines)):
        lines = world.lines[:count]
        again = [read_line(to_data(line)) for line in lines]
        assert progress(again) == progress(lines)
        assert advance(PLAN, progress(again), Seen(), NOW) == advance(PLAN, progress(lines), Seen(), NOW)


def begun(number: int, at: float = NOW) -> list[Line]:
    done = [Line(phase, index, at) for index in range(number) for phase in (Phase.BEGUN, Phase.DONE)]
    return [*done, Line(Phase.BEGUN, number, at)]


@pytest.mark.parametrize(
    ("seen", "after", "act", "rule"),
    [
        (Seen(), 1, Act.WAIT, ""),
        (Seen(ready=True), 1, Act.CLOSE, ""),
        (Seen(ready=True, outlook=Outlook.UNDECIDED), 59, Act.WAIT, ""),
        (Seen(ready=True, outlook=Outlook.UNDECIDED), 61, Act.TURN, "limit"),
        (Seen(ready=True, outlook=Outlook.PASSED), 1, Act.CLOSE, ""),
        (Seen(ready=True, outlook=Outlook.FAILED), 1, Act.TURN, "requests"),
        (Seen(doom=Doom("image", "p", "not found")), 0, Act.TURN, "image"),
        (Seen(ready=True, disturbed=15.5), 1, Act.TURN, "disturbance"),
        (Seen(ready=True, outlook=Outlook.PASSED), 99, Act.CLOSE, ""),
    ],
    ids=[
        "not ready",
        "ready",
        "no data yet",
        "no data at the limit",
        "passed",
        "failed",
        "doomed",
        "disturbed",
        "late and good",
    ],
)
def test_step_is_judged_by_what_is_seen(seen: Seen, after: float, act: Act, rule: str) -> None:
    found = advance(PLAN, progress(begun(5)), seen, NOW + after)
    assert (found.act, found.rule) == (act, rule)
    assert found.reason


def test_users_go_back_first_and_schemas_never() -> None:
    lines = [*begun(10), Line(Phase.TURNED, 10, NOW, "5 % errors")]
    kinds = [PLAN.steps[number].kind for number in way_back(PLAN, progress(lines))]
    assert kinds == [Kind.SHIFT, Kind.SHARE, Kind.START, Kind.START, Kind.STOP, Kind.START]


def test_held_upgrade_waits_until_somebody_goes_on_and_no_earlier_word_counts() -> None:
    lines = [*begun(6), Line(Phase.RESUMED, -1, NOW), Line(Phase.DONE, 6, NOW)]
    assert advance(PLAN, progress(lines), Seen(), NOW).act is Act.DO
    held = [*lines, Line(Phase.BEGUN, 7, NOW)]
    assert advance(PLAN, progress(held), Seen(), NOW + 1_000_000).act is Act.HOLD
    assert advance(PLAN, progress([*held, Line(Phase.RESUMED, -1, NOW)]), Seen(), NOW).act is Act.CLOSE


def test_paused_upgrade_is_so_until_somebody_goes_on_or_takes_it_back() -> None:
    paused = [*begun(5), Line(Phase.PAUSED, -1, NOW)]
    assert progress(paused).is_paused
    assert not progress([*paused, Line(Phase.RESUMED, -1, NOW)]).is_paused
    assert not progress([*paused, Line(Phase.TURNED, -1, NOW, "no")]).is_paused


def test_resumed_step_has_its_whole_time_again() -> None:
    lines = [*begun(5), Line(Phase.RESUMED, -1, NOW + 1000)]
    assert advance(PLAN, progress(lines), Seen(), NOW + 1030).act is Act.WAIT
    assert advance(PLAN, progress(lines), Seen(), NOW + 1061).act is Act.TURN


def test_upgrade_that_went_well_can_go_back_until_it_is_final() -> None:
    lines = [*begun(10), Line(Phase.DONE, 10, NOW), Line(Phase.ENDED, -1, NOW)]
    assert progress(lines).outcome is Outcome.UPGRADED
    turned = progress([*lines, Line(Phase.TURNED, -1, NOW, "somebody asked")])
    assert (turned.outcome, turned.direction) == (None, Direction.BACK)
    assert progress([*lines, Line(Phase.FINALIZED, -1, NOW)]).outcome is Outcome.FINALIZED


def test_plan_is_the_same_after_it_was_written() -> None:
    assert read_plan(PLAN.to_dict()) == PLAN
