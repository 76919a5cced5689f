# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Deploys a release into an environment: reads the cluster, plans, applies stage by stage, and waits for what was applied."""

import base64
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pipeline import deployment, drawing
from pipeline.api import Api
from pipeline.deployment import SCALER, Action, DeploymentPlan, Key, Step, Verb
from pipeline.manifests import credentials as known
from pipeline.manifests import infrastructure, jobs
from pipeline.manifests.credentials import Credentials
from pipeline.manifests.objects import MANAGED_BY, MANAGER, Object
from pipeline.manifests.render import render
from pipeline.manifests.site import Site, services_of
from pipeline.readiness import Readiness, State, readiness
from pipeline.watching import Watching
from releases.environment import Environment
from releases.verify import Release
from stackway import clock
from stackway.console import Reporter
from stackway.errors import FailedError, WrongInputError

KINDS = (
    "ConfigMap",
    "Secret",
    "Service",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "Job",
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
    "NetworkPolicy",
    "ServiceAccount",
    "Role",
    "RoleBinding",
)
_SLOW = ("Deployment", "StatefulSet", "Job")
_PARALLEL = 8
_LOOK = 0.5


@dataclass(frozen=True)
class Prepared:
    """A plan, and what it was made from."""

    plan: DeploymentPlan
    site: Site
    keys: tuple[Object, ...]


def prepare(api: Api, release: Release, environment: Environment) -> Prepared:
    """Return what a deployment would do. Changes nothing in the cluster; credentials that are not there yet are drawn."""
    services = services_of(release.content, environment)
    namespace = environment.cluster.namespace
    live = live_objects(api, namespace)
    there = {**_decoded(live.get(("Secret", jobs.CREDENTIALS))), **_given(api, environment)}
    site = Site(
        release.content,
        environment,
        Credentials(drawing.draw_credentials(known.names(services.values()), there)),
        services,
    )
    keys = tuple(_keys(site, live))
    rendered = render(site)
    return Prepared(deployment.plan(environment.name, str(release.version), rendered, live), site, keys)


def live_objects(api: Api, namespace: str) -> dict[Key, Object]:
    """Return the objects of ours in a namespace, by kind and name."""
    selector = f"{MANAGED_BY}={MANAGER}"
    with ThreadPoolExecutor(_PARALLEL) as pool:
        found = pool.map(lambda kind: api.list(kind, namespace, selector)[0], KINDS)
        live = {(item["kind"], item["metadata"]["name"]): item for items in found for item in items}
    own = api.get("Namespace", namespace)
    return {**live, **({("Namespace", namespace): own} if own else {})}


def _keys(site: Site, live: dict[Key, Object]) -> Iterator[Object]:
    """Yield the Secrets of keys that are not there yet: they are drawn once."""
    for service in site.services.values():
        for name, volume in service.volumes.items():
            if volume.source == "secret" and volume.shared and ("Secret", f"{service.name}-{name}") not in live:
                item = infrastructure.keys(service.name, name, drawing.draw_fernet_keys())
                item["metadata"]["namespace"] = site.namespace
                yield item


def _given(api: Api, environment: Environment) -> dict[str, str]:
    """Return the credentials that come with what the environment has from outside. Raises WrongInputError without them."""
    outside = environment.external
    logins = {
        item.secret: _login(api, environment, item.secret) for item in (outside.database, outside.messaging) if item
    }
    if outside.messaging is None:
        return {}
    login = logins[outside.messaging.secret]
    return {known.MESSAGING_USER: login["user"], known.MESSAGING: login["password"]}


def _login(api: Api, environment: Environment, name: str) -> dict[str, str]:
    namespace = environment.cluster.namespace
    found = _decoded(api.get("Secret", name, namespace))
    if missing := [key for key in ("user", "password") if not found.get(key)]:
        raise WrongInputError(
            f"the Secret {name} has no {' and no '.join(missing)}" if found else f"there is no Secret {name}",
            details=f"environments/{environment.name}.yaml names it below `external`; namespace {namespace}",
            resolution=f"`kubectl --namespace {namespace} create secret generic {name} --from-literal=user=… "
            "--from-file=password=FILE`, in a namespace of that name; then deploy with --adopt.",
        )
    return found


def _decoded(secret: Object | None) -> dict[str, str]:
    data = (secret or {}).get("data") or {}
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def apply(api: Api, prepared: Prepared, reporter: Reporter, seconds: float) -> dict[str, float]:
    """Do what the plan says; return the second at which each stage was ready.

    Killed at any moment it can be run again: what is applied is found, and what is not is made. Raises FailedError that names
    what does not get ready, with its last words.
    """
    namespace = prepared.site.namespace
    with Watching(api, namespace, _SLOW) as watching:
        return _Run(api, prepared, reporter, watching).go(seconds)


