# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What is seen of an upgrade: of pods by watches, of their answers by the prober. What to do about it is decided elsewhere."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pipeline.api import Api, Object
from pipeline.manifests.objects import COMPONENT, NAME, REVISION
from pipeline.readiness import Readiness, State, readiness
from pipeline.rollout.advance import Seen
from pipeline.rollout.doom import Doom, doom, own_pods
from pipeline.rollout.evidence import Patience, Trial, observe, read_counts
from pipeline.rollout.plan import TRAFFIC, Kind, RolloutPlan, Step
from pipeline.rollout.sequential import Outlook
from pipeline.rollout.target import MONITORING, Target
from pipeline.watching import Watching
from stackway import clock
from stackway.errors import StackwayError

WATCHED = ("Deployment", "StatefulSet", "Job", "Pod", "Event")
# Traffic is shifted when so many requests were answered by it afterwards.
_CONFIRMED = 10


class Observer:
    """What can be seen of each step of a plan in a namespace; knows what requests have said since it began to look."""

    def __init__(self, api: Api, namespace: str, plan: RolloutPlan, target: Target, watching: Watching) -> None:
        self._api, self._namespace, self._plan, self._target, self._watching = api, namespace, plan, target, watching
        self._trials: dict[tuple[str, str], Trial] = {}
        self._shifted: dict[int, int] = {}
        self._ready_since: dict[tuple[str, str], float] = {}
        self._heard: dict[tuple[str, str], int] = {}

    def look_at(self, step: Step, number: int) -> Seen:
        match step.kind:
            case Kind.LAY:
                return Seen(ready=True)
            case Kind.WATCH:
                return self._ready_of(
                    "deadline", (i for i in self._target.stage(MONITORING) if i["kind"] == "Deployment")
                )
            case Kind.CHECK | Kind.BACKUP | Kind.EXPAND:
                return self._look_at_jobs(step)
            case Kind.STOP:
                left = [pod for name, _ in step.old for pod in self._pods_of(name)]
                return Seen(ready=not left, told=f"{len(left)} pods are still there")
            case Kind.START | Kind.REPLACE | Kind.GROW:
                return self._look_at_start(step)
            case Kind.SHARE | Kind.SHIFT:
                return self._look_at_shift(step, number)
            case _:
                return self._look_at_all()

    def _look_at_jobs(self, step: Step) -> Seen:
        """Return how the jobs of a step do; of those that prove something, what they said at the end."""
        jobs = [item for item in self._target.objects(step) if item["kind"] == "Job"]
        rule = "job" if step.kind is Kind.EXPAND else str(step.kind)
        seen = self._ready_of(rule, jobs)
        if not seen.ready or step.kind is Kind.EXPAND:
            return seen
        words = [self._last_words(str(item["metadata"]["name"]), "").strip().splitlines()[-1:] for item in jobs]
        return replace(seen, told="; ".join(line for found in words for line in found))

    def _ready_of(self, rule: str, items: Iterable[Object]) -> Seen:
        told = []
        for item in items:
            name = str(item["metadata"]["name"])
            there = self._watching.objects(item["kind"]).get(name)
            state = readiness(there) if there else Readiness(State.WAITING, "it is not there yet")
            if state.state is State.FAILED:
                return Seen(doom=Doom(rule, name, self._last_words(name, state.reason)))
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
            outlook = trial.outlook(self._plan.rules.rates)
            told, disturbed = _told(trial), trial.disturbed
            return Seen(ready=True, outlook=outlook, told=told, disturbed=disturbed, counts=_counts(trial))
        if self._target.tells(step):
            return self._look_at_workers(step)
        return Seen(ready=True)

    def _look_at_workers(self, step: Step) -> Seen:
        """Return whether each pod of a new revision has said through an API that it works."""
        key = (step.service, step.process)
        status = self._status()
        rows = [row for row in status.get("pods") or [] if (row["service"], row["process"]) == key]
        pods = {str(pod["metadata"]["name"]) for pod in self._new_pods(step)}
        if not rows:
            return self._look_at_named_workers(key, status)
        well = {row["pod"] for row in rows if row["totalRequests"] > row["totalFailures"]}
        told = f"{len(pods & well)} of {len(pods)} workers say that they work"
        if pods and pods <= well:
            return Seen(ready=True, outlook=Outlook.PASSED, told=told)
        now = clock.now().timestamp()
        quiet = now - self._ready_since.setdefault(key, now)
        if pods and quiet > self._plan.rules.silence:
            text = f"it is ready, and no API has heard of it for {quiet:.0f} s"
            silent = min(pods - well)
            return Seen(doom=Doom("silence", silent, self._last_words(silent, text)))
        return Seen(ready=True, outlook=Outlook.UNDECIDED, told=told)

    def _look_at_named_workers(self, key: tuple[str, str], status: Mapping[str, Any]) -> Seen:
        """Return whether an API heard of workers that have names of their own, since the new ones are ready."""
        rows = [row for row in status.get("targets") or [] if (row["service"], row["process"]) == key]
        good = sum(row["totalRequests"] - row["totalFailures"] for row in rows)
        if good > self._heard.setdefault(key, good):
            return Seen(ready=True, outlook=Outlook.PASSED, told="workers have names of their own; one of them works")
        return Seen(ready=True, outlook=Outlook.UNDECIDED, told="no API has heard of a worker yet")

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
        told = f"{answered} requests since; {_told(trial)}"
        return Seen(answered >= _CONFIRMED, None, outlook, told, trial.disturbed, counts=_counts(trial))

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
                    told = f"{step.service} {step.process}: {_told(trial)}"
                    return Seen(outlook=Outlook.FAILED, told=told, counts=_counts(trial))
        return Seen(told="nothing was found so far")

    def look_back(self, number: int) -> Seen:
        """Return whether the old revision serves again."""
        step = self._plan.steps[number]
        if step.kind in {*TRAFFIC, Kind.WATCH}:
            return Seen(ready=True)
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
        found = doom(self._new_pods(step), there, events, clock.now().timestamp())
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
        # One that was stopped before is still counted, and is not asked any more.
        old = set() if self._plan.stops(step) else {name.rpartition("-")[2] for name, _ in step.old}
        patience = Patience(self._plan.rules.slower, self._plan.rules.warmup)
        # The same revision may have been tried before: what its pods of that time answered says nothing of these.
        there = self._watching.objects("Pod")
        new_counts = {pod: count for pod, count in read_counts(status, key, [step.revision]).items() if pod in there}
        old_counts = read_counts(status, key, old)
        self._trials[key] = found = observe(before, new_counts, old_counts, clock.now().timestamp(), patience)
        return found


def _told(trial: Trial) -> str:
    slower = f", {trial.slower} of {trial.pairs} times slower" if trial.pairs else ""
    kinds = "".join(f", {number} {kind}" for kind, number in trial.kinds)
    return f"{trial.evidence.failures} of {trial.evidence.outcomes} requests failed{kinds}{slower}"


def _counts(trial: Trial) -> dict[str, int]:
    """Return what a verdict was made from; with the plan's rates anybody can make it again."""
    kinds = {f"failed: {kind}": number for kind, number in trial.kinds}
    asked = {"requests": trial.evidence.outcomes, "failures": trial.evidence.failures}
    return {**asked, "compared": trial.pairs, "slower": trial.slower, **kinds}
