# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The commit point of an upgrade: the old revision goes, then data that only it needed is migrated. Nothing here goes back."""

from collections.abc import Iterator

from buildkit.models import Command
from pipeline.api import Api, Object
from pipeline.manifests.configuration import configuration
from pipeline.manifests.jobs import service_job
from pipeline.manifests.site import Site
from pipeline.readiness import Readiness, State, readiness
from pipeline.rollout.plan import Kind, RolloutPlan
from stackway import clock
from stackway.console import Reporter
from stackway.errors import FailedError

_LOOK_SECONDS = 1.0
_GONE_SECONDS = 300.0
_ONLINE_SECONDS = 3600.0


def remove_old(api: Api, namespace: str, plan: RolloutPlan, reporter: Reporter) -> None:
    """Remove the workloads that an upgrade has replaced, and return when their pods are gone. Raises FailedError."""
    names = sorted({name for step in plan.steps if step.kind is Kind.START for name, _ in step.old})
    for name in names:
        api.delete("Deployment", name, namespace)
    deadline = clock.monotonic() + _GONE_SECONDS
    while left := [pod for pod in _pods(api, namespace) if pod.startswith(tuple(f"{name}-" for name in names))]:
        reporter.task("old revision", f"{len(left)} pods finish what they do")
        if clock.monotonic() > deadline:
            raise FailedError(
                "pods of the old revision do not end",
                details=", ".join(left[:5]),
                resolution="See what holds them; then finalize again. Schemas are not contracted while old code runs.",
            )
        clock.sleep(_LOOK_SECONDS)


def _pods(api: Api, namespace: str) -> Iterator[str]:
    return (str(item["metadata"]["name"]) for item in api.list("Pod", namespace)[0])


def migrate_online(api: Api, site: Site, reporter: Reporter) -> None:
    """Migrate the data of each service in batches while it serves. Raises FailedError with the last words of a job."""
    for service in site.openstack:
        online = service.database.online
        if online is None:
            continue
        job, command = "", Command(run=online.run)
        items = service_job(site, configuration(site, service), "online", [command], more=online.more)
        for item in items:
            placed = {**item, "metadata": {**item["metadata"], "namespace": site.namespace}}
            api.apply(placed)
            job = str(item["metadata"]["name"]) if item["kind"] == "Job" else job
        _await(api, site.namespace, job, reporter)
        for item in items:
            api.delete(item["kind"], str(item["metadata"]["name"]), site.namespace)


def _await(api: Api, namespace: str, job: str, reporter: Reporter) -> None:
    deadline = clock.monotonic() + _ONLINE_SECONDS
    while True:
        there: Object | None = api.get("Job", job, namespace)
        state = readiness({"kind": "Job", **there}) if there else Readiness(State.WAITING, "it is not there yet")
        if state.state is State.READY:
            return
        if state.state is State.FAILED or clock.monotonic() > deadline:
            pods = sorted(name for name in _pods(api, namespace) if name.startswith(f"{job}-"))
            raise FailedError(
                f"Job {job} failed",
                details=f"{state.reason}\n{api.logs(namespace, pods[-1]) if pods else ''}",
                resolution="Mend what it says, then finalize again: batches that are done stay done.",
            )
        reporter.task(job, state.reason)
        clock.sleep(_LOOK_SECONDS)
