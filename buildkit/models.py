# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What people may write in `images/`: services, series and bases. Shapes and rules only; reads no file, decides nothing.

Every field that ends in a Dockerfile, a shell or a manifest has a type that cannot hold what would break out of it.
The JSON Schema in `images/schema/` is generated from these models.
"""

import re
from datetime import date
from typing import Annotated, Any, Literal, Self

from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

API_VERSION: Literal["stackway/v1"] = "stackway/v1"
_TEMPLATE_MARK = re.compile(r"\{[{%#]|[}%#]\}")


def _no_break(text: str) -> str:
    if not text.isprintable():
        raise ValueError("line breaks, tabs and characters that nobody sees are not allowed here")
    return text


def _plain(text: str) -> str:
    if _TEMPLATE_MARK.search(_no_break(text)):
        raise ValueError("template syntax is not allowed here; values are data and are never rendered again")
    return text


def _version(text: str) -> str:
    try:
        Version(text)
    except InvalidVersion as error:
        raise ValueError(f"{text!r} is not a version number") from error
    if " " in text:
        raise ValueError("spaces are not allowed around a version number")
    return text


def _clean_path(text: str) -> str:
    if "//" in text or not {".", ".."}.isdisjoint(text.split("/")):
        raise ValueError("a path must be absolute and without `.`, `..` or `//`")
    return text


def _pattern(pattern: str) -> StringConstraints:
    return StringConstraints(strict=True, pattern=re.compile(pattern))


def _written_day(value: object) -> object:
    if not isinstance(value, str | date):
        raise ValueError("a day is written as 2027-01-31")  # noqa: TRY004 - pydantic's way to say so
    return value


Day = Annotated[date, BeforeValidator(_written_day)]
Text = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=500), AfterValidator(_plain)]
Name = Annotated[str, _pattern(r"\A[a-z][a-z0-9]*(-[a-z0-9]+)*\Z"), Field(max_length=40)]
SeriesName = Annotated[str, _pattern(r"\A[0-9]{1,4}(\.[0-9]{1,3}){0,2}\Z")]
VersionNumber = Annotated[
    str, StringConstraints(strict=True, max_length=60), AfterValidator(_no_break), AfterValidator(_version)
]
DebianPackage = Annotated[str, _pattern(r"\A[a-z0-9][a-z0-9+.-]+\Z")]
Distribution = Annotated[str, _pattern(r"\A[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(\[[a-z0-9,-]+\])?\Z")]
AbsolutePath = Annotated[str, _pattern(r"\A/[A-Za-z0-9._/@+-]*[A-Za-z0-9._@+-]\Z"), AfterValidator(_clean_path)]
Template = Annotated[str, _pattern(r"\A[A-Za-z0-9][A-Za-z0-9._-]*\.j2\Z")]
Word = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=300), AfterValidator(_plain)]
Variable = Annotated[str, _pattern(r"\A[A-Z_][A-Z0-9_]*\Z")]
Module = Annotated[str, _pattern(r"\A[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*\Z")]
WsgiTarget = Annotated[str, _pattern(r"\A[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*:[a-z_][a-z0-9_]*\Z")]
Duration = Annotated[str, _pattern(r"\A[1-9][0-9]*(ms|s|m|h)\Z")]
Quantity = Annotated[str, _pattern(r"\A[0-9]+(\.[0-9]+)?(m|Ki|Mi|Gi|Ti)?\Z")]
Sha256 = Annotated[str, _pattern(r"\Asha256:[0-9a-f]{64}\Z")]
Commit = Annotated[str, _pattern(r"\A[0-9a-f]{40}\Z")]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
LabelKey = Annotated[str, _pattern(r"\A[a-z0-9]+([.-][a-z0-9]+)*\Z")]
_Flag = Annotated[bool, Field(strict=True)]  # `yes` is text
Arguments = Annotated[tuple[Word, ...], Field(min_length=1)]


class Shape(BaseModel):
    """The rules every written object follows: no unknown keys, nothing changed after reading, keys in camelCase."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=False, validate_by_alias=True
    )


class Replicas(Shape):
    """How many pods of a process there are at least and at most."""

    min: Annotated[int, Field(strict=True, ge=0, le=500)] = Field(
        2, description="Never fewer than this, whatever the load."
    )
    max: Annotated[int, Field(strict=True, ge=1, le=500)] = Field(6, description="Autoscaling stops here.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) is larger than max ({self.max})")
        return self


