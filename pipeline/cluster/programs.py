# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The programs of the cluster: their command lines, what each waits for, and the world that they run in. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.cluster.configuration import CONFIG, DATA, KEYS, kubeconfig_path, tunable_mounts
from pipeline.cluster.layout import (
    API_PORT,
    CONTAINERD_SOCKET,
    DOMAIN,
    ETCD,
    INNER_LINK,
    INSIDE,
    METRICS_PORT,
    NODE,
    Addresses,
    Home,
)

# Without a note of it in /run, which is the machine's at first.
_MOUNT = ("/bin/mount", "--no-mtab")
# Files that `up` makes: what needs more than an open port waits for them.
API_READY, OBJECTS_THERE = "api", "objects"
_FRONT_HEADERS = (
    "--requestheader-allowed-names=front-proxy-client",
    "--requestheader-extra-headers-prefix=X-Remote-Extra-",
    "--requestheader-group-headers=X-Remote-Group",
    "--requestheader-username-headers=X-Remote-User",
)


@dataclass(frozen=True)
class Program:
    """A program that is kept running: its arguments, and the address that must take connections before it starts."""

    name: str
    arguments: tuple[str, ...]
    needs: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return it as the keeper reads it."""
        return {
            "name": self.name,
            "arguments": self.arguments,
            "needs": self.needs,
            "environment": dict(self.environment),
            "log": str(INSIDE / "logs" / f"{self.name}.log"),
        }


def programs(addresses: Addresses, tools: Mapping[str, Path]) -> tuple[Program, ...]:
    """Return all programs of the cluster. Each waits for what it would otherwise end without, again and again."""
    one = str(tools["kubernetes"])
    api, ready, objects = f"tcp:{addresses.node}:{API_PORT}", _gate(API_READY), _gate(OBJECTS_THERE)
    return (
        Program("etcd", (one, *_etcd())),
        Program("containerd", (str(tools["containerd"]), "--config", f"{CONFIG}/containerd.toml")),
        Program("kube-apiserver", (one, *_apiserver(addresses)), f"tcp:{ETCD}"),
        Program("kube-controller-manager", (one, *_controllers(addresses)), ready),
        Program("kube-scheduler", (one, *_scheduler()), ready),
        Program("kubelet", (one, *_kubelet(addresses)), api),
        Program("kube-proxy", (one, "kube-proxy", f"--config={CONFIG}/kube-proxy.json"), ready),
        Program("coredns", (one, "coredns", "-conf", f"{CONFIG}/Corefile"), objects),
        Program("volumes", (one, *_volumes()), objects),
        Program("metrics-server", (str(tools["metrics-server"]), *_metrics(addresses)), objects),
    )


def _gate(name: str) -> str:
    return f"file:{INSIDE / 'gates' / name}"


def world(
    home: Home, all_programs: tuple[Program, ...], addresses: Addresses, tools: Mapping[str, Path]
) -> dict[str, Any]:
    """Return the keeper's plan: a file tree and a network of its own, and the programs in it."""
    environment = {"TMPDIR": str(DATA / "tmp"), "HOME": str(DATA / "tmp")}
    return {
        "hostname": NODE,
        "link": INNER_LINK,
        "status": str(INSIDE / "programs.json"),
        "prepare": [list(command) for command in (*_files(home), *_network(addresses, tools))],
        "programs": [
            Program(p.name, p.arguments, p.needs, {**environment, **p.environment}).to_dict() for p in all_programs
        ],
    }


def _files(home: Home) -> list[tuple[str, ...]]:
    """Return what puts memory over what would be written outside, and the cluster's folder at its fixed place."""
    outside = str(home.path)
    return [
        (*_MOUNT, "--make-rprivate", "/"),
        (*_MOUNT, "-t", "tmpfs", "-o", "mode=755", "tmpfs", f"{outside}/run"),
        ("/bin/mkdir", f"{outside}/run/stackway"),
        (*_MOUNT, "--bind", outside, f"{outside}/run/stackway"),
        (*_MOUNT, "--move", f"{outside}/run", "/run"),
        ("/bin/mkdir", "-p", "/run/lib/upper", "/run/lib/work"),
        (
            *_MOUNT,
            "-t",
            "overlay",
            "-o",
            "lowerdir=/var/lib,upperdir=/run/lib/upper,workdir=/run/lib/work",
            "overlay",
            "/var/lib",
        ),
        (*_MOUNT, "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/var/log"),
        (*_MOUNT, "-o", "remount,bind,ro", "/"),
        (*_MOUNT, "-t", "proc", "proc", "/proc"),
        *((*_MOUNT, "--bind", str(source), str(target)) for target, source in tunable_mounts().items()),
        (*_MOUNT, "--make-rshared", "/"),
    ]


def _network(addresses: Addresses, tools: Mapping[str, Path]) -> list[tuple[str, ...]]:
    """Return what makes the node's end of the link. It has no route to anywhere else, and hears only this machine."""
    ip = str(tools["ip"])
    only_ours = (str(tools["iptables"]), "-w", "-t", "mangle", "-A", "PREROUTING", "-i", INNER_LINK)
    return [
        (ip, "link", "set", "lo", "up"),
        (ip, "address", "add", f"{addresses.node}/30", "dev", INNER_LINK),
        (ip, "link", "set", INNER_LINK, "up"),
        ("/bin/sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"),
        (*only_ours, "!", "-s", str(addresses.host), "-j", "DROP"),
    ]


