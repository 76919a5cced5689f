# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Who is who in the cluster: the certificates that are made, by which authority, and for what. Pure; makes no key."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.cluster.layout import DOMAIN, NODE, Addresses

# How long certificates last, and how long before that new ones are made at the next start.
LIFE_DAYS = 730
RENEW_DAYS = 60

CLUSTER_AUTHORITY = "ca"
ETCD_AUTHORITY = "etcd-ca"
FRONT_AUTHORITY = "front-proxy-ca"
AUTHORITIES: Mapping[str, str] = {
    CLUSTER_AUTHORITY: "stackway local cluster",
    ETCD_AUTHORITY: "stackway local etcd",
    FRONT_AUTHORITY: "stackway local front proxy",
}
# The one key without a certificate: it signs the tokens of service accounts.
TOKEN_KEY = "service-accounts"  # noqa: S105 - the name of a file

ADMIN = "admin"


@dataclass(frozen=True)
class Identity:
    """One certificate: file name, authority, the user and groups that it names, and the names it serves under."""

    name: str
    user: str
    groups: tuple[str, ...] = ()
    authority: str = CLUSTER_AUTHORITY
    hosts: tuple[str, ...] = ()
    is_client: bool = True


def identities(addresses: Addresses) -> tuple[Identity, ...]:
    """Return every certificate of the cluster. Each program has its own user, with the rights of that program only."""
    node = str(addresses.node)
    api = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{DOMAIN}")
    metrics = ("metrics-server.kube-system.svc", "localhost", "127.0.0.1", node)
    return (
        Identity(ADMIN, "stackway:admin", ("system:masters",)),
        Identity("apiserver", "kube-apiserver", hosts=(*api, str(addresses.first_service), node), is_client=False),
        Identity("apiserver-kubelet", "kube-apiserver-kubelet-client"),
        Identity("apiserver-etcd", "kube-apiserver", authority=ETCD_AUTHORITY),
        Identity("etcd", "etcd", authority=ETCD_AUTHORITY, hosts=("localhost", "127.0.0.1"), is_client=True),
        Identity("front-proxy", "front-proxy-client", authority=FRONT_AUTHORITY),
        Identity("kubelet", f"system:node:{NODE}", ("system:nodes",), hosts=(NODE, node)),
        Identity("kube-controller-manager", "system:kube-controller-manager"),
        Identity("kube-scheduler", "system:kube-scheduler"),
        Identity("kube-proxy", "system:kube-proxy"),
        Identity("coredns", "stackway:coredns"),
        Identity("volumes", "stackway:volumes"),
        Identity("metrics-server", "stackway:metrics-server"),
        Identity("metrics-server-tls", "metrics-server", hosts=metrics, is_client=False),
    )


def with_kubeconfig() -> tuple[str, ...]:
    """Return the identities that reach the API by a kubeconfig of their own, apart from the administrator's."""
    return (
        "kubelet",
        "kube-controller-manager",
        "kube-scheduler",
        "kube-proxy",
        "coredns",
        "volumes",
        "metrics-server",
    )
