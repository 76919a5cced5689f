# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What people may write in `environments/`: whom an environment trusts and what must hold before a release gets there.

Shapes and rules only; reads no file, decides nothing. The JSON Schema in `environments/schema/` is generated from it.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from buildkit.models import API_VERSION, Day, Duration, Name, Replicas, Resources, Shape, Text, Word
from buildkit.scan.policy import Age, seconds

Back = Literal["pods", "pods-and-records", "restore"]
KeyPattern = Annotated[
    str,
    StringConstraints(strict=True, max_length=200, pattern=re.compile(r"\A[A-Za-z0-9_*?][A-Za-z0-9_./*?-]*\.pub\Z")),
]
StoreAddress = Annotated[
    str, StringConstraints(strict=True, max_length=300, pattern=re.compile(r"\A[A-Za-z0-9_./:\[\]-]+\Z"))
]
SettingName = Annotated[str, StringConstraints(strict=True, pattern=re.compile(r"\A[a-z][a-z0-9_]*\Z"))]
RegionName = Annotated[str, StringConstraints(strict=True, pattern=re.compile(r"\A[A-Za-z][A-Za-z0-9_-]{0,60}\Z"))]
HostName = Annotated[
    str,
    StringConstraints(strict=True, max_length=253, pattern=re.compile(r"\A[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?\Z")),
]
_Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
_Flag = Annotated[bool, Field(strict=True)]
_Count = Annotated[int, Field(strict=True, ge=1, le=20)]
_Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class Revocation(Shape):
    """A key that nobody may trust any more."""

    key: KeyPattern = Field(description="Its public key file.")
    reason: Text = Field(description="Why; people will ask.")


class Trust(Shape):
    """Whose signatures count, and how many are needed."""

    keys: tuple[KeyPattern, ...] = Field(
        (), description="Public keys whose signatures on releases count; files, `*` allowed."
    )
    threshold: _Count = Field(1, description="So many of these keys must have signed a release.")
    promoters: tuple[KeyPattern, ...] = Field(
        (), description="Keys that may move the environment's pin; absent: those of `keys`."
    )
    observers: tuple[KeyPattern, ...] = Field(
        (), description="Keys that may sign what was seen of a running release; absent: those of `promoters`."
    )
    former: tuple[KeyPattern, ...] = Field((), description="Keys that have signed earlier records and do so no more.")
    revoked: tuple[Revocation, ...] = Field((), description="Keys that got into wrong hands, each with a reason.")


class Channel(Shape):
    """How long a pin is believed without anybody signing again."""

    expires: Age = Field("90d", description="After this time without a new record nothing reads the pin any more.")


class LiveGate(Shape):
    """The release must be live and healthy in the source, by a signed observation."""

    max_age: Age = Field(
        "6h", description="The newest observation may be this old, and a soak may have gaps of that length."
    )


class ScanGate(Shape):
    """Every image must pass a policy, judged anew with the database of the day."""

    policy: Name = Field(description="The rules: `policies/NAME.yaml`.")
    database_max_age: Age = Field("24h", description="The database may be this old.")


class ApprovalGate(Shape):
    """People must agree, each by a signature."""

    by: Annotated[tuple[KeyPattern, ...], Field(min_length=1)] = Field(description="Public keys of those who may.")
    at_least: _Count = Field(1, description="So many of them must.")


class Freeze(Shape):
    """A time in which nothing is promoted."""

    begin: Day = Field(alias="from", description="First day (UTC).")
    end: Day = Field(alias="to", description="Last day (UTC).")
    reason: Text = Field(description="Why; the refusal says it.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.begin > self.end:
            raise ValueError(f"it ends ({self.end}) before it begins ({self.begin})")
        return self

    def holds(self, now: datetime) -> bool:
        """Tell whether it is on at `now`."""
        return self.begin <= now.astimezone(UTC).date() <= self.end


class Gates(Shape):
    """What must hold before a release gets into the environment. A gate that is not written is not asked."""

    live: LiveGate | None = None
    soak: Age | None = Field(None, description="So long it must have been healthy in the source without a break.")
    scan: ScanGate | None = None
    approvals: ApprovalGate | None = None
    lineage: tuple[Name, ...] = Field((), description="Environments that the release must have been in before.")
    freeze: tuple[Freeze, ...] = Field((), description="Times in which nothing is promoted.")
    back: Annotated[tuple[Back, ...], Field(min_length=1)] = Field(
        ("pods", "pods-and-records"), description="What the way back to the earlier series may take."
    )
    candidates: _Flag = Field(default=False, description="Release candidates (`2026.1.3-rc.1`) may come here.")


class Rollout(Shape):
    """How an upgrade goes and when it goes back. Shares are of requests, 0.01 is one in a hundred."""

    strategy: Literal["rolling", "blue-green"] = Field(
        "rolling", description="Service by service, or everything beside the old release and then users."
    )
    soak: Duration = Field(
        "30s", description="So long the whole is watched at the end before the upgrade counts as done."
    )
    backup: Literal["proved", "dumped", "none"] = Field(
        "proved",
        description="Before schemas change, the environment's own database is dumped; and restored elsewhere, as a proof.",
    )
    good: _Share = Field(0.01, description="A revision of which at most this share of requests fails is good.")
    bad: _Share = Field(0.05, description="A revision of which at least this share fails is bad.")
    alpha: _Share = Field(0.01, description="The chance to take a good revision back.")
    beta: _Share = Field(0.01, description="The chance to let a bad one pass.")
    slower: Annotated[float, Field(ge=1.0, le=100.0)] = Field(
        1.5, description="An answer counts as slower when it took so many times as long as the old revision's."
    )
    warmup: Duration = Field(
        "10s", description="A new process that has just come up may answer late for so long; other failures count."
    )
    disturbance: Duration = Field(
        "15s", description="When the old revision fails too for so long in one step, the upgrade goes back."
    )

    silence: Duration = Field(
        "60s", description="A worker that is ready, and of which its API has not heard for so long, does not work."
    )

    @model_validator(mode="after")
    def _good_is_better_than_bad(self) -> Self:
        if self.good >= self.bad:
            raise ValueError(f"good ({self.good}) must be less than bad ({self.bad})")
        return self


class Cluster(Shape):
    """Where the environment runs."""

    context: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200)] | None = Field(
        None, description="Context of the kubeconfig; absent: the local cluster."
    )
    namespace: Name = Field("openstack", description="Its namespace.")
    images: StoreAddress = Field(
        "stackway.local", description="Where its nodes find images; `stackway.local` on the local cluster."
    )
    overcommit: _Count = Field(
        1, description="Pods ask for so many times less processor than their specs say; more of them fit on a node."
    )


