# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Carries an upgrade out: looks, lets `advance` decide, writes down what will be done, does it, writes down that it was done.

It decides nothing itself. Killed at any moment, another run reads the journal and goes on.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from buildkit.models import Service
from pipeline.api import Api, Object
from pipeline.deployment import marked
from pipeline.manifests.objects import COMPONENT, NAME, REVISION
from pipeline.manifests.render import Rendered
from pipeline.manifests.site import Site
from pipeline.manifests.workloads import Workload, workload_name
from pipeline.readiness import Readiness, State, readiness
from pipeline.rollout.advance import Act, Decision, Direction, Line, Outcome, Phase, Seen, advance, current, way_back
from pipeline.rollout.doom import Doom, doom, own_pods
from pipeline.rollout.evidence import Patience, Trial, observe, read_counts
from pipeline.rollout.journal import Before, Journal, Key, befores, kept
from pipeline.rollout.plan import Kind, Step, Undo
from pipeline.rollout.sequential import Outlook
from pipeline.watching import Watching
from stackway import clock
from stackway.console import Reporter
from stackway.errors import StackwayError

TRIAL = "stackway.dev/trial"
_WATCHED = ("Deployment", "StatefulSet", "Job", "Pod", "Event")
_LOOK_SECONDS = 0.5
_FOUNDATION, _MONITORING = "foundation", "monitoring"
# Traffic is shifted when so many requests were answered by it afterwards.
_CONFIRMED = 10


@dataclass(frozen=True)
class Target:
    """What an upgrade leads to: a release in its environment, rendered, and how answers are judged."""

    site: Site
    rendered: Rendered

    @property
    def services(self) -> Mapping[str, Service]:
        """The services of the release."""
        return self.site.services

    def workload(self, step: Step) -> Workload:
        """Return the workload that a step is about."""
        return next(
            item for item in self.rendered.workloads if (item.service, item.process) == (step.service, step.process)
        )

    def stage(self, name: str) -> tuple[Object, ...]:
        """Return the objects of a stage, none when there is no such."""
        return tuple(marked(item) for stage in self.rendered.stages if stage.name == name for item in stage.objects)

    def placed(self, items: Iterable[Object]) -> list[Object]:
        """Return objects as a deployment applies them, which will so know them again."""
        known = {(item["kind"], item["metadata"]["name"]): item for item in self.rendered.objects}
        return [marked(known[item["kind"], item["metadata"]["name"]]) for item in items]

    def is_asked(self, step: Step) -> bool:
        """Tell whether requests go to a process."""
        return any(item.process == step.process for item in self.services[step.service].checks.requests)

    def tells(self, step: Step) -> bool:
        """Tell whether workers of a process are known to an API."""
        return any(item.process == step.process for item in self.services[step.service].checks.round_trips)


