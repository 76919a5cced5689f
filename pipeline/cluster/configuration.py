# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The configuration files of the cluster's programs, as texts by file name. Pure; every path in them is one inside."""

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pipeline.cluster.layout import (
    CONTAINERD_SOCKET,
    CONTEXT,
    DNS_READY_PORT,
    DOMAIN,
    INSIDE,
    NODE,
    Addresses,
)

CONFIG = INSIDE / "config"
KEYS = INSIDE / "keys"
DATA = INSIDE / "data"
HOST = "registry.local"
PAUSE = f"{HOST}/pause:1"
_RESOLV = CONFIG / "resolv.conf"
_MOST_PODS = 200
# Values that the kubelet wants and would otherwise write for the whole machine; files with them are mounted over.
TUNABLES = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


@dataclass(frozen=True)
class Credentials:
    """What a kubeconfig holds of one identity: the authority's certificate, its own, and its key (PEM)."""

    authority: bytes
    certificate: bytes
    key: bytes


def texts(addresses: Addresses, group: str, runc: str, plugins: str) -> dict[str, str]:
    """Return the files by name; `group` holds the pods, `runc` is the program, `plugins` the folder of network plugins."""
    return {
        "containerd.toml": containerd(runc, plugins),
        "net.d/10-stackway.conflist": _json(network(addresses)),
        "kubelet.json": _json(kubelet(addresses, group)),
        "kube-proxy.json": _json(proxy(addresses)),
        "Corefile": corefile(addresses),
        "resolv.conf": f"nameserver {addresses.dns}\n",
        **{f"tunables/{name.replace('/', '.')}": f"{value}\n" for name, value in TUNABLES.items()},
    }


def containerd(runc: str, plugins: str) -> str:
    """Return containerd's configuration: nothing is pulled, and no score against memory shortage is lowered.

    Version 2 of the file is what 1.6 wants; later ones read it too.
    """
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""version = 2
root = "{DATA}/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = [
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper",
]
[grpc]
address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
path = "{DATA}/opt"
[{cri}]
sandbox_image = "{PAUSE}"
restrict_oom_score_adj = true
stream_server_address = "127.0.0.1"
[{cri}.containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
[{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[{cri}.containerd.runtimes.runc.options]
BinaryName = "{runc}"
SystemdCgroup = false
[{cri}.cni]
bin_dir = "{plugins}"
conf_dir = "{CONFIG}/net.d"
"""


def network(addresses: Addresses) -> dict[str, Any]:
    """Return the pods' network: one bridge. What it gave out is kept in memory, for it ends with the pods."""
    ranges = [[{"subnet": str(addresses.pods)}]]
    bridge = {
        "type": "bridge",
        "bridge": "pods",
        "isGateway": True,
        "isDefaultGateway": True,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "dataDir": "/run/cni", "ranges": ranges},
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": NODE, "plugins": [bridge, ports]}


def kubelet(addresses: Addresses, group: str) -> dict[str, Any]:
    """Return the kubelet's configuration. Images come from us alone, so none is ever removed to make room."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": str(addresses.node),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{KEYS}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{KEYS}/kubelet.crt",
        "tlsPrivateKeyFile": f"{KEYS}/kubelet.key",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{group}",
        "clusterDNS": [str(addresses.dns)],
        "clusterDomain": DOMAIN,
        "resolvConf": str(_RESOLV),
        "podLogsDir": str(DATA / "pod-logs"),
        "volumePluginDir": str(DATA / "volume-plugins"),
        "maxPods": _MOST_PODS,
        "oomScoreAdj": 0,
        "failSwapOn": False,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
        "serializeImagePulls": False,
        "registryPullQPS": 0,
        "eventRecordQPS": 0,
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "10s",
        "configMapAndSecretChangeDetectionStrategy": "Watch",
        "containerLogMaxSize": "10Mi",
        "containerLogMaxFiles": 3,
        "enableProfilingHandler": False,
    }


def proxy(addresses: Addresses) -> dict[str, Any]:
    """Return kube-proxy's configuration: changes within 0.1 s, and nothing that belongs to the whole machine is set."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": NODE,
        "bindAddress": str(addresses.node),
        "clusterCIDR": str(addresses.pods),
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "nodePortAddresses": [f"{addresses.node}/32"],
        "oomScoreAdj": 0,
        "clientConnection": {"kubeconfig": kubeconfig_path("kube-proxy")},
        "iptables": {"minSyncPeriod": "100ms", "syncPeriod": "30s", "localhostNodePorts": False},
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def corefile(addresses: Addresses) -> str:
    """Return CoreDNS's configuration: it knows the cluster's names and asks nobody about others."""
    return f""".:53 {{
    bind {addresses.node}
    errors
    ready {addresses.node}:{DNS_READY_PORT}
    kubernetes {DOMAIN} in-addr.arpa {{
        kubeconfig {kubeconfig_path("coredns")} {CONTEXT}
        ttl 5
    }}
    cache 5
    loadbalance
}}
"""


def kubeconfig_path(name: str) -> str:
    """Return where the kubeconfig of an identity is, inside."""
    return str(CONFIG / f"{name}.kubeconfig")


def kubeconfig(server: str, user: str, credentials: Credentials) -> dict[str, Any]:
    """Return a kubeconfig with everything in it."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": CONTEXT,
        "clusters": [
            {
                "name": CONTEXT,
                "cluster": {"server": server, "certificate-authority-data": _base64(credentials.authority)},
            }
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": _base64(credentials.certificate),
                    "client-key-data": _base64(credentials.key),
                },
            }
        ],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": user}}],
    }


def tunable_mounts() -> Mapping[PurePosixPath, PurePosixPath]:
    """Return which file is mounted over which kernel setting."""
    return {PurePosixPath("/proc/sys") / name: CONFIG / "tunables" / name.replace("/", ".") for name in TUNABLES}


def _base64(content: bytes) -> str:
    return b64encode(content).decode()


def _json(value: object) -> str:
    return json.dumps(value, indent=1) + "\n"
