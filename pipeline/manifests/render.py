# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""All objects of an environment, in the stages in which they are applied. Pure: equal input, equal objects.

Within a stage everything may be applied at once; the next stage waits until what this one has is ready.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from buildkit.models import Service
from pipeline.manifests import infrastructure, jobs
from pipeline.manifests.configuration import Configuration, configuration
from pipeline.manifests.network import policies
from pipeline.manifests.objects import ENVIRONMENT, Object
from pipeline.manifests.site import Site
from pipeline.manifests.workloads import Workload, workload


@dataclass(frozen=True)
class Stage:
    """Objects that are applied together, and why they come now."""

    name: str
    reason: str
    objects: tuple[Object, ...]


@dataclass(frozen=True)
class Rendered:
    """An environment as Kubernetes objects: in stages, and by process."""

    stages: tuple[Stage, ...]
    workloads: tuple[Workload, ...]

    @property
    def objects(self) -> list[Object]:
        """All objects, in order."""
        return [item for stage in self.stages for item in stage.objects]


def render(site: Site, phases: tuple[str, ...] = jobs.PHASES) -> Rendered:
    """Return the objects of an environment whose databases are to go through `phases`."""
    configurations = {name: configuration(site, service) for name, service in site.services.items()}
    workloads = [
        workload(site, configurations[name], process)
        for name, service in site.services.items()
        for process in site.processes(service)
    ]
    stages = [
        Stage("namespace", "everything is in it", (infrastructure.namespace(site),)),
        Stage("foundation", "what pods mount must be there before them", tuple(_foundation(site, configurations))),
        Stage(
            "infrastructure",
            "services need database, broker and cache",
            tuple(_of_role(site, workloads, "infrastructure")),
        ),
        Stage(
            "databases", "schemas come before the code that reads them", tuple(_databases(site, configurations, phases))
        ),
        Stage(
            "identity",
            "all services ask it who somebody is",
            tuple(_of_service(workloads, site.provider("identity").name)),
        ),
        Stage("catalog", "services find each other by it", tuple(jobs.catalog_job(site))),
        Stage("services", "nothing is left to wait for", tuple(_others(site, workloads))),
    ]
    return Rendered(tuple(_placed(site, stage) for stage in stages), tuple(workloads))


def _foundation(site: Site, configurations: dict[str, Configuration]) -> Iterator[Object]:
    yield infrastructure.credentials(site)
    yield infrastructure.keys(
        site.provider("database").name, "init", {"init.sql": infrastructure.database_statements(site)}
    )
    yield from infrastructure.claims(site)
    yield from policies(site)
    for item in configurations.values():
        yield from item.objects


def _databases(site: Site, configurations: dict[str, Configuration], phases: tuple[str, ...]) -> Iterator[Object]:
    for service in site.openstack:
        if commands := [*jobs.phase_commands(service, phases), *service.bootstrap.values()]:
            yield from jobs.service_job(site, configurations[service.name], "database", commands)


def _of_role(site: Site, workloads: list[Workload], role: str) -> Iterator[Object]:
    for item in workloads:
        if site.services[item.service].role == role:
            yield from item.objects


def _of_service(workloads: list[Workload], name: str) -> Iterator[Object]:
    for item in workloads:
        if item.service == name:
            yield from item.objects


def _others(site: Site, workloads: list[Workload]) -> Iterator[Object]:
    def is_other(service: Service) -> bool:
        return service.role == "openstack" and service.provides != "identity"

    for item in workloads:
        if is_other(site.services[item.service]):
            yield from item.objects


def _placed(site: Site, stage: Stage) -> Stage:
    """Return the stage with namespace and environment written into each object."""
    placed = []
    for item in stage.objects:
        metadata = {**item["metadata"], "labels": {**item["metadata"]["labels"], ENVIRONMENT: site.environment.name}}
        if item["kind"] != "Namespace":
            metadata["namespace"] = site.namespace
        placed.append({**item, "metadata": metadata})
    return Stage(stage.name, stage.reason, tuple(placed))