class Engine:
    """One run of an upgrade."""

    def __init__(
        self, api: Api, journal: Journal, target: Target, reporter: Reporter, *, look: float = _LOOK_SECONDS
    ) -> None:
        self._api, self._journal, self._target, self._reporter = api, journal, target, reporter
        self._namespace, self._plan = journal.namespace, journal.plan
        self._watching = Watching(api, self._namespace, _WATCHED)
        self._trials: dict[tuple[str, str], Trial] = {}
        self._acted: set[tuple[Phase, int]] = set()
        self._shifted: dict[int, int] = {}
        self._told = ""
        self._pause = look

    def run(self) -> Outcome:
        """Go on until the upgrade has ended; return how. Raises FencedError when somebody else goes on with it."""
        with self._watching:
            if self._journal.lines and self._journal.progress.outcome is None:
                self._write(Phase.RESUMED, -1, "somebody goes on with it")
            while True:
                so_far = self._journal.progress
                if so_far.outcome is not None:
                    return so_far.outcome
                decision = advance(self._plan, so_far, self._look(), self._now())
                changes = self._watching.changes
                self._tell(decision)
                if decision.act is Act.WAIT:
                    self._watching.wait(changes, self._pause)
                else:
                    self._carry_out(decision)

    def _now(self) -> float:
        return clock.now().timestamp()

    def _tell(self, decision: Decision) -> None:
        name = self._plan.steps[decision.step].name if decision.step >= 0 else self._plan.target
        text = f"{decision.act}: {decision.reason}"
        if (told := f"{name} {text}") != self._told:
            self._reporter.task(name, text)
            self._told = told

    def _carry_out(self, decision: Decision) -> None:
        number = decision.step
        match decision.act:
            case Act.DO:
                self._write(Phase.BEGUN, number, decision.reason, before=self._before(self._plan.steps[number]))
            case Act.CLOSE:
                self._close(self._plan.steps[number])
                self._write(Phase.DONE, number, decision.reason)
            case Act.TURN:
                self._write(Phase.TURNED, number, f"{self._plan.steps[number].name}: {decision.reason}", decision.rule)
            case Act.UNDO:
                self._write(Phase.UNDOING, number, decision.reason)
            case Act.CLOSE_UNDO:
                self._write(Phase.UNDONE, number, decision.reason)
            case Act.END:
                self._write(Phase.ENDED, -1, decision.reason)

    def _before(self, step: Step) -> Before:
        """Return what a step changes as it is now; of what does not go back nothing is kept, for some of it is secret."""
        if step.undo is not Undo.REVERSIBLE:
            return {}
        return befores(self._keys(step), self._api, self._namespace)

    def _write(self, phase: Phase, step: int, why: str, rule: str = "", *, before: Before | None = None) -> None:
        self._journal.append(Line(phase, step, self._now(), why, rule), before)

    # What is seen

    def _look(self) -> Seen:
        """Do what is on record as begun and was not done by this run, then return what is seen of it."""
        so_far = self._journal.progress
        if so_far.direction is Direction.BACK:
            todo = [number for number in way_back(self._plan, so_far) if number not in so_far.undone]
            if not todo or todo[0] not in so_far.undoing:
                return Seen()
            if self._once(Phase.UNDOING, todo[0]):
                self._undo(todo[0])
            return self._look_back(todo[0])
        number = current(self._plan, so_far)
        if number is None or number not in so_far.begun:
            return Seen()
        step = self._plan.steps[number]
        if self._once(Phase.BEGUN, number):
            try:
                self._do(step)
            except StackwayError as error:
                return Seen(doom=Doom("refused", step.name, f"{error.brief}: {error.details}"[:500]))
        return self._look_at(step, number)

    def _once(self, phase: Phase, number: int) -> bool:
        if (phase, number) in self._acted:
            return False
        self._acted.add((phase, number))
        return True

    def _look_at(self, step: Step, number: int) -> Seen:
        match step.kind:
            case Kind.LAY:
                return self._ready_of(item for item in self._target.stage(_MONITORING) if item["kind"] == "Deployment")
            case Kind.EXPAND:
                return self._ready_of(
                    item for item in self._target.stage(f"{step.service} database") if item["kind"] == "Job"
                )
            case Kind.STOP:
                left = [pod for name, _ in step.old for pod in self._pods_of(name)]
                return Seen(ready=not left, told=f"{len(left)} pods are still there")
            case Kind.START | Kind.REPLACE:
                return self._look_at_start(step)
            case Kind.SHIFT:
                return self._look_at_shift(step, number)
            case _:
                return self._look_at_all()

    def _ready_of(self, items: Iterable[Object]) -> Seen:
        told = []
        for item in items:
            name = str(item["metadata"]["name"])
            there = self._watching.objects(item["kind"]).get(name)
            state = readiness(there) if there else Readiness(State.WAITING, "it is not there yet")
            if state.state is State.FAILED:
                return Seen(
                    doom=Doom(
                        "job" if item["kind"] == "Job" else "deadline", name, self._last_words(name, state.reason)
                    )
                )
            if state.state is State.WAITING:
                told.append(f"{name}: {state.reason}")
        return Seen(ready=not told, told="; ".join(told))

    def _look_at_start(self, step: Step) -> Seen:
        """Return how a new revision does: its pods, and what requests to them say."""
        item = self._target.workload(step)
        name = str(item.main["metadata"]["name"])
        there = self._watching.objects(str(item.main["kind"])).get(name)
        found = self._doom(step)
        if found:
            return Seen(doom=found)
        state = readiness(there, step.replicas or None) if there else Readiness(State.WAITING, "it is not there yet")
        is_ready = state.state is State.READY
        if not is_ready or step.kind is Kind.REPLACE:
            return Seen(ready=is_ready, told=state.reason)
        if self._target.is_asked(step):
            trial = self._observe(step)
            return Seen(
                ready=True, outlook=trial.outlook(self._plan.rules.rates), told=_told(trial), disturbed=trial.disturbed
            )
        if self._target.tells(step):
            return self._look_at_workers(step)
        return Seen(ready=True)

    def _look_at_workers(self, step: Step) -> Seen:
        """Return whether each pod of a new revision has said through an API that it works."""
        rows = [
            row
            for row in self._status().get("pods") or []
            if (row["service"], row["process"], row["revision"]) == (step.service, step.process, step.revision)
        ]
        well = {row["pod"] for row in rows if row["totalRequests"] > row["totalFailures"]}
        named = {row["pod"] for row in rows}
        targets = self._status().get("targets") or []
        others = [row for row in targets if (row["service"], row["process"]) == (step.service, step.process)]
        if not named and any(row["totalRequests"] > row["totalFailures"] for row in others):
            return Seen(ready=True, outlook=Outlook.PASSED, told="workers have names of their own; one of them works")
        pods = {str(pod["metadata"]["name"]) for pod in self._new_pods(step)}
        missing = len(pods - well)
        outlook = Outlook.PASSED if pods and not missing else Outlook.UNDECIDED
        return Seen(
            ready=True, outlook=outlook, told=f"{len(pods) - missing} of {len(pods)} workers say that they work"
        )

    def _look_at_shift(self, step: Step, number: int) -> Seen:
        found = self._doom(step)
        if found:
            return Seen(doom=found)
        if not self._target.is_asked(step):
            return Seen(ready=True)
        trial = self._observe(step)
        begun = self._shifted.setdefault(number, trial.evidence.outcomes)
        answered = trial.evidence.outcomes - begun
        outlook = Outlook.FAILED if trial.outlook(self._plan.rules.rates) is Outlook.FAILED else None
        return Seen(
            answered >= _CONFIRMED, None, outlook, f"{answered} requests since; {_told(trial)}", trial.disturbed
        )

    def _look_at_all(self) -> Seen:
        """Return what is seen of everything that was started; only bad news counts in a soak."""
        for step in self._plan.steps:
            if step.kind is not Kind.START:
                continue
            if found := self._doom(step):
                return Seen(doom=found)
            if self._target.is_asked(step):
                trial = self._observe(step)
                if trial.outlook(self._plan.rules.rates) is Outlook.FAILED:
                    return Seen(outlook=Outlook.FAILED, told=f"{step.service} {step.process}: {_told(trial)}")
        return Seen(told="nothing was found so far")

    def _look_back(self, number: int) -> Seen:
        """Return whether the old revision serves again."""
        step = self._plan.steps[number]
        if step.kind is Kind.SHIFT:
            return Seen(ready=True, told="users get the old revision")
        if step.kind is Kind.START and self._plan.stops(step):
            # The old one waits until this one is gone: its own step, the next on the way back, brings it up again.
            left = self._new_pods(step, leaving=True)
            return Seen(ready=not left, told=f"{len(left)} new pods are still there")
        told = []
        for name, count in step.old:
            there = self._watching.objects("Deployment").get(name)
            state = readiness(there, count) if there else Readiness(State.WAITING, "it is not there")
            if state.state is not State.READY:
                told.append(f"{name}: {state.reason}")
        if step.kind is Kind.REPLACE:
            name = str(self._target.workload(step).main["metadata"]["name"])
            there = self._watching.objects("StatefulSet").get(name)
            state = readiness(there) if there else Readiness(State.WAITING, "it is not there")
            told += [] if state.state is State.READY else [f"{name}: {state.reason}"]
        return Seen(ready=not told, told="; ".join(told))

    def _doom(self, step: Step) -> Doom | None:
        item = self._target.workload(step)
        there = self._watching.objects(str(item.main["kind"])).get(str(item.main["metadata"]["name"]))
        events = self._watching.objects("Event").values()
        found = doom(self._new_pods(step), there, events, self._now())
        return Doom(found.rule, found.object, self._last_words(found.object, found.seen)) if found else None

    def _new_pods(self, step: Step, *, leaving: bool = False) -> list[Object]:
        labels = {NAME: step.service, COMPONENT: step.process, REVISION: step.revision}
        return own_pods(self._watching.objects("Pod"), labels, leaving=leaving)

    def _pods_of(self, workload: str) -> list[Object]:
        return [pod for name, pod in self._watching.objects("Pod").items() if name.startswith(f"{workload}-")]

    def _last_words(self, name: str, seen: str) -> str:
        pods = sorted(pod for pod in self._watching.objects("Pod") if pod.startswith(name))
        words = self._api.logs(self._namespace, pods[-1], 5).strip() if pods else ""
        return f"{seen}\n{words}" if words else seen

    def _status(self) -> Mapping[str, Any]:
        """Return what the prober has counted, nothing while it does not answer: no data is no good news."""
        path = f"/api/v1/namespaces/{self._namespace}/services/prober:main/proxy/status"
        try:
            return self._api.read(path)
        except StackwayError:
            return {}

    def _observe(self, step: Step) -> Trial:
        key = (step.service, step.process)
        before = self._trials.get(key, Trial())
        status = self._status()
        old = {name.rpartition("-")[2] for name, _ in step.old}
        patience = Patience(self._plan.rules.slower, self._plan.rules.warmup)
        new_counts, old_counts = read_counts(status, key, [step.revision]), read_counts(status, key, old)
        self._trials[key] = found = observe(before, new_counts, old_counts, self._now(), patience)
        return found

    # What is done

    def _keys(self, step: Step) -> list[Key]:
        """Return the objects that a step makes, changes or removes."""
        found = [(str(item["kind"]), str(item["metadata"]["name"])) for item in self._objects(step)]
        match step.kind:
            case Kind.STOP:
                found += [("Deployment", name) for name, _ in step.old]
            case Kind.START:
                found += [("HorizontalPodAutoscaler", name) for name, _ in step.old]
            case _:
                pass
        return found

    def _objects(self, step: Step) -> list[Object]:
        """Return the objects that a step applies."""
        match step.kind:
            case Kind.LAY:
                return [*self._target.stage(_FOUNDATION), *self._target.stage(_MONITORING)]
            case Kind.EXPAND:
                return list(self._target.stage(f"{step.service} database"))
            case Kind.START | Kind.REPLACE:
                found = self._target.workload(step)
                scaling = [] if found.addresses else found.scaling
                return [_sized(item, step.replicas) for item in self._target.placed([*found.workload, *scaling])]
            case Kind.SHIFT:
                found = self._target.workload(step)
                addresses = [_on_trial(item, step) for item in self._target.placed(found.addresses)]
                return [*self._target.placed(found.scaling), *addresses]
            case _:
                return []

    def _do(self, step: Step) -> None:
        if step.kind is Kind.STOP:
            self._scale(step, 0)
        if step.kind is Kind.START:
            # The old revision stays as large as it was when it served, and warm.
            for name, _ in step.old:
                self._api.delete("HorizontalPodAutoscaler", name, self._namespace)
        if step.kind is Kind.EXPAND:
            self._clear_failed(step)
        for item in self._objects(step):
            self._api.apply(item)
        if step.kind is Kind.START and self._target.is_asked(step):
            self._mark(step, on=True)

    def _clear_failed(self, step: Step) -> None:
        for item in self._objects(step):
            there = self._watching.objects("Job").get(str(item["metadata"]["name"])) if item["kind"] == "Job" else None
            if there and readiness(there).state is State.FAILED:
                self._api.delete("Job", str(item["metadata"]["name"]), self._namespace)

    def _scale(self, step: Step, replicas: int | None) -> None:
        for name, count in step.old:
            there = self._api.get("Deployment", name, self._namespace)
            if there:
                wanted = count if replicas is None else replicas
                self._api.apply(_sized(kept({"kind": "Deployment", **there}), wanted))

    def _mark(self, step: Step, *, on: bool) -> None:
        """Have the prober ask the pods of both revisions often, or no more so."""
        name = workload_name(step.service, step.process)
        there = self._api.get("Service", name, self._namespace)
        if there:
            item = kept({"kind": "Service", **there})
            annotations = {
                key: value for key, value in (item["metadata"].get("annotations") or {}).items() if key != TRIAL
            }
            plain = {**item, "metadata": {**item["metadata"], "annotations": annotations}}
            self._api.apply(_on_trial(plain, step) if on else plain)

    def _close(self, step: Step) -> None:
        if step.kind in {Kind.START, Kind.SHIFT} and self._target.is_asked(step):
            self._mark(step, on=False)

    def _undo(self, number: int) -> None:
        """Make everything that a step touched as it was before it: what was not there goes, except what holds data."""
        step = self._plan.steps[number]
        if step.undo is not Undo.REVERSIBLE:
            return
        if step.kind is Kind.STOP:
            self._scale(step, None)
            return
        for (kind, name), item in self._journal.befores.get(number, {}).items():
            if item is not None:
                self._api.apply(item)
            elif kind != "PersistentVolumeClaim":
                self._api.delete(kind, name, self._namespace)
        if step.kind is Kind.START and self._target.is_asked(step):
            self._mark(step, on=False)


def _sized(item: Object, replicas: int) -> Object:
    if item["kind"] not in {"Deployment", "StatefulSet"} or (item["kind"] == "StatefulSet" and not replicas):
        return item
    return {**item, "spec": {**item["spec"], "replicas": replicas}}


def _on_trial(item: Object, step: Step) -> Object:
    """Return a Service that tells the prober which revisions to ask often."""
    revisions = ",".join([step.revision, *(name.rpartition("-")[2] for name, _ in step.old)])
    annotations = {**(item["metadata"].get("annotations") or {}), TRIAL: revisions}
    return {**item, "metadata": {**item["metadata"], "annotations": annotations}}


def _told(trial: Trial) -> str:
    slower = f", {trial.slower} of {trial.pairs} times slower" if trial.pairs else ""
    kinds = "".join(f", {number} {kind}" for kind, number in trial.kinds)
    return f"{trial.evidence.failures} of {trial.evidence.outcomes} requests failed{kinds}{slower}"


def steps_of(journal: Journal, kind: Kind) -> Iterator[Step]:
    """Yield the steps of a kind."""
    return (step for step in journal.plan.steps if step.kind is kind)
