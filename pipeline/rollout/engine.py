# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Carries an upgrade out: looks, lets `advance` decide, writes down what will be done, does it, writes down that it was done.

It decides nothing itself. Killed at any moment, another run reads the journal and goes on.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from pipeline.api import Api, RefusedByClusterError
from pipeline.rollout.advance import Act, Decision, Direction, Line, Outcome, Phase, Seen, advance, current
from pipeline.rollout.changes import Changes
from pipeline.rollout.doom import Doom
from pipeline.rollout.journal import Before, FencedError, Journal, befores, latest
from pipeline.rollout.observer import WATCHED, Observer
from pipeline.rollout.plan import Step, Undo
from pipeline.rollout.target import Target
from pipeline.watching import Watching
from stackway import clock
from stackway.console import Reporter
from stackway.errors import UnavailableError

_T = TypeVar("_T")
_LOOK_SECONDS = 0.5
# A cluster whose API is away for longer needs a person; `resume` goes on from the journal.
_AWAY_SECONDS = 180.0
# So soon a runner notices that somebody has paused the upgrade or goes on with it elsewhere.
_FENCE_SECONDS = 2.0


class Engine:
    """One run of an upgrade."""

    def __init__(
        self, api: Api, journal: Journal, target: Target, reporter: Reporter, *, look: float = _LOOK_SECONDS
    ) -> None:
        target = replace(target, number=journal.number)
        self._api, self._journal, self._target, self._reporter = api, journal, target, reporter
        self._namespace, self._plan = journal.namespace, journal.plan
        self._watching = Watching(api, self._namespace, WATCHED)
        self._observer = Observer(api, self._namespace, self._plan, target, self._watching)
        self._changes = Changes(api, self._namespace, target)
        self._acted: set[tuple[Phase, int]] = set()
        self._refused: dict[int, Doom] = {}
        self._told = ""
        self._pause = look
        self._fenced = 0.0

    def run(self) -> Outcome | None:
        """Go on until the upgrade has ended; return how, or None when it waits for somebody to say how it goes on.

        Raises FencedError when somebody else goes on with it, and UnavailableError when the cluster is away for long.
        """
        try:
            with self._watching:
                return self._run()
        except FencedError:
            if not self._is_paused():
                raise
            return None

    def _run(self) -> Outcome | None:
        if self._journal.lines and self._journal.progress.outcome is None:
            self._bear(lambda: self._journal.append(Line(Phase.RESUMED, -1, self._now(), "somebody goes on with it")))
        goes_on = True
        while (outcome := self._journal.progress.outcome) is None and goes_on:
            goes_on = self._bear(self._go)
        return outcome

    def _is_paused(self) -> bool:
        found = latest(self._api, self._namespace)
        return found is not None and found.number == self._journal.number and found.progress.is_paused

    def _bear(self, work: Callable[[], _T]) -> _T:
        """Do something that may be done again while the cluster's API is away. Raises UnavailableError when that takes long."""
        deadline = clock.monotonic() + _AWAY_SECONDS
        while True:
            try:
                return work()
            except UnavailableError as error:
                if clock.monotonic() > deadline:
                    raise
                self._reporter.task(self._plan.target, f"the cluster is away: {error.brief}")
                clock.sleep(self._pause)

    def _go(self) -> bool:
        """Go one step further: look, decide, write, do. Return whether there is more to do without somebody's word."""
        changes = self._watching.changes
        seen = self._look()
        decision = advance(self._plan, self._journal.progress, seen, self._now())
        self._tell(decision)
        match decision.act:
            case Act.HOLD:
                return False
            case Act.WAIT:
                self._refuse_overtaken()
                self._watching.wait(changes, self._pause)
            case _:
                self._carry_out(decision, seen.counts)
        return True

    def _refuse_overtaken(self) -> None:
        """Raise FencedError when somebody has written to the journal; asked now and then, for waiting writes nothing."""
        if clock.monotonic() - self._fenced > _FENCE_SECONDS:
            self._fenced = clock.monotonic()
            self._journal.refuse_overtaken()

    def _now(self) -> float:
        return clock.now().timestamp()

    def _tell(self, decision: Decision) -> None:
        name = self._plan.steps[decision.step].name if decision.step >= 0 else self._plan.target
        text = f"{decision.act}: {decision.reason}"
        if (told := f"{name} {text}") != self._told:
            self._told = told
            if decision.act in {Act.CLOSE, Act.CLOSE_UNDO, Act.TURN}:
                self._reporter.finish(name, decision.reason, good=decision.act is not Act.TURN)
            else:
                self._reporter.task(name, text)

    def _carry_out(self, decision: Decision, counts: Mapping[str, int]) -> None:
        number, now, why = decision.step, self._now(), decision.reason
        match decision.act:
            case Act.DO:
                self._journal.append(Line(Phase.BEGUN, number, now, why), self._before(self._plan.steps[number]))
            case Act.CLOSE:
                self._changes.close(self._plan.steps[number])
                self._journal.append(Line(Phase.DONE, number, now, why, counts=counts))
            case Act.TURN:
                why = f"{self._plan.steps[number].name}: {why}"
                self._journal.append(Line(Phase.TURNED, number, now, why, decision.rule, counts))
            case Act.UNDO:
                self._journal.append(Line(Phase.UNDOING, number, now, why))
            case Act.CLOSE_UNDO:
                self._journal.append(Line(Phase.UNDONE, number, now, why))
            case Act.END:
                self._journal.append(Line(Phase.ENDED, -1, now, why))

    def _before(self, step: Step) -> Before:
        """Return what a step changes as it is now; of what does not go back nothing is kept, for some of it is secret."""
        if step.undo is not Undo.REVERSIBLE:
            return {}
        return befores(self._target.keys(step), self._api, self._namespace)

    def _look(self) -> Seen:
        """Do what is on record as begun and was not done by this run, then return what is seen of it."""
        so_far = self._journal.progress
        if so_far.direction is Direction.BACK:
            return self._look_back(sorted(so_far.undoing - so_far.undone))
        number = current(self._plan, so_far)
        if number is None or number not in so_far.begun:
            return Seen()
        step = self._plan.steps[number]
        if (Phase.BEGUN, number) not in self._acted:
            try:
                self._changes.do(step)
            except RefusedByClusterError as error:
                self._refused[number] = Doom("refused", step.name, f"{error.brief}: {error.details}"[:500])
            self._acted.add((Phase.BEGUN, number))
        if number in self._refused:
            return Seen(doom=self._refused[number])
        return self._observer.look_at(step, number)

    def _look_back(self, numbers: list[int]) -> Seen:
        """Return which of the steps that are being undone are as they were, and what is said of the others."""
        back, told = set(), []
        for number in numbers:
            if (Phase.UNDOING, number) not in self._acted:
                self._changes.undo(self._plan.steps[number], self._journal.befores.get(number, {}))
                self._acted.add((Phase.UNDOING, number))
            seen = self._observer.look_back(number)
            back |= {number} if seen.ready else set()
            told += [seen.told] if not seen.ready else []
        return Seen(back=frozenset(back), told="; ".join(told))
