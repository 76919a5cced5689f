# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The texts that the programs of a local cluster read: they parse, they agree with each other, they open no door."""

import base64
import json
import tomllib
from ipaddress import IPv4Network
from typing import Any

import pytest
import yaml

from pipeline.cluster.configuration import PAUSE, TUNABLES, Credentials, kubeconfig, texts, tunable_mounts
from pipeline.cluster.layout import CONTAINERD_SOCKET, Addresses

ADDRESSES = Addresses(IPv4Network("10.214.0.0/16"))
TEXTS = texts(ADDRESSES, "stackway-1", "/bin/runc", "/lib/cni")
KUBELET, PROXY = json.loads(TEXTS["kubelet.json"]), json.loads(TEXTS["kube-proxy.json"])
CONTAINERD = tomllib.loads(TEXTS["containerd.toml"])
CRI = CONTAINERD["plugins"]["io.containerd.grpc.v1.cri"]


@pytest.mark.parametrize("name", [name for name in TEXTS if name.endswith((".json", ".conflist"))])
def test_texts_for_machines_parse(name: str) -> None:
    assert isinstance(json.loads(TEXTS[name]), dict)


def test_texts_are_the_same_each_time() -> None:
    assert texts(ADDRESSES, "stackway-1", "/bin/runc", "/lib/cni") == TEXTS


def test_kubelet_and_containerd_agree() -> None:
    assert (
        KUBELET["containerRuntimeEndpoint"]
        == f"unix://{CONTAINERD['grpc']['address']}"
        == f"unix://{CONTAINERD_SOCKET}"
    )
    assert KUBELET["cgroupDriver"] == "cgroupfs"
    assert CRI["containerd"]["runtimes"]["runc"]["options"] == {"BinaryName": "/bin/runc", "SystemdCgroup": False}
    assert (CRI["sandbox_image"], CRI["cni"]["bin_dir"]) == (PAUSE, "/lib/cni")


def test_no_score_against_memory_shortage_is_lowered() -> None:
    assert CRI["restrict_oom_score_adj"] is True
    assert (CONTAINERD["oom_score"], KUBELET["oomScoreAdj"], PROXY["oomScoreAdj"]) == (0, 0, 0)


def test_nobody_unknown_is_let_in_and_nothing_listens_for_all() -> None:
    assert KUBELET["authentication"]["anonymous"] == {"enabled": False}
    assert KUBELET["authorization"] == {"mode": "Webhook"}
    assert KUBELET["address"] == PROXY["bindAddress"] == str(ADDRESSES.node)
    assert "0.0.0.0" not in "".join(TEXTS.values())  # noqa: S104 - nothing is bound; it must not be there


def test_addresses_are_the_same_everywhere() -> None:
    network = json.loads(TEXTS["net.d/10-stackway.conflist"])
    assert network["plugins"][0]["ipam"]["ranges"] == [[{"subnet": "10.214.64.0/18"}]]
    assert PROXY["clusterCIDR"] == "10.214.64.0/18"
    assert KUBELET["clusterDNS"] == [TEXTS["resolv.conf"].split()[1]] == [str(ADDRESSES.dns)]
    assert KUBELET["cgroupRoot"] == "/stackway-1"


def test_names_are_answered_on_the_node_and_nobody_else_is_asked() -> None:
    lines = TEXTS["Corefile"].splitlines()
    assert f"    bind {ADDRESSES.node}" in lines
    assert "forward" not in TEXTS["Corefile"]
    assert TEXTS["Corefile"].count("{") == TEXTS["Corefile"].count("}")


def test_every_setting_of_the_kernel_has_a_file_over_it() -> None:
    mounts = {str(target): source.name for target, source in tunable_mounts().items()}
    assert set(mounts) == {f"/proc/sys/{name}" for name in TUNABLES}
    assert {f"tunables/{name}" for name in mounts.values()} == {name for name in TEXTS if name.startswith("tunables/")}


def test_kubeconfig_holds_everything_and_names_its_parts() -> None:
    made: dict[str, Any] = yaml.safe_load(
        json.dumps(kubeconfig("https://x:1", "admin", Credentials(b"ca", b"crt", b"key")))
    )
    (context,) = made["contexts"]
    assert made["current-context"] == context["name"]
    assert context["context"] == {"cluster": made["clusters"][0]["name"], "user": made["users"][0]["name"]}
    user = made["users"][0]["user"]
    decoded = {name: base64.b64decode(value) for name, value in user.items()}
    assert decoded == {"client-certificate-data": b"crt", "client-key-data": b"key"}