class Amounts(Shape):
    """Processor and memory in Kubernetes' notation: `100m`, `256Mi`."""

    cpu: Quantity | None = Field(None, description="Processors: `100m` is a tenth of one.")
    memory: Quantity | None = Field(None, description="Memory: `256Mi`.")


class Resources(Shape):
    """What a pod of a process asks for and what it may not exceed."""

    requests: Amounts = Amounts()
    limits: Amounts = Amounts()


class Probe(Shape):
    """A native Kubernetes probe; exactly one of `http`, `tcp` and `command`."""

    http: Annotated[str, _pattern(r"\A/[A-Za-z0-9._~/-]*\Z")] | None = Field(
        None, description="Path of a GET on the process's port."
    )
    tcp: _Flag = Field(default=False, description="It is enough that the process's port accepts a connection.")
    command: Arguments | None = Field(None, description="Program in the container that must end with 0.")
    period: Duration = Field("10s", description="Time between two tries.")
    timeout: Duration = Field("5s", description="How long an answer may take.")
    failures: Annotated[int, Field(strict=True, ge=1, le=600)] = Field(
        3, description="So many failures in a row count."
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum((self.http is not None, self.tcp, self.command is not None)) != 1:
            raise ValueError("give exactly one of http, tcp and command")
        return self


class Probes(Shape):
    """When a process has started, when it may get traffic, and when it must be restarted."""

    startup: Probe | None = None
    readiness: Probe | None = None
    liveness: Probe | None = None


class Process(Shape):
    """One kind of container of a service: a WSGI application behind uWSGI, or a command."""

    summary: Text | None = Field(None, description="What it does, in one line.")
    wsgi: WsgiTarget | None = Field(
        None, description="module:attribute; uWSGI serves it with the shared configuration."
    )
    preload: tuple[Module, ...] = Field(
        (), description="Modules that uWSGI's first process imports, so that a worker which takes over starts at once."
    )
    command: Arguments | None = Field(None, description="Program and arguments, no shell.")
    port: Port | None = Field(None, description="The port it listens on.")
    ports: dict[Name, Port] = Field(default={}, description="Further named ports.")
    kind: Literal["stateless", "singleton", "stateful", "node"] = Field(
        "stateless",
        description="How it is run: any number of equal pods, one at a time, with identity and disk, or one a node.",
    )
    only: Literal["everywhere", "development"] = Field(
        "everywhere", description="`development`: left out of every other environment."
    )
    replicas: Replicas = Replicas()
    resources: Resources = Resources()
    probes: Probes = Probes()
    environment: dict[Variable, Word] = Field({}, description="Environment variables of this process alone.")
    config: tuple[Name, ...] | None = Field(
        None, description="Configuration files it mounts; all of the service's when absent."
    )
    volumes: tuple[Name, ...] | None = Field(None, description="Volumes it mounts; all of the service's when absent.")
    grace: Duration = Field("60s", description="Time to finish what is in progress after SIGTERM.")
    drain: Duration = Field("5s", description="Time between leaving the Service and SIGTERM.")
    public: _Flag = Field(default=False, description="Clients of the cloud reach it through the service catalogue.")

    @model_validator(mode="after")
    def _one_program(self) -> Self:
        if (self.wsgi is None) == (self.command is None):
            raise ValueError("give either wsgi or command")
        if self.preload and not self.wsgi:
            raise ValueError("preload is for WSGI processes")
        if self.wsgi and self.port is None:
            raise ValueError("a WSGI process needs a port")
        return self


class ConfigFile(Shape):
    """One rendered file: into the image when no environment changes it, at deployment otherwise."""

    template: Template = Field(description="File below the service's `templates/`, else the shared one.")
    path: AbsolutePath = Field(description="Where the file is in the container.")
    render: Literal["image", "deployment"] = Field("deployment", description="In the image, or for each environment.")
    format: Literal["ini", "yaml", "text"] = Field("ini", description="How the file is read.")
    secret: _Flag = Field(default=False, description="It holds credentials: mounted from a Secret, never printed.")
    mode: Annotated[str, _pattern(r"\A0[0-7]{3}\Z")] = Field("0640", description="Permissions, octal.")


class Volume(Shape):
    """A writable or secret place in a container; the root file system is read-only."""

    path: AbsolutePath = Field(description="Where it is mounted.")
    source: Literal["empty", "memory", "secret", "claim"] = Field(
        alias="from", description="Empty disk, memory, a Secret, or a claim that stays."
    )
    size: Quantity | None = Field(None, description="Limit; of a claim its size.")
    shared: _Flag = Field(default=False, description="All pods of the service see the same content.")

    @model_validator(mode="after")
    def _sized(self) -> Self:
        if self.source == "claim" and self.size is None:
            raise ValueError("a claim needs a size")
        return self


class Packages(Shape):
    """What an image contains beyond its base."""

    python: tuple[Distribution, ...] = Field(
        (), description="Distributions; versions come from `version`, overrides, constraints."
    )
    system: tuple[DebianPackage, ...] = Field((), description="Debian packages; versions come from the lock.")


class Override(Shape):
    """A version that differs from the series' constraints, or that these leave open. Expires, so that somebody looks again."""

    version: VersionNumber = Field(description="The version instead.")
    owner: Text = Field(description="Who decides when it expires.")
    reason: Text = Field(description="Why it is needed.")
    expires: Day = Field(description="The day from which it no longer holds.")


class Condition(Shape):
    """True when `run` prints `contains`."""

    run: Arguments = Field(description="Program and arguments, no shell.")
    contains: Text = Field(description="Text to look for in what it prints.")


class Command(Shape):
    """A command with a name for messages and records."""

    run: Arguments = Field(description="Program and arguments, no shell.")
    summary: Text | None = Field(None, description="What it does, in one line.")
    unless: Condition | None = Field(None, description="Skip it when this command's output already contains the text.")
    secret_environment: tuple[Variable, ...] = Field(
        (), description="Environment variables filled from the environment's secrets."
    )
    environment: dict[Variable, Word] = Field(
        {}, description="Environment variables; `{region}` and `{address}` (the service's own) are filled in."
    )


class DatabaseState(Shape):
    """How to ask the service which schema phases are pending; `codes` maps exit codes to phases."""

    run: Arguments = Field(description="The command that asks.")
    codes: dict[
        Annotated[str, _pattern(r"\A[0-9]{1,3}\Z")], Literal["done", "expand", "migrate", "contract", "error"]
    ] = Field({}, description="Exit code → phase that is pending.")


class OnlineMigration(Shape):
    """Data migrations in bounded batches, repeated while the exit code is `more`."""

    run: Arguments = Field(description="The command of one batch.")
    done: Annotated[int, Field(strict=True)] = Field(0, description="Exit code when nothing is left.")
    more: Annotated[int, Field(strict=True)] = Field(1, description="Exit code when something is left.")


class Database(Shape):
    """The service's schemas and the commands of each phase; see docs/reference/database-phases.md."""

    schemas: dict[Annotated[str, _pattern(r"\A[a-z][a-z0-9_]{0,30}\Z")], Text] = Field(
        {}, description="Schema name → what it holds."
    )
    expand: tuple[Command, ...] = Field(
        (), description="Additive; run while the old code serves, always before new pods."
    )
    migrate: tuple[Command, ...] = Field((), description="Data; run while both may serve.")
    contract: tuple[Command, ...] = Field((), description="Run at finalize only, when no old code is left.")
    online: OnlineMigration | None = None
    state: DatabaseState | None = None


class SmokeChecks(Shape):
    """What each image proves in its own build: imports, console scripts, configuration by the service's own parser."""

    imports: tuple[Module, ...] = Field((), description="Modules that must be importable.")
    commands: tuple[Arguments, ...] = Field(
        (), description="Each must end with exit code 0, as the image's user, with no network."
    )
    options: dict[AbsolutePath, tuple[Word, ...]] = Field(
        {},
        description="Configuration file → oslo.config option namespaces; an option that none of them knows is an error.",
    )


class UpgradeCheck(Shape):
    """The `*-status upgrade check` command, and which results may pass."""

    run: Arguments = Field(description="The command.")
    allow: dict[Text, Text] = Field({}, description="Check title → why a warning of it is acceptable.")


RequestPath = Annotated[str, _pattern(r"\A/[A-Za-z0-9._~/?=&{}-]*\Z")]


class GateRequest(Shape):
    """A real request that a new pod must answer before it may get traffic."""

    process: Name = Field(description="The process that is asked.")
    method: Literal["GET", "POST", "PUT", "DELETE"] = Field("GET", description="HTTP method.")
    path: RequestPath = Field(description="Path and query; `{project_id}` stands for the project of the token.")
    expect: tuple[Annotated[int, Field(strict=True, ge=100, le=599)], ...] = Field(
        (200,), description="Status codes that count as an answer."
    )
    authenticated: _Flag = Field(default=True, description="Sent with a token.")


class RoundTrip(Shape):
    """What an API knows of workers because they went on telling: proof that they work, for each that a row names.

    A worker is meant by a row with the name of its pod; where no row has one, any good row is proof for all.
    """

    process: Name = Field(description="The process whose work is proved.")
    asked: Name = Field("api", description="The process of the same service that is asked, with a token.")
    path: RequestPath = Field(description="Path and query; `{project_id}` stands for the project of the token.")
    rows: Word = Field(description="Key of the list in the answer.")
    name: Word = Field("host", description="Key in a row that names the worker.")
    field: Word = Field(description="Key in a row that tells how it does.")
    good: Word | _Flag = Field(description="Its value when all is well.")


class Checks(Shape):
    """All proofs a service has to give: in its build, before an upgrade, and during a rollout."""

    smoke: SmokeChecks = SmokeChecks()
    upgrade: UpgradeCheck | None = None
    requests: tuple[GateRequest, ...] = ()
    round_trips: tuple[RoundTrip, ...] = ()


class ServiceRecords(Shape):
    """Rows by which processes find each other; what the way back has to repair."""

    binaries: tuple[Name, ...] = Field(description="Names under which processes register.")
    list: Arguments = Field(description="Command that lists the rows as JSON.")
    delete: Arguments = Field(description="Command that deletes one row; its id is appended.")


class Upgrade(Shape):
    """The service's place in an upgrade and what going back takes."""

    after: tuple[Name, ...] = Field((), description="Services that must be upgraded before this one.")
    order: tuple[Name, ...] = Field((), description="Processes in the order in which they are replaced.")
    pin: dict[Word, Word] = Field(
        {}, description="Configuration option → value that holds RPC at the old version until finalize."
    )
    records: ServiceRecords | None = None
    back: Literal["pods", "pods-and-records", "restore"] = Field(
        "pods", description="What the way back to the earlier series needs."
    )
    notes: tuple[Text, ...] = Field((), description="What an operator should know.")


class CatalogEntry(Shape):
    """The service's entry in keystone's catalogue; `{project_id}` in a path is keystone's own substitution."""

    type: Name = Field(description="Service type.")
    name: Name = Field(description="Name of the service.")
    summary: Text = Field(description="Description of the service.")
    process: Name = Field(description="The process that serves it.")
    path: Annotated[str, _pattern(r"\A(/[A-Za-z0-9._%()-]*)*\Z")] = Field("", description="Path behind the address.")


class User(Shape):
    """Who runs the container; never root."""

    name: Name = Field(description="Name of user and group.")
    uid: Annotated[int, Field(strict=True, ge=1000, le=60000)] = Field(
        description="Number of user and group, the same in every build."
    )
    home: AbsolutePath = Field(description="Home directory, which belongs to the user.")


class Service(Shape):
    """An image and how its processes are run. `service.yaml` and a series file, merged, give one."""

    api_version: Literal["stackway/v1"] = Field(description="Version of this format.")
    kind: Literal["Service"] = Field(description="Kind of this file.")
    name: Name = Field(description="As the folder is called.")
    series: SeriesName = Field(description="As the file is called.")
    version: VersionNumber = Field(description="Version of `distribution`, or of the server.")
    summary: Text = Field(description="What it is, in one line; a label of the image.")
    role: Literal["openstack", "infrastructure", "tool"] = Field(
        "openstack", description="Part of OpenStack, what OpenStack needs, or a tool."
    )
    provides: Literal["identity", "database", "messaging", "cache", "client", "monitoring"] | None = Field(
        None, description="What it is for the others in every environment; absent: nothing that they wait for."
    )
    layout: Literal["python", "system"] = Field(
        "python", description="A Python environment on the series' base, or Debian packages only."
    )
    base: Name | None = Field(None, description="Its base; absent: the series' base.")
    distribution: Distribution | None = Field(None, description="The Python distribution that `version` belongs to.")
    licenses: Text = Field("Apache-2.0", description="SPDX licence expression; a label of the image.")
    user: User = User(name="openstack", uid=42400, home="/var/lib/openstack")
    packages: Packages = Packages()
    overrides: dict[Distribution, Override] = {}
    config: dict[Name, ConfigFile] = {}
    volumes: dict[Name, Volume] = {}
    directories: tuple[AbsolutePath, ...] = Field((), description="Directories that belong to the user in the image.")
    environment: dict[Variable, Word] = Field({}, description="Environment variables of all processes, in the image.")
    labels: dict[LabelKey, Text] = Field({}, description="Further labels of the image.")
    settings: dict[Annotated[str, _pattern(r"\A[a-z][a-z0-9_]*\Z")], Word | int | bool] = Field(
        {}, description="Values for this service's templates that an environment may change."
    )
    processes: dict[Name, Process] = {}
    database: Database = Database()
    bootstrap: dict[Name, Command] = Field(
        {}, description="Steps of a first deployment, in order; each may be run again."
    )
    catalog: tuple[CatalogEntry, ...] = ()
    checks: Checks = Checks()
    upgrade: Upgrade = Upgrade()

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        for name, process in self.processes.items():
            _known(f"processes.{name}.config", process.config or (), self.config)
            _known(f"processes.{name}.volumes", process.volumes or (), self.volumes)
        _known("upgrade.order", self.upgrade.order, self.processes)
        _known("checks.requests", (item.process for item in self.checks.requests), self.processes)
        _known("catalog", (item.process for item in self.catalog), self.processes)
        if self.layout == "python" and self.distribution and self.distribution not in self.packages.python:
            raise ValueError(f"distribution {self.distribution!r} is not in packages.python")
        return self

    @property
    def image(self) -> str:
        """The image's name in tables and stores: `keystone:2026.1`."""
        return f"{self.name}:{self.series}"


def _known(where: str, names: Any, known: dict[str, Any]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(
                f"{where} names {name!r}, which is not there; there are: {', '.join(sorted(known)) or 'none'}"
            )


class Constraints(Shape):
    """OpenStack's upper-constraints, by commit and content."""

    file: Annotated[str, _pattern(r"\A[a-z0-9.-]+\.txt\Z")] = Field(description="File in `images/constraints/`.")
    commit: Commit = Field(description="Commit of the requirements repository that it is from.")
    digest: Sha256 = Field(description="The file's checksum.")


class Series(Shape):
    """An OpenStack release: base, constraints, and its place among the releases."""

    api_version: Literal["stackway/v1"] = Field(description="Version of this format.")
    kind: Literal["Series"] = Field(description="Kind of this file.")
    name: SeriesName = Field(description="As the file is called.")
    codename: Text = Field(description="The release's name.")
    base: Name = Field(description="The base of its Python images.")
    slurp: _Flag = Field(description="One can upgrade from the last SLURP release directly.")
    released: date = Field(description="Day of the release.")
    end_of_life: date = Field(description="Last day of maintenance upstream.")
    upgrades_from: tuple[SeriesName, ...] = Field(description="Series from which an upgrade is supported.")
    constraints: Constraints
    packages: tuple[Distribution, ...] = Field(
        (), description="Python distributions that every Python image of the series carries."
    )
    overrides: dict[Distribution, Override] = {}
    keep_tests: dict[Distribution, Text] = Field(
        {}, description="Distributions that keep the tests they carry, and why: something that runs imports them."
    )
    infrastructure: dict[Name, SeriesName] = Field({}, description="Infrastructure image → its own series.")


class Base(Shape):
    """A distribution release that images stand on: Debian packages in stages, and one Python."""

    api_version: Literal["stackway/v1"] = Field(description="Version of this format.")
    kind: Literal["Base"] = Field(description="Kind of this file.")
    name: Name = Field(description="As the file is called.")
    distribution: Text = Field(description="Name and version, for people.")
    suite: Name = Field(description="The suite's name in the archive.")
    python: Annotated[str, _pattern(r"\A3\.[0-9]{1,2}\Z")] = Field(description="Version of its Python.")
    platform: Literal["x86_64-manylinux_2_28"] = Field(description="Platform tag for wheels.")
    usr_merge: _Flag = Field(
        description="The packages are not merged yet: make the /usr links before they are unpacked."
    )
    operating_system: tuple[DebianPackage, ...] = Field(
        description="Packages beyond the essential ones in every image."
    )
    interpreter: tuple[DebianPackage, ...] = Field(description="Packages in every Python image.")
    backends: dict[Distribution, VersionNumber] = Field(
        {}, description="What builds, offline, the few distributions that have no wheel; in no image."
    )
