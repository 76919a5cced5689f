# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The objects of a process: the workload of one revision, its Service, and what keeps enough of its pods alive. Pure.

A revision is a hash of all that makes a pod what it is. So what has not changed keeps its name and is left alone, and two
revisions can run side by side behind one Service, whose selector says which of them serves.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from buildkit.models import Process, Service
from pipeline.manifests import objects
from pipeline.manifests.amounts import thousandths
from pipeline.manifests.configuration import Configuration
from pipeline.manifests.objects import COMPONENT, METRICS, NAME, REVISION, Object, labels, make
from pipeline.manifests.pods import pod_spec
from pipeline.manifests.site import Site

_CPU_TARGET = 70  # percent of what the spec asks for
_NODE, _ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"


@dataclass(frozen=True)
class Workload:
    """The objects of one process in one revision."""

    service: str
    process: str
    kind: str
    revision: str
    main: Object
    around: tuple[Object, ...]

    @property
    def workload(self) -> list[Object]:
        """What makes its pods and keeps enough of them, the workload last."""
        later = [*self.addresses, *self.scaling]
        return [*(item for item in self.around if item not in later), self.main]

    @property
    def scaling(self) -> list[Object]:
        """What changes the number of its pods."""
        return [item for item in self.around if item["kind"] == "HorizontalPodAutoscaler"]

    @property
    def addresses(self) -> list[Object]:
        """What leads to its pods: the Service of a process whose pods are exchanged for those of another revision."""
        return [item for item in self.around if item["kind"] == "Service" and self.kind != "stateful"]


def workload(site: Site, configuration: Configuration, name: str) -> Workload:
    """Return the objects of the process `name`."""
    service = configuration.service
    process = service.processes[name]
    spec = pod_spec(site, configuration, name)
    revision = objects.short_hash(spec)
    own = labels(service.name, name, **{REVISION: revision})
    template = {"metadata": {"labels": own, **_scraped(site, process)}, "spec": {**spec, **_spread(own, process)}}
    around = tuple(_around(service, name, process, revision))
    main = (
        _stateful(service, name, process, template)
        if process.kind == "stateful"
        else _deployment(own, process, template)
    )
    return Workload(service.name, name, process.kind, revision, main, around)


def workload_name(service: str, process: str, revision: str = "") -> str:
    """Return the name of a process's objects; with a revision, of its workload."""
    name = service if process == "server" else f"{service}-{process}"
    return objects.fit(f"{name}-{revision}" if revision else name)


def _deployment(own: dict[str, str], process: Process, template: Object) -> Object:
    chosen = {key: own[key] for key in (NAME, COMPONENT, REVISION)}
    name = workload_name(own[NAME], own[COMPONENT], own[REVISION])
    # A singleton's or a node's old pod must be gone before the new one comes.
    alone = process.kind in {"singleton", "node"}
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    spec = {
        "replicas": process.replicas.min,
        "revisionHistoryLimit": 1,
        "progressDeadlineSeconds": 300,
        "strategy": {"type": "Recreate"} if alone else rolling,
        "selector": {"matchLabels": chosen},
        "template": template,
    }
    return make("Deployment", name, own, "apps/v1", spec=spec)


def _stateful(service: Service, name: str, process: Process, template: Object) -> Object:
    """Return a StatefulSet: one for all revisions, as its pods have identity and disks that outlive them."""
    own = template["metadata"]["labels"]
    spec = {
        "replicas": process.replicas.min,
        "serviceName": workload_name(service.name, name),
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": {key: own[key] for key in (NAME, COMPONENT)}},
        "template": template,
        "volumeClaimTemplates": [],
    }
    return make("StatefulSet", workload_name(service.name, name), own, "apps/v1", spec=spec)


def _scraped(site: Site, process: Process) -> Object:
    """Tell a Prometheus of the cluster where a process has metrics; one of ours knows."""
    port = process.ports.get(METRICS)
    return {"annotations": objects.scraped(port)} if port and site.environment.external.monitoring else {}


def _spread(own: dict[str, str], process: Process) -> Object:
    """Keep the pods of a revision apart, where there is more than one place."""
    if process.replicas.max < 2 or process.kind in {"singleton", "node"}:  # noqa: PLR2004
        return {}
    chosen = {"matchLabels": {key: own[key] for key in (NAME, COMPONENT, REVISION)}}
    return {
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": chosen}
            for key in (_NODE, _ZONE)
        ]
    }


def _around(service: Service, name: str, process: Process, revision: str) -> Iterator[Object]:
    own, chosen = labels(service.name, name), {NAME: service.name, COMPONENT: name}
    if process.port:
        yield service_object(service, name, process, revision)
    if process.replicas.min > 1:
        spec = {"maxUnavailable": 1, "selector": {"matchLabels": chosen}, "unhealthyPodEvictionPolicy": "AlwaysAllow"}
        yield make("PodDisruptionBudget", workload_name(service.name, name), own, "policy/v1", spec=spec)
    if process.replicas.max > process.replicas.min and process.kind == "stateless" and process.resources.requests.cpu:
        yield _autoscaler(service, name, process, revision)


def service_object(service: Service, name: str, process: Process, revision: str) -> Object:
    """Return the stable address of a process; its selector names the revision that serves."""
    ports = [("main", process.port), *process.ports.items()]
    chosen = {NAME: service.name, COMPONENT: name}
    if process.kind != "stateful":
        chosen[REVISION] = revision
    spec = {
        "selector": chosen,
        "ports": [{"name": port, "port": number, "targetPort": port} for port, number in ports if number],
    }
    return make("Service", workload_name(service.name, name), labels(service.name, name), spec=spec)


def _autoscaler(service: Service, name: str, process: Process, revision: str) -> Object:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": workload_name(service.name, name, revision)}
    # An amount, not a share of what a pod asks for: an environment that lets pods ask for less scales at the same load.
    amount = f"{thousandths(process.resources.requests.cpu or '') * _CPU_TARGET // 100}m"
    use = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "AverageValue", "averageValue": amount}}}
    behaviour = {
        # A start takes a whole processor for some seconds, and is no reason to start more.
        "scaleUp": {"stabilizationWindowSeconds": 30, "policies": [{"type": "Pods", "value": 2, "periodSeconds": 15}]},
        "scaleDown": {
            "stabilizationWindowSeconds": 120,
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 30}],
        },
    }
    spec = {
        "scaleTargetRef": target,
        "minReplicas": process.replicas.min,
        "maxReplicas": process.replicas.max,
        "metrics": [use],
        "behavior": behaviour,
    }
    own = labels(service.name, name, **{REVISION: revision})
    return make("HorizontalPodAutoscaler", target["name"], own, "autoscaling/v2", spec=spec)
