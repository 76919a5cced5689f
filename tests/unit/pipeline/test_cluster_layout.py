# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Where a local cluster is: marks that no two share, and addresses that nobody else has."""

from ipaddress import IPv4Network, ip_network
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cluster.layout import Addresses, Home, choose_addresses, other_holders
from stackway.errors import UnavailableError

ALONE = {"default": "eth0", "192.0.2.0/24": "eth0", "127.0.0.0/8": "lo"}
FIRST = IPv4Network("10.213.0.0/16")


@pytest.mark.parametrize("path", ["/x", "/srv/someone/checkout/.stackway/cluster", "/" + "long/" * 60])
def test_the_link_of_any_folder_fits_the_kernel(path: str) -> None:
    home = Home(Path(path))
    assert len(home.link) <= 15
    assert home.link == Home(Path(path)).link


def test_two_folders_share_no_mark() -> None:
    first, second = Home(Path("/a/cluster")), Home(Path("/b/cluster"))
    assert not {first.mark, first.link, first.group} & {second.mark, second.link, second.group}


def test_parts_of_the_network_do_not_meet() -> None:
    addresses = Addresses(FIRST)
    link = ip_network(f"{addresses.host}/30", strict=False)
    parts = (link, addresses.pods, addresses.services)
    assert all(part.subnet_of(FIRST) for part in parts if isinstance(part, IPv4Network))
    assert not any(one.overlaps(other) for one, other in combinations(parts, 2))
    assert addresses.node in link
    assert {addresses.first_service in addresses.services, addresses.dns in addresses.services} == {True}


@pytest.mark.parametrize(
    ("routes", "second"),
    [
        ({}, 213),
        (ALONE, 213),
        ({"10.213.0.0/16": "blackhole"}, 214),
        ({"10.213.77.1": "vpn"}, 214),
        ({"10.208.0.0/12": "vpn"}, 227),
        ({"10.213.0.0/16": "blackhole", "10.214.0.0/30": "sw-1"}, 217),
    ],
    ids=["none", "usual", "another cluster's", "one address", "many", "two clusters"],
)
def test_the_first_network_without_a_route_is_taken(routes: dict[str, str], second: int) -> None:
    assert choose_addresses(routes).network == IPv4Network(f"10.{second}.0.0/16")


def test_no_network_free_says_who_has_them() -> None:
    with pytest.raises(UnavailableError) as caught:
        choose_addresses({"default": "eth0", "10.0.0.0/8": "vpn7"})
    assert "10.213.0.0/16: 10.0.0.0/8 by vpn7" in caught.value.details
    assert caught.value.resolution


@given(st.lists(st.integers(0, 2**32 - 1).map(lambda number: str(IPv4Network((number, 32)))), max_size=30))
def test_no_route_leads_into_what_was_chosen(taken: list[str]) -> None:
    chosen = choose_addresses(dict.fromkeys(taken, "x")).network
    assert not any(IPv4Network(route).overlaps(chosen) for route in taken)


@pytest.mark.parametrize(
    ("routes", "others"),
    [
        (ALONE, ()),
        ({"10.213.0.0/16": "blackhole"}, ()),
        ({"10.213.0.0/16": "blackhole", "10.213.0.0/30": "sw-1"}, ("10.213.0.0/30 by sw-1",)),
        ({"10.0.0.0/8": "vpn"}, ("10.0.0.0/8 by vpn",)),
    ],
    ids=["nobody", "ours that nothing leaves", "another cluster", "a wider route"],
)
def test_others_in_a_network_are_those_with_a_link(routes: dict[str, str], others: tuple[str, ...]) -> None:
    assert other_holders(FIRST, routes) == others


def test_files_of_a_cluster_are_all_below_its_folder() -> None:
    home = Home(Path("/x/cluster"))
    names = ("record", "keeper", "plan", "programs", "keys", "config", "logs", "data", "gates", "kubeconfig", "kubectl")
    paths = {getattr(home, name) for name in names} | {home.log("etcd")}
    assert len(paths) == len(names) + 1
    assert all(path.is_relative_to(home.path) for path in paths)
