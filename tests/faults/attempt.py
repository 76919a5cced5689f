# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""One upgrade of placement on a real cluster, with something wrong in it or around it, and what came of it."""

import copy
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, Self

from pipeline import deploy
from pipeline.api import Object
from pipeline.cli import COMMANDS, SUMMARY
from pipeline.deploy_cli import pinned
from pipeline.manifests.objects import REVISION, make
from pipeline.manifests.render import Rendered, render_upgrade
from pipeline.manifests.site import Site, services_of
from pipeline.rollout.advance import Line, Outcome, Phase
from pipeline.rollout.engine import Engine
from pipeline.rollout.journal import Journal, begin
from pipeline.rollout.plan import Kind, Way
from pipeline.rollout.planner import Goal, plan
from pipeline.rollout.target import Target
from pipeline.watching import Watching
from stackway import clock
from stackway.commands import build_parser, open_session
from stackway.console import SilentReporter
from tests.e2e.cloud import Cloud
from tests.e2e.load import Load
from tests.integration.builder import REPOSITORY

Alter = Callable[[Object], None]
PROCESS = ("placement", "api")
SOAK = 40.0
_NUMBERS = count(129 + int(clock.now().timestamp()) % 90)
_COMPARED = ("Deployment", "StatefulSet", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget")


@dataclass(frozen=True)
class Attempt:
    """What came of an upgrade: how it ended and why, when, and what users noticed."""

    outcome: Outcome
    book: Journal
    target: Target
    load: Load
    ready: "Readied"

    @property
    def lines(self) -> list[Line]:
        """What is on record of it."""
        return self.book.lines

    @property
    def rule(self) -> str:
        """The rule by which it went back."""
        return next((line.rule for line in self.lines if line.phase is Phase.TURNED), "")

    @property
    def why(self) -> str:
        """Why it went back."""
        return self.book.progress.why

    def at(self, phase: Phase) -> float:
        """Return when the first line of a phase was written, in seconds since 1970."""
        return next(line.at for line in self.lines if line.phase is phase)

    @property
    def detected(self) -> float:
        """Seconds from the start of the new pods to the decision to go back."""
        return self.at(Phase.TURNED) - next(
            line.at for line in self.lines if line.phase is Phase.BEGUN and line.step > 0
        )

    @property
    def back(self) -> float:
        """Seconds from that decision until everything is as it was."""
        return self.at(Phase.ENDED) - self.at(Phase.TURNED)

    @property
    def exposed(self) -> float | None:
        """Seconds from the first new pod that could be asked to the decision to go back, None when there was never one."""
        return self.at(Phase.TURNED) - self.ready.first if self.ready.first else None

    @property
    def judged(self) -> float:
        """Seconds from the moment that `kubectl rollout status` waits for, all new pods ready, to users on them."""
        shift = next(number for number, step in enumerate(self.book.plan.steps) if step.kind is Kind.SHIFT)
        begun = next(line.at for line in self.lines if (line.phase, line.step) == (Phase.BEGUN, shift))
        return begun - self.ready.all

    def told(self) -> str:
        figures = f"{self.outcome}"
        if self.outcome is Outcome.ROLLED_BACK:
            seen = "" if self.exposed is None else f" ({self.exposed:.1f} s after a pod was ready)"
            figures = f"back by rule {self.rule} after {self.detected:.1f} s{seen}, whole after {self.back:.1f} s more"
        elif self.ready.all:
            figures += f"; users came {self.judged:.1f} s after all pods were ready"
        return f"{figures}; {len(self.load.outcomes)} requests, {len(self.load.failed)} failed; {self.why[:160]}"


class Readied:
    """When the first and when all pods of a new revision were ready, in seconds since 1970; watched while it is used."""

    def __init__(self, cloud: Cloud, revision: str, replicas: int) -> None:
        self.first = self.all = 0.0
        self._revision, self._replicas = revision, replicas
        self._watching = Watching(cloud.api, cloud.name, ("Pod",))
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._watching.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()
        self._watching.__exit__(None, None, None)

    def _watch(self) -> None:
        changes = -1
        while not self._end.is_set():
            changes = self._watching.wait(changes, 0.5)
            ready = sum(self._is_ready(pod) for pod in self._watching.objects("Pod").values())
            self.first = self.first or (clock.now().timestamp() if ready else 0.0)
            self.all = self.all or (clock.now().timestamp() if ready >= self._replicas else 0.0)

    def _is_ready(self, pod: Object) -> bool:
        conditions = {item["type"]: item["status"] for item in pod.get("status", {}).get("conditions", [])}
        return pod["metadata"]["labels"].get(REVISION) == self._revision and conditions.get("Ready") == "True"


class Upgrades:
    """Makes attempts in a cloud. Each has pods of a revision that there was never before."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        words = ["--root", str(REPOSITORY), "--quiet", "status", cloud.name]
        self._session = open_session(build_parser("release", SUMMARY, COMMANDS), words)

    def site(self, process: tuple[str, str]) -> Site:
        """Return the environment with its release, in which pods of a process ask for another amount of memory than ever."""
        environment, release = pinned(self._session, self.cloud.name)
        prepared = deploy.prepare(self.cloud.api, release, environment)
        data = environment.model_dump(by_alias=True, mode="json")
        service, name = process
        asked = {"requests": {"cpu": "50m", "memory": f"{next(_NUMBERS)}Mi"}, "limits": {"memory": "384Mi"}}
        changes = {"processes": {name: {"resources": asked}}}
        data["services"][service] = {**data["services"].get(service, {}), **changes}
        changed = type(environment).model_validate(data)
        return Site(release.content, changed, prepared.site.credentials, services_of(release.content, changed))

    def attempt(
        self,
        alter: Alter,
        *,
        process: tuple[str, str] = PROCESS,
        during: Callable[[Cloud], None] | None = None,
        source: str = "",
        soak: float = SOAK,
    ) -> Attempt:
        """Upgrade to objects of which `alter` has changed some, while `during` goes on; `source` is where it comes from."""
        site = self.site(process)
        rendered = altered(render_upgrade(site), process[0], alter)
        live = deploy.live_objects(self.cloud.api, self.cloud.name)
        version = str(site.content.version)
        goal = Goal(self.cloud.name, version, "", rendered, site.services)
        book = begin(self.cloud.api, self.cloud.name, plan(goal, source or version, live, Way(soak=soak)))
        target = Target(site, rendered)
        start = next(step for step in book.plan.steps if step.kind is Kind.START and step.process == process[1])
        ready = Readied(self.cloud, start.revision, start.replicas)
        with ready, Load(self.cloud.addresses, self.cloud.login[0], pause=0.2) as load:
            if during:
                threading.Thread(target=during, args=(self.cloud,), daemon=True).start()
            outcome = Engine(self.cloud.api, book, target, SilentReporter()).run()
        return Attempt(outcome, book, target, load, ready)

    def back(self, attempt: Attempt) -> None:
        """Take an upgrade that went well back, so that the next begins where this one did."""
        attempt.book.append(Line(Phase.TURNED, -1, clock.now().timestamp(), "the next one comes", "person"))
        outcome = Engine(self.cloud.api, attempt.book, attempt.target, SilentReporter()).run()
        assert outcome is Outcome.ROLLED_BACK

    def state(self) -> dict[tuple[str, str], Any]:
        """Return what an upgrade must leave as it was: without what the cluster writes, and what load decides."""
        live = deploy.live_objects(self.cloud.api, self.cloud.name)
        return {key: _plain(item) for key, item in live.items() if key[0] in _COMPARED}


def altered(rendered: Rendered, service: str, alter: Alter) -> Rendered:
    """Return objects of which those of a service are others."""
    stages = copy.deepcopy(rendered.stages)
    found = [item for stage in stages for item in stage.objects if item["metadata"]["name"].startswith(f"{service}-")]
    for item in found:
        alter(item)
    foundation = next(stage for stage in stages if stage.name == "foundation")
    text = Path(__file__).with_name("misbehaviour.py").read_text(encoding="utf-8")
    program = make("ConfigMap", "misbehaviour", {}, data={"sitecustomize.py": text})
    program["metadata"]["namespace"] = found[0]["metadata"]["namespace"]
    whole = replace(foundation, objects=(*foundation.objects, program))
    return replace(rendered, stages=tuple(whole if stage.name == "foundation" else stage for stage in stages))


def misbehave(kind: str) -> Alter:
    """Return the change by which placement's processes misbehave."""

    def alter(item: Object) -> None:
        if item["kind"] != "Deployment":
            return
        pod = item["spec"]["template"]["spec"]
        pod["volumes"] = [*pod.get("volumes", []), {"name": "faults", "configMap": {"name": "misbehaviour"}}]
        container = pod["containers"][0]
        container["volumeMounts"] = [*container.get("volumeMounts", []), {"name": "faults", "mountPath": "/faults"}]
        own = [{"name": "PYTHONPATH", "value": "/faults"}, {"name": "MISBEHAVIOUR", "value": kind}]
        container["env"] = [*container.get("env", []), *own]

    return alter


def container(kind: str = "Deployment", **given: Any) -> Alter:
    """Return the change of fields of the container of a kind of object."""

    def alter(item: Object) -> None:
        if item["kind"] == kind:
            item["spec"]["template"]["spec"]["containers"][0].update(given)

    return alter


def pod(**given: Any) -> Alter:
    """Return the change of fields of the pod."""

    def alter(item: Object) -> None:
        if item["kind"] == "Deployment":
            item["spec"]["template"]["spec"].update(given)

    return alter


def nothing(item: Object) -> None:
    """Change nothing: a good release."""


def _plain(item: Object) -> Any:
    spec = {key: value for key, value in item["spec"].items() if key != "replicas"}
    labels = item["metadata"].get("labels") or {}
    return {"labels": labels, "spec": spec}
