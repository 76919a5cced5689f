# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What a release runs before any environment has a say: a workload for each process, and what it can be told. Pure."""

from collections.abc import Iterator
from typing import Any

from buildkit.models import Process, Service

_TYPES = {bool: "boolean", int: "integer", str: "string"}


def workloads(service: Service, digest: str) -> list[dict[str, Any]]:
    """Return the workloads of a service whose image has this digest, in the order of their names."""
    return [
        {
            "service": service.name,
            "process": name,
            "image": f"{service.name}@{digest}",
            **_process(service, process),
        }
        for name, process in sorted(service.processes.items())
    ]


def _process(service: Service, process: Process) -> dict[str, Any]:
    given = process.model_dump(mode="json", by_alias=True, exclude_none=True)
    files = service.config if process.config is None else {name: service.config[name] for name in process.config}
    volumes = service.volumes if process.volumes is None else {name: service.volumes[name] for name in process.volumes}
    user = service.user
    return {
        **given,
        "environment": {**service.environment, **process.environment},
        "config": {name: item.path for name, item in sorted(files.items()) if item.render == "deployment"},
        "volumes": {
            name: item.model_dump(mode="json", by_alias=True, exclude_none=True) for name, item in volumes.items()
        },
        "user": user.uid,
    }


def settings_schema(service: Service) -> dict[str, Any]:
    """Return a JSON Schema of what an environment may change in a service's configuration."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": dict(_properties(service)),
    }


def _properties(service: Service) -> Iterator[tuple[str, Any]]:
    for name, value in sorted(service.settings.items()):
        yield name, {"type": _TYPES[type(value)], "default": value}


def card(service: Service, earlier: tuple[str, ...]) -> dict[str, Any]:
    """Return a service's compatibility card: from which series one may come, and what the way back takes."""
    upgrade = service.upgrade
    return {
        "service": service.name,
        "series": service.series,
        "version": service.version,
        "from": sorted(earlier),
        "back": str(upgrade.back),
        "records": upgrade.records is not None,
        "phases": [name for name in ("expand", "migrate", "online", "contract") if getattr(service.database, name)],
        "notes": list(upgrade.notes),
    }