class ExternalDatabase(Shape):
    """A MySQL or MariaDB server of the site's own, instead of the release's."""

    host: HostName = Field(description="Its name or address, as pods reach it.")
    port: _Port = 3306
    secret: Name = Field(
        description="Secret in its namespace: `user` and `password` of an account that may make databases and users."
    )


class ExternalMessaging(Shape):
    """RabbitMQ of the site's own, instead of the release's."""

    hosts: Annotated[tuple[HostName, ...], Field(min_length=1, max_length=9)] = Field(
        description="Its members, as pods reach them."
    )
    port: _Port = 5672
    virtual_host: Annotated[str, StringConstraints(strict=True, pattern=re.compile(r"\A[A-Za-z0-9_.-]*\Z"))] = Field(
        "", description="Absent: the broker's default."
    )
    secret: Name = Field(description="Secret in the environment's namespace with `user` and `password`.")


class ExternalCache(Shape):
    """Memcached of the site's own, instead of the release's."""

    hosts: Annotated[tuple[HostName, ...], Field(min_length=1, max_length=20)] = Field(
        description="Its servers, as pods reach them; keys are spread over them."
    )
    port: _Port = 11211


class External(Shape):
    """What the environment has already and the release need not bring."""

    database: ExternalDatabase | None = None
    messaging: ExternalMessaging | None = None
    cache: ExternalCache | None = None
    monitoring: _Flag = Field(
        default=False, description="The cluster's own Prometheus scrapes the prober, so none of ours runs."
    )

    @property
    def kinds(self) -> frozenset[str]:
        """What is provided from outside, in the words of a spec's `provides`."""
        return frozenset(name for name, value in self if value)

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports that pods must reach outside of their namespace."""
        return tuple(sorted({item.port for item in (self.database, self.messaging, self.cache) if item}))


class ProcessChanges(Shape):
    """What an environment says of a process instead of the spec."""

    replicas: Replicas | None = Field(None, description="How many pods there are at least and at most.")
    resources: Resources | None = Field(None, description="What a pod asks for and may not exceed.")


class ServiceChanges(Shape):
    """What an environment says of a service instead of the spec."""

    settings: dict[SettingName, Word | int | bool] = Field({}, description="Values for the service's templates.")
    processes: dict[Name, ProcessChanges] = Field({}, description="By process.")


class Environment(Shape):
    """A place where a control plane runs, and the way releases take to it."""

    api_version: Literal["stackway/v1"] = API_VERSION
    kind: Literal["Environment"] = "Environment"
    name: Name = Field(description="As the file is called.")
    summary: Text = Field(description="What it is for, in one line.")
    source: Name | None = Field(None, description="The environment that releases come from; absent: from nowhere.")
    development: _Flag = Field(default=False, description="Releases signed by the development key are enough.")
    store: StoreAddress | None = Field(
        None, description="Where its releases and records are: folder, or `oci://host/prefix`; absent: the checkout's."
    )
    cluster: Cluster = Cluster()
    trust: Trust = Trust()
    channel: Channel = Channel()
    gates: Gates = Gates()
    rollout: Rollout = Rollout()
    region: RegionName = Field("RegionOne", description="The region in keystone's catalogue.")
    external: External = External()
    services: dict[Name, ServiceChanges] = Field({}, description="What is different here, by service.")

    @model_validator(mode="after")
    def _gates_have_a_source(self) -> Self:
        gates = self.gates
        if self.source is None and (gates.live or gates.soak or gates.lineage):
            raise ValueError("the gates live, soak and lineage ask about a source, and there is none")
        if self.source == self.name:
            raise ValueError("an environment cannot be its own source")
        if self.name in gates.lineage:
            raise ValueError("lineage names the environment itself: nothing could ever get there")
        if gates.soak and not gates.live:
            raise ValueError("soak is counted from signed observations: give the gate live too")
        return self


def expires_after(environment: Environment) -> timedelta:
    """Return for how long a record of the environment is believed."""
    return seconds(environment.channel.expires)
