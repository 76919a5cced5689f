# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What is seen of an environment at a moment, and what should be there. Values only; `pipeline.look` gathers them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from buildkit.models import Service
from pipeline.manifests.objects import COMPONENT, MANAGED_BY, MANAGER, NAME, REVISION
from pipeline.measurements import Measurements, Use, nothing
from pipeline.rollout.standing import Standing
from releases.environment import Environment
from releases.release import ReleaseContent

Object = dict[str, Any]
Key = tuple[str, str]
WATCHED = (
    "Deployment",
    "ReplicaSet",
    "StatefulSet",
    "Job",
    "Pod",
    "HorizontalPodAutoscaler",
    "Service",
    "PersistentVolumeClaim",
    "Event",
)


@dataclass(frozen=True)
class Wanted:
    """A process that should run.

    `asked` tells that the prober sends it requests, `port` that others reach it by one, `scaled` that an autoscaler sets the
    number of its pods, of which there are never fewer than `least`; 0 where nobody knows.
    """

    asked: bool
    port: bool
    scaled: bool = False
    least: int = 0


@dataclass(frozen=True)
class Expected:
    """What the pin says should run; `others` are images of releases that were pinned before: digest → version."""

    version: str
    images: Mapping[str, str]
    processes: Mapping[Key, Wanted]
    others: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sight:
    """What is seen of an environment. `objects` are by kind and name; `expected` is None where `trouble` says why.

    `silence` says since when and why the cluster tells nothing new.
    """

    environment: str
    namespace: str
    at: datetime
    objects: Mapping[str, Mapping[str, Object]]
    expected: Expected | None
    trouble: str = ""
    silence: str = ""
    measured: Measurements = field(default_factory=lambda: nothing("nobody has asked"))
    uses: Mapping[str, Use] = field(default_factory=dict)
    names: Mapping[str, frozenset[str]] = field(default_factory=dict)
    rollout: Standing | None = None

    def all(self, kind: str) -> list[Object]:
        """Return the objects of a kind, in the order of their names."""
        return [item for _, item in sorted(self.objects.get(kind, {}).items())]

    def of(self, kind: str, key: Key) -> list[Object]:
        """Return the objects of a kind that belong to a process and not to a job."""
        return [item for item in self.all(kind) if key_of(item) == key and not job_of(item)]

    def events(self, *names: str) -> list[Object]:
        """Return the events that are about objects of these names."""
        return [item for item in self.all("Event") if item.get("involvedObject", {}).get("name") in names]

    def missing(self, kind: str, wanted: Iterable[str]) -> list[str]:
        """Return which of the named objects are not there; none when nobody may list them."""
        there = self.names.get(kind)
        return [] if there is None else sorted(set(wanted) - there)


def expected_of(
    content: ReleaseContent, environment: Environment, services: Mapping[str, Service], others: Mapping[str, str]
) -> Expected:
    """Return what should run of a release in an environment, whose `services` are as it changes them."""
    images = {image.name: image.manifest.digest for image in content.images}
    return Expected(str(content.version), images, dict(_processes(environment, services)), others)


def _processes(environment: Environment, services: Mapping[str, Service]) -> Iterator[tuple[Key, Wanted]]:
    for service in services.values():
        asked = {item.process for item in service.checks.requests}
        asked |= {item.process for item in service.checks.round_trips}
        for name, process in service.processes.items():
            if environment.development or process.only == "everywhere":
                replicas = process.replicas
                scaled = (
                    replicas.max > replicas.min and process.kind == "stateless" and bool(process.resources.requests.cpu)
                )
                yield (service.name, name), Wanted(name in asked, bool(process.port), scaled, replicas.min)


def labels_of(item: Object) -> Mapping[str, str]:
    """Return an object's labels."""
    found: Mapping[str, str] = item["metadata"].get("labels") or {}
    return found


def key_of(item: Object) -> Key:
    """Return service and process that an object belongs to; empty where it does not say."""
    own = labels_of(item)
    return own.get(NAME, ""), own.get(COMPONENT, "")


def revision_of(item: Object) -> str:
    """Return the revision that an object is of."""
    return labels_of(item).get(REVISION, "")


def is_ours(item: Object) -> bool:
    """Tell whether an object was made by a deployment of ours."""
    return labels_of(item).get(MANAGED_BY) == MANAGER


def job_of(item: Object) -> str:
    """Return the job that a pod works for."""
    owners = item["metadata"].get("ownerReferences") or []
    return next((str(owner["name"]) for owner in owners if owner.get("kind") == "Job"), "")


def digest_of(image: str) -> str:
    """Return the digest in an image's name, nothing for one without."""
    return image.rpartition("@")[2] if "@" in image else ""


def configuration_of(pod: Object) -> dict[str, set[str]]:
    """Return the names of ConfigMaps and Secrets that a pod spec mounts or reads, by kind."""
    found: dict[str, set[str]] = {"ConfigMap": set(), "Secret": set()}
    for volume in pod.get("volumes") or []:
        if "configMap" in volume:
            found["ConfigMap"].add(str(volume["configMap"]["name"]))
        if "secret" in volume:
            found["Secret"].add(str(volume["secret"]["secretName"]))
    for container in pod.get("containers") or []:
        for variable in container.get("env") or []:
            reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
            if reference:
                found["Secret"].add(str(reference["name"]))
    return found