class _Run:
    """One run: stages begin as soon as those they wait for are ready."""

    def __init__(self, api: Api, prepared: Prepared, reporter: Reporter, watching: Watching) -> None:
        self._api, self._prepared, self._reporter, self._watching = api, prepared, reporter, watching
        self._started: set[str] = set()
        self._cleared: set[str] = set()
        self._applied: dict[Key, int] = {}
        self._ready: dict[str, float] = {}
        self._begin = clock.monotonic()

    def go(self, seconds: float) -> dict[str, float]:
        """Return when each stage was ready. Raises FailedError."""
        steps = self._prepared.plan.steps
        while len(self._ready) < len(steps):
            changes = self._watching.changes
            self._start([step for step in steps if step.stage not in self._started and self._may(step)])
            reasons = {step.stage: self._reasons(step) for step in steps if self._is_open(step)}
            for step in [step for step in steps if reasons.get(step.stage) == {}]:
                self._finish(step)
            if all(reasons.values()):
                self._watching.wait(changes, _LOOK)
            if any(reasons.values()) and clock.monotonic() > self._begin + seconds:
                raise _late(self._api, self._prepared.site.namespace, reasons)
        self._remove()
        return self._ready

    def _may(self, step: Step) -> bool:
        return set(step.after) <= self._ready.keys()

    def _is_open(self, step: Step) -> bool:
        return step.stage in self._started and step.stage not in self._ready

    def _start(self, steps: list[Step]) -> None:
        """Apply all objects of these stages, many at a time."""
        actions = [item for step in steps for item in step.actions if item.verb is not Verb.KEEP]
        for item in actions:
            if item.verb is Verb.AGAIN and item.kind == "Job":
                self._clear(item)
        todo = [item.object for item in actions]
        if any(step.stage == "foundation" for step in steps):
            todo = [*self._prepared.keys, *todo]
        with ThreadPoolExecutor(_PARALLEL) as pool:
            for made in pool.map(self._api.apply, todo):
                metadata = made["metadata"]
                self._applied[made["kind"], metadata["name"]] = metadata.get("generation", 0)
        self._started |= {step.stage for step in steps}

    def _clear(self, action: Action) -> None:
        """Remove what has failed, and forget what was seen of it: a Job is not begun anew in any other way."""
        there = self._watching.objects(action.kind).get(action.name)
        if there:
            self._cleared.add(there["metadata"]["uid"])
        self._api.delete(action.kind, action.name, self._prepared.site.namespace)

    def _reasons(self, step: Step) -> dict[Key, str]:
        """Return what of a stage is not ready, and why. Raises FailedError for what never will be."""
        found: dict[Key, str] = {}
        for (kind, name), least in (_awaited(item) for item in step.actions if item.kind in (*_SLOW, SCALER)):
            item = self._seen(kind, name)
            state = readiness(item, least) if item else Readiness(State.WAITING, "it is not there yet")
            if state.state is State.FAILED:
                raise _broken(self._api, self._prepared.site.namespace, (kind, name), state.reason)
            if state.state is State.WAITING:
                found[kind, name] = state.reason
        if found:
            first = min(found)
            self._reporter.task(step.stage, f"{first[1]}: {found[first]}")
        return found

    def _seen(self, kind: str, name: str) -> Object | None:
        """Return what was seen of an object since we applied it: what it was before says nothing about it now."""
        item = self._watching.objects(kind).get(name)
        if item is None or item["metadata"]["uid"] in self._cleared:
            return None
        is_old = item["metadata"].get("generation", 0) < self._applied.get((kind, name), 0)
        return None if is_old else item

    def _finish(self, step: Step) -> None:
        self._ready[step.stage] = round(clock.monotonic() - self._begin, 2)
        changed = sum(item.verb is not Verb.KEEP for item in step.actions)
        self._reporter.finish(step.stage, f"ready; {changed} of {len(step.actions)} objects changed")

    def _remove(self) -> None:
        namespace = self._prepared.site.namespace
        for item in self._prepared.plan.leftovers:
            self._api.delete(item.kind, item.name, namespace)


def _awaited(action: Action) -> tuple[Key, int | None]:
    """Return what gets ready by an object, and how many pods are enough: an autoscaler may want more by now."""
    spec = action.object["spec"]
    if action.kind == SCALER:
        return ("Deployment", spec["scaleTargetRef"]["name"]), spec["minReplicas"]
    return action.key, spec.get("replicas")


def _broken(api: Api, namespace: str, key: Key, reason: str) -> FailedError:
    return FailedError(
        f"{key[0]} {key[1]} failed",
        details=f"{reason}\n{_last_words(api, namespace, key[1])}",
        resolution="Mend what it says, then deploy again: what is done stays done.",
    )


def _late(api: Api, namespace: str, stages: Mapping[str, Mapping[Key, str]]) -> FailedError:
    reasons = {key: reason for found in stages.values() for key, reason in found.items()}
    rows = [f"{kind} {name}: {reason}" for (kind, name), reason in sorted(reasons.items())]
    first = min(reasons)[1] if reasons else ""
    return FailedError(
        f"{len(rows)} objects did not get ready in time",
        details="\n".join([*rows[:10], _last_words(api, namespace, first)]),
        resolution="Look at their pods and events; then deploy again: what is done stays done.",
    )


def _last_words(api: Api, namespace: str, prefix: str) -> str:
    """Return the end of the log of the newest pod whose name begins so."""
    pods = [item for item in api.list("Pod", namespace)[0] if item["metadata"]["name"].startswith(prefix)]
    newest: Callable[[Object], Any] = lambda item: item["metadata"]["creationTimestamp"]  # noqa: E731 - a key
    return api.logs(namespace, max(pods, key=newest)["metadata"]["name"]) if pods else "it has no pod"
