# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The objects that every cluster of ours starts with: rights, names, metrics, and a class of storage. Pure."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.cluster.layout import METRICS_PORT, Addresses

Object = dict[str, Any]
PROVISIONER = "stackway.dev/folder"
STORAGE_CLASS = "local"
_SYSTEM = "kube-system"
_RBAC = "rbac.authorization.k8s.io"
_READ = ("get", "list", "watch")
_LABELS = {"app.kubernetes.io/managed-by": "stackway"}
# What the administrator's key may do needs no rule; everybody else is named here.
_METRICS_READERS = {f"{_RBAC}/aggregate-to-{role}": "true" for role in ("view", "edit", "admin")}


def objects(addresses: Addresses, authority: bytes) -> tuple[Object, ...]:
    """Return the objects in the order in which they are applied; `authority` is the cluster's certificate (PEM)."""
    return (*_rights(), *_services(addresses), _metrics_api(authority), storage_class())


def path_of(item: Object) -> str:
    """Return where the API has an object of ours."""
    group, _, version = item["apiVersion"].rpartition("/")
    base = f"/apis/{group}/{version}" if group else f"/api/{version}"
    meta = item["metadata"]
    namespace = f"/namespaces/{meta['namespace']}" if "namespace" in meta else ""
    return f"{base}{namespace}/{_PLURALS[item['kind']]}/{meta['name']}"


_PLURALS = {
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "RoleBinding": "rolebindings",
    "Service": "services",
    "EndpointSlice": "endpointslices",
    "APIService": "apiservices",
    "StorageClass": "storageclasses",
}


def storage_class() -> Object:
    """Return the class of storage that a claim gets when it names none: a folder on this machine."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": _meta(STORAGE_CLASS, annotations={"storageclass.kubernetes.io/is-default-class": "true"}),
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def _rights() -> Iterable[Object]:
    yield _binding("stackway:kubelet-api", "system:kubelet-api-admin", "kube-apiserver-kubelet-client")
    yield _role("stackway:coredns", [_rule("", ("services", "namespaces", "pods"), _READ), _slices()])
    yield _binding("stackway:coredns", "stackway:coredns", "stackway:coredns")
    yield _role(
        "stackway:volumes",
        [
            _rule("", ("persistentvolumes",), (*_READ, "create", "update", "patch", "delete")),
            _rule("", ("persistentvolumeclaims",), (*_READ, "update", "patch")),
            _rule("", ("events",), ("create", "update", "patch")),
            _rule("", ("nodes",), _READ),
            _rule("storage.k8s.io", ("storageclasses", "volumeattachments"), _READ),
        ],
    )
    yield _binding("stackway:volumes", "stackway:volumes", "stackway:volumes")
    yield _role(
        "stackway:metrics-server", [_rule("", ("nodes/metrics",), ("get",)), _rule("", ("pods", "nodes"), _READ)]
    )
    yield _binding("stackway:metrics-server", "stackway:metrics-server", "stackway:metrics-server")
    yield _binding("stackway:metrics-server-delegator", "system:auth-delegator", "stackway:metrics-server")
    yield {
        **_binding(
            "stackway:metrics-server-reader", "extension-apiserver-authentication-reader", "stackway:metrics-server"
        ),
        "kind": "RoleBinding",
        "metadata": _meta("stackway-metrics-server-reader", _SYSTEM),
        "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": "extension-apiserver-authentication-reader"},
    }
    reader = _role("stackway:metrics-reader", [_rule("metrics.k8s.io", ("pods", "nodes"), _READ)])
    reader["metadata"]["labels"] |= _METRICS_READERS
    yield reader


def _services(addresses: Addresses) -> Iterable[Object]:
    """Two programs run on the node itself, not as pods; these objects make them look like services as usual."""
    dns = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    ]
    yield _service("kube-dns", dns, str(addresses.dns))
    yield _slice("kube-dns", dns, str(addresses.node))
    yield _service("metrics-server", [{"name": "https", "port": 443, "protocol": "TCP"}])
    yield _slice("metrics-server", [{"name": "https", "port": METRICS_PORT, "protocol": "TCP"}], str(addresses.node))


def _metrics_api(authority: bytes) -> Object:
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": _meta("v1beta1.metrics.k8s.io"),
        "spec": {
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "service": {"name": "metrics-server", "namespace": _SYSTEM, "port": 443},
            "caBundle": b64encode(authority).decode(),
        },
    }


def _meta(name: str, namespace: str = "", annotations: Mapping[str, str] | None = None) -> Object:
    meta: Object = {"name": name, "labels": dict(_LABELS)}
    if namespace:
        meta["namespace"] = namespace
    if annotations:
        meta["annotations"] = dict(annotations)
    return meta


def _rule(group: str, resources: Sequence[str], verbs: Sequence[str]) -> Object:
    return {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}


def _slices() -> Object:
    return _rule("discovery.k8s.io", ("endpointslices",), _READ)


def _role(name: str, rules: Sequence[Object]) -> Object:
    return {"apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole", "metadata": _meta(name), "rules": list(rules)}


def _binding(name: str, role: str, user: str) -> Object:
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": _meta(name),
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": _RBAC, "kind": "User", "name": user}],
    }


def _service(name: str, ports: Sequence[Object], address: str = "") -> Object:
    spec: Object = {"type": "ClusterIP", "ports": list(ports)} | ({"clusterIP": address} if address else {})
    return {"apiVersion": "v1", "kind": "Service", "metadata": _meta(name, _SYSTEM), "spec": spec}


def _slice(service: str, ports: Sequence[Object], address: str) -> Object:
    meta = _meta(f"{service}-node", _SYSTEM)
    meta["labels"] |= {
        "kubernetes.io/service-name": service,
        "endpointslice.kubernetes.io/managed-by": "stackway.dev",
    }
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": meta,
        "addressType": "IPv4",
        "ports": list(ports),
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
    }
