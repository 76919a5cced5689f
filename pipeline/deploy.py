# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Deploys a release into an environment: reads the cluster, plans, applies stage by stage, and waits for what was applied."""

import base64
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pipeline import deployment, drawing
from pipeline.api import Api
from pipeline.deployment import DeploymentPlan, Key, Step, Verb
from pipeline.manifests import credentials as known
from pipeline.manifests import infrastructure, jobs
from pipeline.manifests.credentials import Credentials
from pipeline.manifests.objects import MANAGED_BY, MANAGER, Object
from pipeline.manifests.render import render
from pipeline.manifests.site import Site, services_of
from pipeline.readiness import State, readiness
from releases.environment import Environment
from releases.verify import Release
from stackway import clock
from stackway.console import Reporter
from stackway.errors import FailedError

_KINDS = (
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
    there = _decoded(live.get(("Secret", jobs.CREDENTIALS)))
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
        found = pool.map(lambda kind: api.list(kind, namespace, selector)[0], _KINDS)
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


def _decoded(secret: Object | None) -> dict[str, str]:
    data = (secret or {}).get("data") or {}
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def apply(api: Api, prepared: Prepared, reporter: Reporter, seconds: float) -> None:
    """Do what the plan says. Raises FailedError that names what does not get ready, with its last words.

    Killed at any moment it can be run again: what is applied is found, and what is not is made.
    """
    deadline = clock.monotonic() + seconds
    for number, step in enumerate(prepared.plan.steps):
        todo = [item.object for item in step.actions if item.verb is not Verb.KEEP]
        if step.stage == "foundation":
            todo = [*prepared.keys, *todo]
        reporter.task(step.stage, f"{len(todo)} objects", number / len(prepared.plan.steps))
        with ThreadPoolExecutor(_PARALLEL) as pool:
            list(pool.map(api.apply, todo))
        _wait(api, prepared.site, step, deadline, reporter)
        reporter.finish(step.stage, f"{len(todo)} applied, {len(step.actions)} in all")


def _wait(api: Api, site: Site, step: Step, deadline: float, reporter: Reporter) -> None:
    """Wait until everything of a stage is ready."""
    waiting = {item.key for item in step.actions if item.kind in _SLOW}
    while waiting:
        reasons = dict(_look(api, site.namespace, waiting))
        waiting = {key for key, reason in reasons.items() if reason}
        if not waiting:
            return
        first = min(waiting)
        reporter.task(step.stage, f"{len(waiting)} to go; {first[1]}: {reasons[first]}")
        if clock.monotonic() > deadline:
            raise _late(api, site.namespace, step, {key: reasons[key] for key in waiting})
        clock.sleep(_LOOK)


def _look(api: Api, namespace: str, keys: set[Key]) -> Iterator[tuple[Key, str]]:
    for kind in sorted({kind for kind, _ in keys}):
        live = {item["metadata"]["name"]: item for item in api.list(kind, namespace)[0]}
        for key in (key for key in keys if key[0] == kind):
            item = live.get(key[1])
            state = readiness(item) if item else None
            if state is None:
                yield key, "it is not there yet"
            elif state.state is State.FAILED:
                raise _broken(api, namespace, key, state.reason)
            else:
                yield key, state.reason if state.state is State.WAITING else ""


def _broken(api: Api, namespace: str, key: Key, reason: str) -> FailedError:
    return FailedError(
        f"{key[0]} {key[1]} failed",
        details=f"{reason}\n{_last_words(api, namespace, key[1])}",
        resolution="Mend what it says, then deploy again: what is done stays done.",
    )


def _late(api: Api, namespace: str, step: Step, reasons: dict[Key, str]) -> FailedError:
    rows = [f"{kind} {name}: {reason}" for (kind, name), reason in sorted(reasons.items())]
    first = min(reasons)[1]
    return FailedError(
        f"{len(rows)} objects of the stage {step.stage} did not get ready in time",
        details="\n".join([*rows[:10], _last_words(api, namespace, first)]),
        resolution="Look at their pods and events; then deploy again: what is done stays done.",
    )


def _last_words(api: Api, namespace: str, prefix: str) -> str:
    """Return the end of the log of the newest pod whose name begins so."""
    pods = [item for item in api.list("Pod", namespace)[0] if item["metadata"]["name"].startswith(prefix)]
    newest: Callable[[Object], Any] = lambda item: item["metadata"]["creationTimestamp"]  # noqa: E731 - a key
    return api.logs(namespace, max(pods, key=newest)["metadata"]["name"]) if pods else "it has no pod"
