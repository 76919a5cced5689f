# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The form that all our Kubernetes objects have: names, labels, and names that change with the content. Pure."""

import base64
import re
from collections.abc import Mapping
from typing import Any

from stackway.files import canonical_json, digest_bytes

MANAGER = "stackway"
NAME, COMPONENT, PART_OF = (f"app.kubernetes.io/{key}" for key in ("name", "component", "part-of"))
MANAGED_BY = "app.kubernetes.io/managed-by"
REVISION, RELEASE, ENVIRONMENT = (f"stackway.dev/{key}" for key in ("revision", "release", "environment"))
# The name of the port at which a process that has metrics gives them.
METRICS = "metrics"
_NAME_MAX = 63
_HASH = 10

Object = dict[str, Any]


def labels(service: str, process: str = "", **more: str) -> dict[str, str]:
    """Return the labels of what belongs to a service, or to one of its processes."""
    found = {NAME: service, PART_OF: "openstack", MANAGED_BY: MANAGER}
    return {**found, **({COMPONENT: process} if process else {}), **more}


def make(kind: str, name: str, own: Mapping[str, str], api_version: str = "v1", **content: Any) -> Object:
    """Return an object with our labels; its namespace is set when it is applied."""
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": fit(name), "labels": dict(own)}, **content}


def fit(name: str) -> str:
    """Return a name that Kubernetes takes: at most 63 characters; a longer one ends with its hash."""
    clean = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")
    if len(clean) <= _NAME_MAX:
        return clean
    return f"{clean[: _NAME_MAX - _HASH - 1].rstrip('-')}-{short_hash(clean)}"


def short_hash(value: Any) -> str:
    """Return ten hexadecimal digits that change with the value."""
    return digest_bytes(canonical_json(value)).removeprefix("sha256:")[:_HASH]


def config_map(name: str, own: Mapping[str, str], files: Mapping[str, str]) -> Object:
    """Return an immutable ConfigMap whose name changes with its content."""
    return make("ConfigMap", f"{name}-{short_hash(dict(files))}", own, data=dict(files), immutable=True)


def secret(name: str, own: Mapping[str, str], files: Mapping[str, str]) -> Object:
    """Return an immutable Secret whose name changes with its content."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in files.items()}
    return make("Secret", f"{name}-{short_hash(dict(files))}", own, data=data, immutable=True, type="Opaque")


def scraped(port: int) -> dict[str, str]:
    """Return the annotations by which a Prometheus of the cluster finds a pod's metrics."""
    found = {"scrape": "true", "port": str(port), "path": "/metrics"}
    return {f"prometheus.io/{key}": value for key, value in found.items()}


def name_of(item: Object) -> str:
    """Return an object's name."""
    return str(item["metadata"]["name"])
