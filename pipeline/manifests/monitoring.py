# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The prober of an environment: a pod that asks every process what users would, and what it may see of its namespace. Pure."""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from buildkit.models import Amounts, GateRequest, Resources, RoundTrip, Service
from pipeline.manifests import objects
from pipeline.manifests.jobs import secret_env
from pipeline.manifests.objects import COMPONENT, NAME, REVISION, Object, labels, make
from pipeline.manifests.pods import identity, resources, secured
from pipeline.manifests.site import Site
from pipeline.manifests.workloads import workload_name
from stackway.files import canonical_json

PROBER = "prober"
PORT = 9180
# Seconds between two requests: to a process by its Service, to each pod, to each pod on trial, and for round trips.
PACE = {"service": 2.0, "pod": 5.0, "trial": 0.2, "roundTrip": 10.0}
_TIMEOUT, _WINDOW = 5.0, 60
# It stays small; the openstack client that people run in its pod needs more.
_RESOURCES = Resources(requests=Amounts(cpu="50m", memory="96Mi"), limits=Amounts(memory="512Mi"))
_PLACE = "/run/stackway"
_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_MODULES = ("__init__", "__main__", "asking", "cluster", "counts", "facts", "losses", "pages", "serving")


def monitoring(site: Site) -> list[Object]:
    """Return the objects of the prober."""
    own = labels(PROBER, PROBER)
    folder = files("pipeline") / "programs" / PROBER
    texts = {f"{name}.py": (folder / f"{name}.py").read_text(encoding="utf-8") for name in _MODULES}
    holder = objects.config_map(PROBER, own, {**texts, "plan.json": canonical_json(plan(site)).decode()})
    spec = {"selector": {NAME: PROBER}, "ports": [{"name": "main", "port": PORT, "targetPort": "main"}]}
    return [
        holder,
        *_rights(site, own),
        *_ways(own),
        make("Service", PROBER, own, spec=spec),
        _deployment(site, holder),
    ]


def plan(site: Site) -> dict[str, Any]:
    """Return what the prober asks, and how often."""
    return {
        "environment": site.environment.name,
        "namespace": site.namespace,
        "account": _ACCOUNT,
        "identity": site.identity(),
        "listen": PORT,
        "pace": PACE,
        "timeout": _TIMEOUT,
        "window": _WINDOW,
        "labels": {"service": NAME, "process": COMPONENT, "revision": REVISION},
        "targets": [entry for service in site.services.values() for entry in _targets(site, service)],
    }


def _targets(site: Site, service: Service) -> Iterator[dict[str, Any]]:
    for name, process in site.processes(service).items():
        requests = [_request(item) for item in service.checks.requests if item.process == name]
        trips = [_round_trip(service, item) for item in service.checks.round_trips if item.process == name]
        if requests or trips:
            yield {
                "service": service.name,
                "process": name,
                "name": workload_name(service.name, name),
                "host": workload_name(service.name, name),
                "port": process.port or 0,
                "requests": requests,
                "roundTrips": trips,
            }


def _request(item: GateRequest) -> dict[str, Any]:
    return {"method": item.method, "path": item.path, "expect": item.expect, "authenticated": item.authenticated}


def _round_trip(service: Service, item: RoundTrip) -> dict[str, Any]:
    at = {"host": workload_name(service.name, item.asked), "port": service.processes[item.asked].port}
    read = {"path": item.path, "rows": item.rows, "name": item.name, "field": item.field, "good": item.good}
    return {**at, **read}


def _rights(site: Site, own: dict[str, str]) -> list[Object]:
    """Return what the prober may see: what runs in its namespace and what that uses, and nothing else."""
    look = ["get", "list", "watch"]
    rules = [
        {"apiGroups": [""], "resources": ["pods", "services"], "verbs": look},
        {"apiGroups": ["apps"], "resources": ["deployments", "statefulsets"], "verbs": look},
        {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": look},
        {"apiGroups": ["metrics.k8s.io"], "resources": ["pods"], "verbs": ["get", "list"]},
    ]
    group = "rbac.authorization.k8s.io"
    role = {"apiGroup": group, "kind": "Role", "name": PROBER}
    subject = {"kind": "ServiceAccount", "name": PROBER, "namespace": site.namespace}
    return [
        make("ServiceAccount", PROBER, own, automountServiceAccountToken=False),
        make("Role", PROBER, own, f"{group}/v1", rules=rules),
        make("RoleBinding", PROBER, own, f"{group}/v1", roleRef=role, subjects=[subject]),
    ]


def _ways(own: dict[str, str]) -> Iterator[Object]:
    """Yield who reaches the prober (everybody who may see metrics) and whom it reaches beside our own pods: the API server."""
    chosen = {"podSelector": {"matchLabels": {NAME: PROBER}}}
    ports = [{"protocol": "TCP", "port": number} for number in (443, 6443)]
    spec = {
        **chosen,
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"ports": [{"protocol": "TCP", "port": PORT}]}],
        "egress": [{"ports": ports}],
    }
    yield make("NetworkPolicy", PROBER, own, "networking.k8s.io/v1", spec=spec)


def _deployment(site: Site, holder: Object) -> Object:
    client = site.provider("client")
    own = labels(PROBER, PROBER, **{REVISION: objects.short_hash([objects.name_of(holder), site.image(client.name)])})
    probe = {"httpGet": {"path": "/healthz", "port": "main"}, "timeoutSeconds": 5}
    container = {
        "name": PROBER,
        "image": site.image(client.name),
        "imagePullPolicy": site.pull_policy,
        "command": ["python3", "-m", PROBER, f"{_PLACE}/{PROBER}/plan.json"],
        "workingDir": _PLACE,
        "env": [secret_env("OS_PASSWORD", "admin"), *_environment()],
        "ports": [{"name": "main", "containerPort": PORT}],
        "resources": resources(site, _RESOURCES),
        "securityContext": secured(),
        "readinessProbe": {**probe, "periodSeconds": 5},
        "livenessProbe": {**probe, "periodSeconds": 20, "failureThreshold": 3},
        "volumeMounts": [
            {"name": PROBER, "mountPath": f"{_PLACE}/{PROBER}", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a memory of its own
        ],
    }
    pod = {
        **identity(client),
        "serviceAccountName": PROBER,
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 2,
        # Where names are gone, that must show before requests time out.
        "dnsConfig": {"options": [{"name": "timeout", "value": "1"}, {"name": "attempts", "value": "2"}]},
        "containers": [container],
        "volumes": [
            {"name": PROBER, "configMap": {"name": objects.name_of(holder)}},
            {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
        ],
    }
    spec = {
        "replicas": 1,
        "revisionHistoryLimit": 1,
        "progressDeadlineSeconds": 300,
        # Two at a time would count everything twice.
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": {NAME: PROBER, COMPONENT: PROBER}},
        "template": {"metadata": {"labels": own, "annotations": objects.scraped(PORT)}, "spec": pod},
    }
    return make("Deployment", PROBER, own, "apps/v1", spec=spec)


def _environment() -> list[Object]:
    told = {"OS_USERNAME": "admin", "OS_PROJECT_NAME": "admin"}
    told |= {"OS_USER_DOMAIN_ID": "default", "OS_PROJECT_DOMAIN_ID": "default", "PYTHONDONTWRITEBYTECODE": "1"}
    return [{"name": name, "value": value} for name, value in told.items()]
