# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What an environment adds to a release: addresses, credentials, sizes, and the services as they run there. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from buildkit.models import Process, Service
from buildkit.store import HOST
from pipeline.manifests.credentials import Credentials
from releases import bundle
from releases.environment import Environment, ServiceChanges
from releases.release import ReleaseContent, ReleaseImage
from stackway.errors import Problem, WrongInputError
from stackway.spelling import nearest


@dataclass(frozen=True)
class Site:
    """A release in an environment."""

    content: ReleaseContent
    environment: Environment
    credentials: Credentials
    services: Mapping[str, Service]

    @property
    def namespace(self) -> str:
        """The namespace of everything."""
        return self.environment.cluster.namespace

    @property
    def openstack(self) -> list[Service]:
        """The services of OpenStack, in the order of their names."""
        return [item for item in self.services.values() if item.role == "openstack"]

    def provider(self, what: str) -> Service:
        """Return the service that is the others' identity, database, messaging, cache or client.

        Raises WrongInputError when the release has none.
        """
        found = self.own(what)
        if found is None:
            raise WrongInputError(
                f"release {self.content.version} has nothing that provides {what}",
                details=", ".join(sorted(self.services)),
                resolution=f"Give a service of the series `provides: {what}`.",
            )
        return found

    def own(self, what: str) -> Service | None:
        """Return the service that provides something here, None when the environment has it from outside."""
        return next((item for item in self.services.values() if item.provides == what), None)

    def hosts(self, what: str) -> list[str]:
        """Return names and ports of what provides something, as clients inside the cluster reach it."""
        outside = self.environment.external
        if outside.database and what == "database":
            return [f"{outside.database.host}:{outside.database.port}"]
        found = outside.messaging if what == "messaging" else outside.cache if what == "cache" else None
        return [f"{host}:{found.port}" for host in found.hosts] if found else [self._host(what)]

    def _host(self, what: str) -> str:
        from pipeline.manifests.workloads import workload_name

        service = self.provider(what)
        name, process = next((name, item) for name, item in service.processes.items() if item.port)
        return f"{workload_name(service.name, name)}:{process.port}"

    def image(self, service: str) -> str:
        """Return the image of a service, by digest: never by tag."""
        found: ReleaseImage = next(item for item in self.content.images if item.name == service)
        return f"{self.environment.cluster.images}/{found.name}@{found.manifest.digest}"

    @property
    def pull_policy(self) -> str:
        """When nodes fetch images: never where they were put by us, as there is nothing that they could be fetched from."""
        return "Never" if self.environment.cluster.images == HOST else "IfNotPresent"

    def address(self, service: Service, process: str, path: str = "") -> str:
        """Return the address of a process inside the cluster."""
        from pipeline.manifests.workloads import workload_name

        name = workload_name(service.name, process)
        return f"http://{name}.{self.namespace}.svc:{service.processes[process].port}{path}"

    def processes(self, service: Service) -> dict[str, Process]:
        """Return the processes of a service that run in this environment."""
        development = self.environment.development
        return {name: item for name, item in service.processes.items() if development or item.only == "everywhere"}

    def values(self, service: Service) -> dict[str, Any]:
        """Return what the templates of a service may use (images/shared/example.yaml shows all of it)."""
        return {
            "region": self.environment.region,
            "database": dict(self._databases()),
            "messaging": {"url": self._messaging()},
            "cache": {"servers": self.hosts("cache")},
            "identity": {"url": self.identity(), "public_url": self.identity()},
            "user": {"name": service.name, "password": self._password(service)},
            "secrets": self.credentials.shared,
        }

    def identity(self) -> str:
        """Return the address of the identity service, with its version."""
        service = self.provider("identity")
        entry = service.catalog[0]
        return self.address(service, entry.process, entry.path)

    def _messaging(self) -> str:
        outside = self.environment.external.messaging
        user, password = (
            quote(item, safe="") for item in (self.credentials.messaging_user, self.credentials.messaging)
        )
        members = ",".join(f"{user}:{password}@{host}" for host in self.hosts("messaging"))
        return f"rabbit://{members}/{outside.virtual_host if outside else ''}"

    def _password(self, service: Service) -> str:
        return self.credentials.values.get(f"user.{service.name}", "")

    def _databases(self) -> Mapping[str, str]:
        (host,) = self.hosts("database")
        return {
            schema: f"mysql+pymysql://{item.name}:{self.credentials.database(item.name)}@{host}/{schema}?charset=utf8mb4"
            for item in self.services.values()
            for schema in item.database.schemas
        }


def services_of(content: ReleaseContent, environment: Environment) -> dict[str, Service]:
    """Return the services of a release as an environment changes them, without those it has from outside.

    Raises WrongInputError for what it cannot change.
    """
    found = {name: Service.model_validate(row) for name, row in sorted(content.data(bundle.SPECS)["services"].items())}
    found = {name: item for name, item in found.items() if item.provides not in environment.external.kinds}
    problems = list(_unknown(found, environment))
    if problems:
        raise WrongInputError.from_problems(f"environments/{environment.name}.yaml does not fit the release", problems)
    return {name: _changed(service, environment.services.get(name)) for name, service in found.items()}


def _unknown(services: Mapping[str, Service], environment: Environment) -> Iterator[Problem]:
    """Yield what an environment names that the release does not have: silently it would change nothing."""
    for name, changes in environment.services.items():
        service = services.get(name)
        if service is None:
            yield _no("service", name, services)
            continue
        for key in sorted(changes.settings.keys() - service.settings.keys()):
            yield _no(f"setting of {name}", key, service.settings)
        for key in sorted(changes.processes.keys() - service.processes.keys()):
            yield _no(f"process of {name}", key, service.processes)


def _no(what: str, name: str, known: Iterable[str]) -> Problem:
    names = sorted(known)
    near = nearest(name, names)
    return Problem(
        f"there is no {what} {name!r}", None, f"Did you mean {near!r}?" if near else f"There are: {', '.join(names)}"
    )


def _changed(service: Service, changes: ServiceChanges | None) -> Service:
    if changes is None:
        return service
    processes = dict(service.processes)
    for name, wanted in changes.processes.items():
        given = {key: value for key, value in wanted if value is not None}
        processes[name] = processes[name].model_copy(update=given)
    return service.model_copy(update={"settings": {**service.settings, **changes.settings}, "processes": processes})