def _etcd() -> tuple[str, ...]:
    peer = "https://127.0.0.1:2380"
    tls = [
        f"--{prefix}{name}={KEYS}/{file}"
        for prefix in ("", "peer-")
        for name, file in (("trusted-ca-file", "etcd-ca.crt"), ("cert-file", "etcd.crt"), ("key-file", "etcd.key"))
    ]
    # A cluster for one person and one machine is made anew rather than restored after a loss of power.
    fast = ("--unsafe-no-fsync", "--snapshot-count=10000", "--auto-compaction-retention=5m")
    return (
        "etcd",
        f"--name={NODE}",
        f"--data-dir={DATA}/etcd",
        f"--listen-client-urls=https://{ETCD}",
        f"--advertise-client-urls=https://{ETCD}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster={NODE}={peer}",
        "--client-cert-auth",
        "--peer-client-cert-auth",
        *tls,
        *fast,
        "--log-level=warn",
    )


def _apiserver(addresses: Addresses) -> tuple[str, ...]:
    return (
        "kube-apiserver",
        f"--advertise-address={addresses.node}",
        f"--bind-address={addresses.node}",
        f"--secure-port={API_PORT}",
        "--anonymous-auth=false",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--profiling=false",
        f"--client-ca-file={KEYS}/ca.crt",
        f"--tls-cert-file={KEYS}/apiserver.crt",
        f"--tls-private-key-file={KEYS}/apiserver.key",
        f"--etcd-servers=https://{ETCD}",
        f"--etcd-cafile={KEYS}/etcd-ca.crt",
        f"--etcd-certfile={KEYS}/apiserver-etcd.crt",
        f"--etcd-keyfile={KEYS}/apiserver-etcd.key",
        f"--kubelet-certificate-authority={KEYS}/ca.crt",
        f"--kubelet-client-certificate={KEYS}/apiserver-kubelet.crt",
        f"--kubelet-client-key={KEYS}/apiserver-kubelet.key",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-cluster-ip-range={addresses.services}",
        f"--service-account-issuer=https://kubernetes.default.svc.{DOMAIN}",
        f"--service-account-key-file={KEYS}/service-accounts.pub",
        f"--service-account-signing-key-file={KEYS}/service-accounts.key",
        "--enable-aggregator-routing=true",
        f"--requestheader-client-ca-file={KEYS}/front-proxy-ca.crt",
        *_FRONT_HEADERS,
        f"--proxy-client-cert-file={KEYS}/front-proxy.crt",
        f"--proxy-client-key-file={KEYS}/front-proxy.key",
    )


def _controllers(addresses: Addresses) -> tuple[str, ...]:
    # Scaling is judged every few seconds here, not every 15: whoever looks is sitting in front of it.
    scaling = (
        "--horizontal-pod-autoscaler-sync-period=5s",
        "--horizontal-pod-autoscaler-initial-readiness-delay=5s",
        "--horizontal-pod-autoscaler-cpu-initialization-period=30s",
    )
    return (
        "kube-controller-manager",
        *_as_user("kube-controller-manager"),
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--profiling=false",
        "--use-service-account-credentials=true",
        f"--root-ca-file={KEYS}/ca.crt",
        f"--service-account-private-key-file={KEYS}/service-accounts.key",
        f"--cluster-signing-cert-file={KEYS}/ca.crt",
        f"--cluster-signing-key-file={KEYS}/ca.key",
        f"--cluster-cidr={addresses.pods}",
        "--allocate-node-cidrs=false",
        "--kube-api-qps=100",
        "--kube-api-burst=200",
        f"--cert-dir={DATA}/controllers",
        *scaling,
    )


def _scheduler() -> tuple[str, ...]:
    quick = ("--leader-elect=false", "--profiling=false", "--kube-api-qps=100", "--kube-api-burst=200")
    return ("kube-scheduler", *_as_user("kube-scheduler"), "--bind-address=127.0.0.1", *quick)


def _as_user(name: str) -> tuple[str, ...]:
    path = kubeconfig_path(name)
    return tuple(f"--{what}kubeconfig={path}" for what in ("", "authentication-", "authorization-"))


def _kubelet(addresses: Addresses) -> tuple[str, ...]:
    return (
        "kubelet",
        f"--config={CONFIG}/kubelet.json",
        f"--kubeconfig={kubeconfig_path('kubelet')}",
        f"--root-dir={DATA}/kubelet",
        f"--hostname-override={NODE}",
        f"--node-ip={addresses.node}",
    )


def _volumes() -> tuple[str, ...]:
    return ("volumes", f"-kubeconfig={kubeconfig_path('volumes')}", f"-folder={DATA}/volumes")


def _metrics(addresses: Addresses) -> tuple[str, ...]:
    # It panics unless a request may take less time than there is between two.
    quick = ("--metric-resolution=10s", "--kubelet-request-timeout=5s")
    return (
        *_as_user("metrics-server"),
        f"--bind-address={addresses.node}",
        f"--secure-port={METRICS_PORT}",
        f"--tls-cert-file={KEYS}/metrics-server-tls.crt",
        f"--tls-private-key-file={KEYS}/metrics-server-tls.key",
        f"--kubelet-certificate-authority={KEYS}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP",
        *quick,
    )


def containerd_outside(keeper: int) -> str:
    """Return containerd's socket as the machine reaches it, through the keeper's file tree."""
    return f"/proc/{keeper}/root{CONTAINERD_SOCKET}"


def group_folders(root: Path, name: str) -> tuple[Path, ...]:
    """Return the control groups called `name` to make below `root`: one in each tree of version 1, or the one of 2."""
    if (root / "cgroup.controllers").is_file():
        return (root / name,)
    return tuple(sorted(tree / name for tree in root.iterdir() if (tree / "cgroup.procs").is_file()))
