# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The command lines of a local cluster, and the world they run in: own files, own network, nothing of the machine's."""

import json
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from pipeline.cluster.configuration import texts
from pipeline.cluster.identities import AUTHORITIES, TOKEN_KEY, identities, with_kubeconfig
from pipeline.cluster.layout import Addresses, Home
from pipeline.cluster.programs import Program, containerd_outside, group_folders, programs, world

ADDRESSES = Addresses(IPv4Network("10.214.0.0/16"))
NAMES = ("kubernetes", "metrics-server", "containerd", "ctr", "runc", "cni-plugins", "iptables", "ip", "keeper")
TOOLS = {name: Path(f"/tools/{name}") for name in NAMES}
HOME = Home(Path("/state/cluster"))
ALL = programs(ADDRESSES, TOOLS)
BY_NAME = {program.name: program for program in ALL}
WORLD = world(HOME, ALL, ADDRESSES, TOOLS)


def option(name: str, key: str) -> str:
    """Return the value of one option of a program, which is there once."""
    (found,) = [word.partition("=")[2] for word in BY_NAME[name].arguments if word.startswith(f"--{key}=")]
    return found


def test_every_program_is_there_once() -> None:
    assert len(BY_NAME) == len(ALL) == 10


@pytest.mark.parametrize("program", ALL, ids=lambda program: program.name)
def test_no_program_repeats_an_option(program: Program) -> None:
    options = [word.partition("=")[0] for word in program.arguments if word.startswith("-")]
    assert len(options) == len(set(options))


def test_every_file_that_is_named_is_made() -> None:
    known = {f"keys/{identity.name}.{kind}" for identity in identities(ADDRESSES) for kind in ("crt", "key")}
    known |= {f"keys/{name}.{kind}" for name in AUTHORITIES for kind in ("crt", "key")}
    known |= {f"keys/{TOKEN_KEY}.{kind}" for kind in ("key", "pub")}
    known |= {f"config/{name}.kubeconfig" for name in with_kubeconfig()}
    known |= {f"config/{name}" for name in texts(ADDRESSES, "g", "r", "p")}
    words = [part for program in ALL for word in program.arguments for part in word.split("=")]
    named = {
        word.removeprefix("/run/stackway/") for word in words if word.startswith(("/run/stackway/k", "/run/stackway/c"))
    }
    assert named
    assert named <= known


@pytest.mark.parametrize(
    ("name", "key", "wanted"),
    [
        ("kube-apiserver", "anonymous-auth", "false"),
        ("kube-apiserver", "authorization-mode", "Node,RBAC"),
        ("kube-apiserver", "bind-address", "10.214.0.2"),
        ("kube-apiserver", "service-cluster-ip-range", "10.214.128.0/18"),
        ("kube-controller-manager", "bind-address", "127.0.0.1"),
        ("kube-controller-manager", "horizontal-pod-autoscaler-cpu-initialization-period", "30s"),
        ("kube-controller-manager", "horizontal-pod-autoscaler-initial-readiness-delay", "5s"),
        ("kube-controller-manager", "cluster-cidr", "10.214.64.0/18"),
        ("kube-scheduler", "bind-address", "127.0.0.1"),
        ("etcd", "listen-client-urls", "https://127.0.0.1:2379"),
        ("kubelet", "node-ip", "10.214.0.2"),
    ],
)
def test_options_that_matter(name: str, key: str, wanted: str) -> None:
    assert option(name, key) == wanted


def test_etcd_takes_certificates_only() -> None:
    assert {"--client-cert-auth", "--peer-client-cert-auth"} <= set(BY_NAME["etcd"].arguments)
    assert not [word for program in ALL for word in program.arguments if "http://" in word]


def test_metrics_ask_less_often_than_an_answer_may_take() -> None:
    resolution, timeout = (option("metrics-server", key) for key in ("metric-resolution", "kubelet-request-timeout"))
    assert int(resolution.removesuffix("s")) > int(timeout.removesuffix("s"))


def test_programs_wait_for_what_is_made_by_others() -> None:
    needs = {program.name: program.needs for program in ALL}
    assert needs["kube-apiserver"] == "tcp:127.0.0.1:2379"
    assert needs["kubelet"] == "tcp:10.214.0.2:6443"
    assert {needs["kube-scheduler"], needs["coredns"]} == {
        "file:/run/stackway/gates/api",
        "file:/run/stackway/gates/objects",
    }
    assert (needs["etcd"], needs["containerd"]) == ("", "")


def test_the_world_can_be_told_to_the_keeper() -> None:
    told: dict[str, Any] = json.loads(json.dumps(WORLD))
    assert set(told) == {"hostname", "link", "status", "prepare", "programs"}
    assert {program["log"] for program in told["programs"]} == {f"/run/stackway/logs/{name}.log" for name in BY_NAME}
    assert {program["environment"]["TMPDIR"] for program in told["programs"]} == {"/run/stackway/data/tmp"}


def test_nothing_of_the_machine_is_mounted_over_before_the_world_is_private() -> None:
    commands = [" ".join(command) for command in WORLD["prepare"]]
    assert commands[0].endswith("--make-rprivate /")
    assert any(command.endswith("remount,bind,ro /") for command in commands)


def test_the_node_hears_this_machine_only() -> None:
    (rule,) = [command for command in WORLD["prepare"] if command[0] == "/tools/iptables"]
    assert rule[-5:] == ["!", "-s", "10.214.0.1", "-j", "DROP"]
    assert not [command for command in WORLD["prepare"] if "default" in command]


def test_containerd_is_reached_through_the_keeper() -> None:
    assert containerd_outside(7) == "/proc/7/root/run/containerd/containerd.sock"


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        (["cgroup.controllers", "cgroup.procs", "sub/cgroup.procs"], ["g"]),
        (["cpu/cgroup.procs", "memory/cgroup.procs"], ["cpu/g", "memory/g"]),
        (["memory/cgroup.procs", "unified/cgroup.procs", "README"], ["memory/g", "unified/g"]),
    ],
    ids=["version 2", "version 1", "hybrid"],
)
def test_one_group_in_each_tree(tmp_path: Path, files: list[str], wanted: list[str]) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [str(folder.relative_to(tmp_path)) for folder in group_folders(tmp_path, "g")] == wanted
