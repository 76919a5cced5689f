# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The pod of a process: what runs, as whom, with which files, and how one sees that it works. Pure.

Every pod meets Kubernetes' `restricted` pod security: no root, no capabilities, no privilege gained, a read-only root.
"""

from collections.abc import Iterator
from typing import Any

from buildkit.dockerfile import process_command
from buildkit.models import Probe, Process, Resources, Service, Volume
from pipeline.manifests.amounts import thousandths, whole_seconds
from pipeline.manifests.configuration import Configuration
from pipeline.manifests.objects import Object, name_of
from pipeline.manifests.site import Site

_SECURE = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def pod_spec(site: Site, configuration: Configuration, name: str) -> Object:
    """Return the pod spec of the process `name` of a service."""
    service = configuration.service
    process = service.processes[name]
    mounted = list(mounts(configuration, process))
    grace = whole_seconds(process.grace) + whole_seconds(process.drain)
    return {
        **identity(service),
        "terminationGracePeriodSeconds": grace,
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "containers": [_container(site, configuration, name, mounted)],
        "volumes": [volume for volume, _ in mounted],
    }


def identity(service: Service) -> Object:
    """Return as whom the containers of a service run."""
    uid = service.user.uid
    security = {
        "runAsNonRoot": True,
        "runAsUser": uid,
        "runAsGroup": uid,
        "fsGroup": uid,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return {"securityContext": security}


def secured() -> Object:
    """Return what every container may not do."""
    return {key: dict(value) if isinstance(value, dict) else value for key, value in _SECURE.items()}


def _container(site: Site, configuration: Configuration, name: str, mounted: list[tuple[Object, Object]]) -> Object:
    service = configuration.service
    process = service.processes[name]
    ports = [("main", process.port), *process.ports.items()]
    found: Object = {
        "name": name,
        "image": site.image(service.name),
        "imagePullPolicy": site.pull_policy,
        "command": list(process_command(name, process.command)),
        "env": [{"name": key, "value": value} for key, value in sorted(process.environment.items())],
        "ports": [{"name": port, "containerPort": number} for port, number in ports if number],
        "resources": resources(site, process.resources),
        "securityContext": secured(),
        "volumeMounts": [mount for _, mount in mounted],
        # The pod leaves its Service first; what the kernel has queued for it by then is still answered.
        "lifecycle": {"preStop": {"sleep": {"seconds": whole_seconds(process.drain)}}},
    }
    for kind, probe in process.probes:
        if probe is not None:
            found[f"{kind}Probe"] = _probe(probe)
    return found


def resources(site: Site, spec: Resources) -> Object:
    """Return what a container asks for and may not exceed; of processors it asks for less where the site overcommits."""
    found = spec.model_dump(mode="json", exclude_none=True)
    if spec.requests.cpu:
        asked = max(1, thousandths(spec.requests.cpu) // site.environment.cluster.overcommit)
        found["requests"]["cpu"] = f"{asked}m"
    return found


def _probe(probe: Probe) -> Object:
    if probe.http is not None:
        asks: Object = {"httpGet": {"path": probe.http, "port": "main"}}
    elif probe.tcp:
        asks = {"tcpSocket": {"port": "main"}}
    else:
        asks = {"exec": {"command": list(probe.command or ())}}
    period, timeout = max(1, whole_seconds(probe.period)), max(1, whole_seconds(probe.timeout))
    return {**asks, "periodSeconds": period, "timeoutSeconds": timeout, "failureThreshold": probe.failures}


def mounts(configuration: Configuration, process: Process | None) -> Iterator[tuple[Object, Object]]:
    """Yield volume and mount of each file and each volume of a process; of all of the service's for none."""
    service = configuration.service
    for name, file, holder in configuration.files(process):
        volume = f"file-{name}"
        mode = int(file.mode, 8)
        items = [{"key": name, "path": name, "mode": mode}]
        kind = {"secret": {"secretName": name_of(holder), "items": items}}
        if holder["kind"] == "ConfigMap":
            kind = {"configMap": {"name": name_of(holder), "items": items}}
        yield {"name": volume, **kind}, {"name": volume, "mountPath": file.path, "subPath": name, "readOnly": True}
    wanted = process.volumes if process and process.volumes is not None else tuple(service.volumes)
    for name in wanted:
        yield _volume(service, name, service.volumes[name])


def _volume(service: Service, name: str, volume: Volume) -> tuple[Object, Object]:
    mount: dict[str, Any] = {"name": name, "mountPath": volume.path}
    match volume.source:
        case "memory":
            held: Object = {"emptyDir": {"medium": "Memory", **_limit(volume)}}
        case "secret":
            held = {"secret": {"secretName": f"{service.name}-{name}", "defaultMode": 0o440}}
            mount["readOnly"] = True
        case "claim":
            held = {"persistentVolumeClaim": {"claimName": f"{service.name}-{name}"}}
        case _:
            held = {"emptyDir": _limit(volume)}
    return {"name": name, **held}, mount


def _limit(volume: Volume) -> Object:
    return {"sizeLimit": volume.size} if volume.size else {}
