# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Where everything of the local cluster is: its files outside and inside, its addresses and its ports. Pure."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path, PurePosixPath

from stackway.errors import UnavailableError

NODE = "stackway"
INNER_LINK = "eth0"
DOMAIN = "cluster.local"
CONTEXT = "stackway-local"

API_PORT = 6443
METRICS_PORT = 4443
DNS_READY_PORT = 8181
ETCD = "127.0.0.1:2379"
# What a host of the private range 10.0.0.0/8 seldom uses; one of them is enough.
_SECOND_NUMBERS = (213, 214, 217, 221, 227, 233, 239, 181, 187, 193)

# Inside, the cluster's folder is always here: the same texts wherever it is outside, and short enough for sockets.
INSIDE = PurePosixPath("/run/stackway")
CONTAINERD_SOCKET = PurePosixPath("/run/containerd/containerd.sock")


@dataclass(frozen=True)
class Home:
    """The folder of the cluster as the machine sees it. Everything that lasts longer than its processes is below."""

    path: Path

    @property
    def mark(self) -> str:
        """What tells the cluster's traces outside from those of others on the same machine."""
        return hashlib.sha256(str(self.path).encode()).hexdigest()[:8]

    @property
    def link(self) -> str:
        """The name of this machine's end of the link; the kernel takes 15 characters at most."""
        return f"sw-{self.mark}"

    @property
    def group(self) -> str:
        """The name of the control groups."""
        return f"stackway-{self.mark}"

    @property
    def record(self) -> Path:
        """What was made outside, written before it is made."""
        return self.path / "record.json"

    @property
    def keeper(self) -> Path:
        """Which process keeps the others; written by itself before it does anything."""
        return self.path / "keeper.json"

    @property
    def plan(self) -> Path:
        """What the keeper is told."""
        return self.path / "plan.json"

    @property
    def programs(self) -> Path:
        """What the keeper says of the programs that it keeps."""
        return self.path / "programs.json"

    @property
    def keys(self) -> Path:
        """Certificates and private keys."""
        return self.path / "keys"

    @property
    def config(self) -> Path:
        """The configuration of the programs."""
        return self.path / "config"

    @property
    def logs(self) -> Path:
        """One file for each program."""
        return self.path / "logs"

    @property
    def data(self) -> Path:
        """What the programs write: objects, images, volumes."""
        return self.path / "data"

    @property
    def gates(self) -> Path:
        """Files that programs wait for."""
        return self.path / "gates"

    @property
    def kubeconfig(self) -> Path:
        """How people reach the cluster."""
        return self.path / "kubeconfig"

    @property
    def kubectl(self) -> Path:
        """A link to a kubectl that fits."""
        return self.path / "bin" / "kubectl"

    def log(self, name: str) -> Path:
        """Return the log of one program."""
        return self.logs / f"{name}.log"


@dataclass(frozen=True)
class Addresses:
    """The addresses of the cluster: one network of this machine's own, cut into link, pods and services."""

    network: IPv4Network

    @property
    def host(self) -> IPv4Address:
        """This machine's end of the link."""
        return self.network.network_address + 1

    @property
    def node(self) -> IPv4Address:
        """The node's end of the link: API, node ports, and all that listens for this machine."""
        return self.network.network_address + 2

    @property
    def pods(self) -> IPv4Network:
        """Where pods are."""
        return IPv4Network((int(self.network.network_address) + (64 << 8), 18))

    @property
    def services(self) -> IPv4Network:
        """Where services are."""
        return IPv4Network((int(self.network.network_address) + (128 << 8), 18))

    @property
    def first_service(self) -> IPv4Address:
        """The API as pods reach it."""
        return self.services.network_address + 1

    @property
    def dns(self) -> IPv4Address:
        """The service that answers the pods' questions for names."""
        return self.services.network_address + 10

    @property
    def api(self) -> str:
        """The address of the API."""
        return f"https://{self.node}:{API_PORT}"


def choose_addresses(routes: Mapping[str, str]) -> Addresses:
    """Return the first network of ours that none of the machine's `routes` (network → who has it) leads to.

    Raises UnavailableError when all are in use, with what uses them.
    """
    taken = {IPv4Network(network, strict=False): holder for network, holder in routes.items() if network != "default"}
    networks = [IPv4Network(f"10.{second}.0.0/16") for second in _SECOND_NUMBERS]
    for network in networks:
        if not any(network.overlaps(other) for other in taken):
            return Addresses(network)
    raise UnavailableError(
        "no network is free for the local cluster",
        details="\n".join(f"{network}: {_holders(network, taken)}" for network in networks),
        resolution="End what uses one of them, or use a cluster elsewhere by its kubeconfig.",
    )


def other_holders(network: IPv4Network, routes: Mapping[str, str]) -> tuple[str, ...]:
    """Return the routes of others that lead into a network of ours; that nothing leaves it is a route of ours."""
    return tuple(
        f"{other} by {holder}"
        for other, holder in routes.items()
        if other != "default" and holder != "blackhole" and network.overlaps(IPv4Network(other, strict=False))
    )


def _holders(network: IPv4Network, taken: Mapping[IPv4Network, str]) -> str:
    found: Iterable[str] = (f"{other} by {holder}" for other, holder in taken.items() if network.overlaps(other))
    return ", ".join(found)
