# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Decides from facts about a cluster whether a deployment may begin, and says what is in its way. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from releases.version import ReleaseVersion
from stackway.errors import RefusedError

# `preStop: sleep` is what drains pods; it came on by default in 1.30.
LEAST_VERSION = (1, 30)
_SKEW_WARN, _SKEW_REFUSE = 5.0, 60.0
_MEBI = 1 << 20


class PreflightError(RefusedError):
    """The cluster is not fit for what is to be deployed; nothing was changed in it."""


@dataclass(frozen=True)
class Amount:
    """Processor in thousandths, memory in bytes, and pods."""

    cpu: int = 0
    memory: int = 0
    pods: int = 0


@dataclass(frozen=True)
class Quota:
    """A quota of the namespace: its name, and what is left of each resource that it limits (thousandths)."""

    name: str
    left: Mapping[str, int]


@dataclass(frozen=True)
class Facts:
    """What was seen of a cluster and of what is to be made in it. `None` is what could not be seen."""

    context: str
    namespace: str
    environment: str
    version: tuple[int, int]
    skew: float
    owner: str | None = None
    manager: str | None = None
    exists: bool = False
    forbidden: tuple[str, ...] = ()
    wants_claims: bool = False
    has_storage: bool | None = None
    has_metrics: bool | None = None
    nodes: Mapping[str, str] | None = None
    needed: Amount = field(default_factory=Amount)
    free: Amount | None = None
    quotas: tuple[Quota, ...] = ()
    refusals: tuple[str, ...] = ()
    runs: str = ""
    release: str = ""


@dataclass(frozen=True)
class Finding:
    """One thing in the way, or (not `stops`) one to know; `mend` says what to do."""

    what: str
    mend: str
    stops: bool = True


def judge(facts: Facts, *, adopt: bool = False, upgrade: bool = False) -> list[Finding]:
    """Return what is in the way, what stops it first.

    `adopt` takes over a namespace of somebody else's; an `upgrade` may go to another series, a deployment may not.
    """
    found = [
        *_reach(facts),
        *_namespace(facts, adopt=adopt),
        *(() if upgrade else _series(facts)),
        *_rights(facts),
        *_storage(facts),
        *_room(facts),
        *_quotas(facts),
        *(Finding(text, "Mend what it names, or ask whoever runs the cluster.") for text in facts.refusals),
    ]
    return sorted(found, key=lambda finding: not finding.stops)


def refuse(facts: Facts, findings: list[Finding]) -> None:
    """Raise PreflightError when anything stops the deployment."""
    stops = [finding for finding in findings if finding.stops]
    if stops:
        raise PreflightError(
            f"{facts.environment} cannot be deployed: {stops[0].what}",
            details="\n".join(f"{number}. {item.what}" for number, item in enumerate(stops, 1)),
            resolution="\n".join(dict.fromkeys(item.mend for item in stops)),
        )


def _reach(facts: Facts) -> Iterator[Finding]:
    if facts.version < LEAST_VERSION:
        have, least = (".".join(map(str, item)) for item in (facts.version, LEAST_VERSION))
        yield Finding(f"Kubernetes {have} is too old", f"Use Kubernetes {least} or later.")
    if abs(facts.skew) > _SKEW_WARN:
        way = "ahead of" if facts.skew > 0 else "behind"
        what = f"this machine's clock is {abs(facts.skew):.0f} s {way} the cluster's"
        mend = "Set the clocks by NTP: tokens and records depend on them."
        yield Finding(what, mend, abs(facts.skew) > _SKEW_REFUSE)


def _namespace(facts: Facts, *, adopt: bool) -> Iterator[Finding]:
    if not facts.exists or facts.owner == facts.environment:
        return
    if facts.owner:
        what = f"the namespace {facts.namespace} belongs to the environment {facts.owner}"
        yield Finding(what, "Give each environment a namespace of its own: `cluster.namespace` in its file.")
    else:
        what = f"the namespace {facts.namespace} is there and not ours (managed by {facts.manager or 'nobody we know'})"
        mend = "Look with --dry-run at what would be changed in it, then take it over with --adopt."
        yield Finding(what, mend, not adopt)


def _series(facts: Facts) -> Iterator[Finding]:
    """Yield that another series runs: a deployment contracts schemas at once, and old code would fail on them."""
    if not facts.runs:
        return
    if ReleaseVersion.parse(facts.runs).series != ReleaseVersion.parse(facts.release).series:
        what = f"release {facts.runs} runs in it, and {facts.release} is of another series"
        yield Finding(
            what, f"`release upgrade {facts.environment}` goes there step by step, and back when a check says no."
        )


def _rights(facts: Facts) -> Iterator[Finding]:
    if facts.forbidden:
        what = f"context {facts.context} may not: {', '.join(facts.forbidden)}"
        yield Finding(what, "Ask for a role with these rights in the namespace, or use another context.")


def _storage(facts: Facts) -> Iterator[Finding]:
    if facts.wants_claims and facts.has_storage is False:
        mend = "Make one the default, or give the services volumes of your own."
        yield Finding("there is no default StorageClass for the volumes of database and images", mend)
    if facts.has_metrics is False:
        mend = "Install metrics-server; until then the number of pods stays at its minimum."
        yield Finding("the cluster has no metrics, so nothing is scaled", mend, stops=False)


def _room(facts: Facts) -> Iterator[Finding]:
    if facts.nodes is not None:
        ill = [f"{name}: {trouble}" for name, trouble in facts.nodes.items() if trouble]
        if len(ill) == len(facts.nodes):
            yield Finding(f"no node takes pods ({'; '.join(ill) or 'there is none'})", "Mend the nodes first.")
        elif ill:
            yield Finding(f"nodes that take no pods: {'; '.join(ill)}", "Pods go to the others.", stops=False)
    if facts.free is None:
        return
    if facts.needed.cpu > facts.free.cpu:
        what = f"pods ask for {facts.needed.cpu} m of processor, and {facts.free.cpu} m are free"
        yield Finding(what, "Add nodes, or raise `cluster.overcommit` in the environment's file.")
    if facts.needed.memory > facts.free.memory:
        what = (
            f"pods ask for {facts.needed.memory // _MEBI} MiB of memory, and {facts.free.memory // _MEBI} MiB are free"
        )
        yield Finding(what, "Add nodes, or end something else.")
    if facts.needed.pods > facts.free.pods:
        what = f"{facts.needed.pods} pods are to come, and nodes take {facts.free.pods} more"
        yield Finding(what, "Add nodes.")


def _quotas(facts: Facts) -> Iterator[Finding]:
    needed = {
        "requests.cpu": facts.needed.cpu,
        "cpu": facts.needed.cpu,
        "requests.memory": facts.needed.memory * 1000,
        "memory": facts.needed.memory * 1000,
        "pods": facts.needed.pods * 1000,
    }
    for quota in facts.quotas:
        for resource, left in quota.left.items():
            if needed.get(resource, 0) > left:
                what = (
                    f"quota {quota.name} leaves {left / 1000:g} of {resource}, {needed[resource] / 1000:g} are needed"
                )
                yield Finding(what, "Ask for a larger quota.")
