# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What stops a deployment before anything is changed, what is only told, and what is neither."""

from dataclasses import replace
from typing import Any

import pytest

from pipeline.preflight import Amount, Facts, PreflightError, Quota, judge, refuse
from stackway.errors import ExitCode

FIT = Facts(
    context="lab",
    namespace="openstack",
    environment="dev",
    version=(1, 34),
    skew=0.5,
    owner="dev",
    exists=True,
    wants_claims=True,
    has_storage=True,
    has_metrics=True,
    nodes={"a": ""},
    needed=Amount(1000, 1 << 30, 30),
    free=Amount(2000, 8 << 30, 100),
    runs="2026.1.0",
    release="2026.1.1",
)


def test_fit_cluster_has_nothing_in_the_way() -> None:
    assert judge(FIT) == []


@pytest.mark.parametrize(
    ("other", "told", "stops"),
    [
        ({"version": (1, 29)}, "1.29 is too old", True),
        ({"skew": 61.0}, "61 s ahead of", True),
        ({"skew": -61.0}, "61 s behind", True),
        ({"skew": 6.0}, "6 s ahead of", False),
        ({"owner": "staging"}, "belongs to the environment staging", True),
        ({"owner": None, "manager": "helm"}, "managed by helm", True),
        ({"forbidden": ("patch Secret",)}, "patch Secret", True),
        ({"has_storage": False}, "no default StorageClass", True),
        ({"has_metrics": False}, "no metrics", False),
        ({"nodes": {"a": "DiskPressure"}}, "no node takes pods (a: DiskPressure)", True),
        ({"nodes": {}}, "there is none", True),
        ({"nodes": {"a": "", "b": "it is cordoned"}}, "b: it is cordoned", False),
        ({"free": Amount(999, 8 << 30, 100)}, "999 m are free", True),
        ({"free": Amount(2000, 1 << 20, 100)}, "1 MiB are free", True),
        ({"free": Amount(2000, 8 << 30, 29)}, "nodes take 29 more", True),
        ({"quotas": (Quota("tight", {"pods": 29_000}),)}, "quota tight leaves 29 of pods", True),
        ({"quotas": (Quota("tight", {"requests.cpu": 500}),)}, "0.5 of requests.cpu", True),
        ({"refusals": ("Deployment x: no",)}, "Deployment x: no", True),
        ({"runs": "2025.1.4"}, "2026.1.1 is of another series", True),
    ],
)
def test_what_is_in_the_way_is_named_with_what_to_do(other: dict[str, Any], told: str, stops: bool) -> None:  # noqa: FBT001
    (finding,) = judge(replace(FIT, **other))
    assert told in finding.what
    assert finding.mend
    assert finding.stops is stops


@pytest.mark.parametrize(
    "unseen",
    [
        {"free": None},
        {"nodes": None},
        {"has_storage": None},
        {"has_metrics": None},
        {"exists": False, "owner": None},
        {"wants_claims": False, "has_storage": False},
        {"runs": ""},
    ],
    ids=str,
)
def test_what_cannot_be_seen_or_is_not_needed_is_in_nobodys_way(unseen: dict[str, Any]) -> None:
    assert judge(replace(FIT, **unseen)) == []


def test_namespace_of_somebody_else_is_taken_over_on_request_alone() -> None:
    foreign = replace(FIT, owner=None, manager=None)
    (finding,) = judge(foreign, adopt=True)
    assert not finding.stops
    (finding,) = judge(replace(FIT, owner="prod"), adopt=True)
    assert finding.stops


def test_upgrade_may_go_to_another_series() -> None:
    assert judge(replace(FIT, runs="2025.1.4"), upgrade=True) == []


def test_refusal_names_everything_and_changes_nothing() -> None:
    facts = replace(FIT, version=(1, 20), refusals=("a", "b"), has_metrics=False)
    with pytest.raises(PreflightError) as caught:
        refuse(facts, judge(facts))
    assert caught.value.exit_code is ExitCode.REFUSED
    assert [line[0] for line in caught.value.details.splitlines()] == ["1", "2", "3"]
    assert "metrics" not in caught.value.details


def test_what_is_only_to_know_stops_nothing() -> None:
    facts = replace(FIT, has_metrics=False)
    refuse(facts, judge(facts))
