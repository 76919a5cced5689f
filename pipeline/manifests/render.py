# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""All objects of an environment, in the stages in which they are applied. Pure: equal input, equal objects.

Stages are a graph: each begins when those that it names are ready, and within one everything may be applied at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from buildkit.models import Service
from pipeline.manifests import infrastructure, jobs
from pipeline.manifests.configuration import Configuration, configuration
from pipeline.manifests.monitoring import monitoring
from pipeline.manifests.network import policies
from pipeline.manifests.objects import ENVIRONMENT, Object
from pipeline.manifests.site import Site
from pipeline.manifests.workloads import Workload, workload

_ACCOUNTS = "database accounts"
CHECKS, BACKUP = "upgrade checks", "backup"


@dataclass(frozen=True)
class Stage:
    """Objects that are applied together once the stages in `after` are ready, and why they come then."""

    name: str
    reason: str
    after: tuple[str, ...]
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
    workloads = tuple(
        workload(site, configurations[name], process)
        for name, service in site.services.items()
        for process in site.processes(service)
    )
    stages = [
        Stage("namespace", "everything is in it", (), (infrastructure.namespace(site),)),
        Stage(
            "foundation",
            "what pods mount must be there before them",
            ("namespace",),
            tuple(_foundation(site, configurations)),
        ),
        *_accounts(site),
        *_databases(site, configurations, phases),
        *(stage for service in site.services.values() for stage in _service(site, service, workloads)),
        Stage("catalog", "services find each other by it", _addresses(site, "identity"), tuple(jobs.catalog_job(site))),
        _scaling(workloads),
        Stage("monitoring", "what is not seen is not known", ("foundation",), tuple(monitoring(site))),
    ]
    found = tuple(_placed(site, stage) for stage in stages if stage.objects)
    names = {stage.name for stage in found}
    return Rendered(tuple(replace(stage, after=_known(stage.after, names)) for stage in found), workloads)


def render_upgrade(site: Site) -> Rendered:
    """Return the objects of an environment that an upgrade leads to: schemas expanded and no more, and what proves it fit."""
    rendered = render(site, ("expand",))
    configurations = (configuration(site, service) for service in site.openstack)
    checks = tuple(item for found in configurations for item in jobs.check_job(site, found))
    own = site.own("database") if site.environment.rollout.backup != "none" else None
    stages = (
        Stage(CHECKS, "the new code looks at the old one's data before it touches any", ("foundation",), checks),
        Stage(BACKUP, "schemas do not go back", (CHECKS,), tuple(jobs.backup_job(site, own)) if own else ()),
    )
    proofs = (_placed(site, stage) for stage in stages if stage.objects)
    return replace(rendered, stages=(*rendered.stages, *proofs))


def _known(after: tuple[str, ...], names: set[str]) -> tuple[str, ...]:
    """Return the stages to wait for that there are: a service without a database has no stage for it."""
    return tuple(sorted({name for name in after if name in names}))


def _foundation(site: Site, configurations: dict[str, Configuration]) -> Iterator[Object]:
    yield infrastructure.credentials(site)
    if own := site.own("database"):
        yield infrastructure.keys(own.name, "init", {"init.sql": infrastructure.database_statements(site)})
    yield from infrastructure.claims(site)
    yield from policies(site)
    for item in configurations.values():
        yield from item.objects


def _accounts(site: Site) -> Iterator[Stage]:
    """Yield what makes our databases and users in a server from outside; one of ours does it at its start."""
    if outside := site.environment.external.database:
        items = tuple(jobs.accounts_job(site, outside, infrastructure.database_statements(site)))
        yield Stage(_ACCOUNTS, "the database is not ours and does not know us yet", ("foundation",), items)


def _databases(site: Site, configurations: dict[str, Configuration], phases: tuple[str, ...]) -> Iterator[Stage]:
    after = _addresses(site, "database")
    for service in site.openstack:
        if commands := [*jobs.phase_commands(service, phases), *service.bootstrap.values()]:
            items = jobs.service_job(site, configurations[service.name], "database", commands)
            reason = "schemas come before the code that reads them"
            yield Stage(_database(service.name), reason, after, tuple(items))


def _service(site: Site, service: Service, workloads: tuple[Workload, ...]) -> Iterator[Stage]:
    """Yield a service's workloads, and then its addresses: they lead to a new revision once it is ready.

    What users reach comes first. Workers are as long in starting as APIs, and nobody waits for them alone.
    """
    own = [item for item in workloads if item.service == service.name]
    ports = {name for name, process in service.processes.items() if process.port} or set(service.processes)
    first, later = ([item for item in own if (item.process in ports) is asked] for asked in (True, False))
    yield Stage(service.name, _reason(service), _needs(site, service), _objects_of(first))
    reason = "they lead to the new revision, which is ready now"
    addresses = tuple(item for found in own for item in found.addresses)
    yield Stage(_address(service.name), reason, (service.name,), addresses)
    reason = "the services that they talk to are there"
    yield Stage(_workers(service.name), reason, _worker_needs(service), _objects_of(later))


def _objects_of(workloads: list[Workload]) -> tuple[Object, ...]:
    return tuple(item for found in workloads for item in found.workload)


def _scaling(workloads: tuple[Workload, ...]) -> Stage:
    """Return the last stage: while everything starts, load says nothing about how many pods are needed."""
    services = {item.service for item in workloads}
    after = tuple(name for item in services for name in (item, _address(item), _workers(item)))
    return Stage("scaling", "what starts is busy without load", after, tuple(o for w in workloads for o in w.scaling))


def _needs(site: Site, service: Service) -> tuple[str, ...]:
    if service.role != "openstack":
        return ("foundation",)
    shared = tuple(name for what in ("database", "cache", "messaging") for name in _addresses(site, what))
    own = ("foundation", _database(service.name), *shared)
    return own if service.provides == "identity" else (*own, *_addresses(site, "identity"))


def _worker_needs(service: Service) -> tuple[str, ...]:
    """Return the stages before a service's workers: unlike APIs they ask other services when they start."""
    others = tuple(name for other in service.upgrade.after for name in (other, _address(other)))
    return (service.name, _address(service.name), "catalog", *others)


def _reason(service: Service) -> str:
    if service.role != "openstack":
        return f"services need it as their {service.provides}" if service.provides else "part of every environment"
    if service.provides == "identity":
        return "all services ask it who somebody is"
    return "its database is there, and who asks it is known"


def _addresses(site: Site, what: str) -> tuple[str, ...]:
    """Return the stages after which what provides something can be reached."""
    own = site.own(what)
    if own is None:
        return (_ACCOUNTS,) if what == "database" else ()
    return (own.name, _address(own.name))


def _address(service: str) -> str:
    return f"{service} address"


def _workers(service: str) -> str:
    return f"{service} workers"


def _database(service: str) -> str:
    return f"{service} database"


def _placed(site: Site, stage: Stage) -> Stage:
    """Return the stage with namespace and environment written into each object."""
    placed = []
    for item in stage.objects:
        metadata = {**item["metadata"], "labels": {**item["metadata"]["labels"], ENVIRONMENT: site.environment.name}}
        if item["kind"] != "Namespace":
            metadata["namespace"] = site.namespace
        placed.append({**item, "metadata": metadata})
    return replace(stage, objects=tuple(placed))
