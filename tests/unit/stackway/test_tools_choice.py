# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Which way is chosen for a tool, and what is said about the others."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackway.tools.choice import Findings, Sighting, Status, is_at_least, plan_tool
from stackway.tools.pins import (
    Ask,
    DebianWay,
    DownloadWay,
    GoWay,
    PathWay,
    Purpose,
    PythonWay,
    Tool,
    Way,
    WheelWay,
)

PATH, PYTHON = PathWay(), PythonWay("demo", "find")
WHEEL = WheelWay("demo-bin", "1.2.3", "0" * 64, "bin/demo", "linux/amd64", "1 MB")
DEBIAN = DebianWay("demo", "1.2", "a second")
GO = GoWay("kit", "example.org/demo/cmd/demo", "4 minutes")
DOWNLOAD = DownloadWay("https://example.org/demo", "0" * 64, 9, "", "linux/amd64", "1 MB")
TOOL = Tool(
    name="demo",
    purpose="demonstrates",
    needed_for=(Purpose.BUILD,),
    version="1.2.3",
    accept=">=1.2,<2",
    ask=Ask(("--version",), r"demo (\S+)", "with seccomp", "it has no seccomp"),
    ways=(PATH, PYTHON, WHEEL, DEBIAN, GO, DOWNLOAD),
    refused=("1.4.0",),
    refused_because="it is evil",
)
NOTHING = Findings(platform="linux/amd64", is_root=True, clients=frozenset())
ALL_CLIENTS = frozenset({"uv", "go", "apt-get"})
HERE = Path("/usr/bin/demo")


def sighting(version: str | None, output: str = "with seccomp") -> Sighting:
    return Sighting(HERE, version, output)


@pytest.mark.parametrize(
    ("ways", "findings", "status", "way"),
    [
        ((PATH, WHEEL), replace(NOTHING, on_path=sighting("1.5.0")), Status.PRESENT, PATH),
        ((PATH, WHEEL), replace(NOTHING, on_path=sighting("2.0"), clients=ALL_CLIENTS), Status.INSTALL, WHEEL),
        ((PATH,), replace(NOTHING, on_path=sighting("2.0")), Status.IMPOSSIBLE, None),
        ((PYTHON, PATH), replace(NOTHING, in_python=sighting("1.2.3")), Status.PRESENT, PYTHON),
        ((WHEEL, PATH), replace(NOTHING, on_path=sighting("1.5.0"), clients=ALL_CLIENTS), Status.PRESENT, PATH),
        ((PATH, WHEEL, GO), replace(NOTHING, in_cache={GO: HERE}, clients=ALL_CLIENTS), Status.PRESENT, GO),
        ((GO, WHEEL), replace(NOTHING, clients=ALL_CLIENTS), Status.INSTALL, GO),
        ((GO, WHEEL), replace(NOTHING, clients=frozenset({"uv"})), Status.INSTALL, WHEEL),
        ((GO, WHEEL), NOTHING, Status.IMPOSSIBLE, None),
        ((WHEEL,), replace(NOTHING, platform="linux/arm64", clients=ALL_CLIENTS), Status.IMPOSSIBLE, None),
        ((WHEEL, GO), replace(NOTHING, platform="linux/arm64", clients=ALL_CLIENTS), Status.INSTALL, GO),
        ((GO,), replace(NOTHING, platform="darwin/arm64", clients=ALL_CLIENTS), Status.IMPOSSIBLE, None),
        ((DOWNLOAD,), NOTHING, Status.INSTALL, DOWNLOAD),
        ((DEBIAN,), replace(NOTHING, clients=ALL_CLIENTS), Status.INSTALL, DEBIAN),
        ((DEBIAN,), NOTHING, Status.IMPOSSIBLE, None),
        ((DEBIAN,), replace(NOTHING, clients=ALL_CLIENTS, is_root=False), Status.BY_HAND, DEBIAN),
        ((DEBIAN, WHEEL), replace(NOTHING, clients=ALL_CLIENTS, is_root=False), Status.INSTALL, WHEEL),
        ((DEBIAN,), replace(NOTHING, clients=ALL_CLIENTS, candidates={"demo": "1.1-1"}), Status.IMPOSSIBLE, None),
        ((DEBIAN,), replace(NOTHING, clients=ALL_CLIENTS, candidates={"demo": "1.2-1"}), Status.INSTALL, DEBIAN),
        ((PATH, GO), replace(NOTHING, on_path=sighting("1.5"), clients=ALL_CLIENTS, forced="go"), Status.INSTALL, GO),
        ((PATH, GO), replace(NOTHING, clients=ALL_CLIENTS, forced="path"), Status.IMPOSSIBLE, None),
    ],
)
def test_findings_decide_the_way(ways: tuple[Way, ...], findings: Findings, status: Status, way: Way | None) -> None:
    found = plan_tool(replace(TOOL, ways=ways), findings)
    assert found.status is status
    assert (found.chosen.way if found.chosen else None) == way
    assert (found.path is not None) == (status is Status.PRESENT)


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (None, "is not there"),
        (sighting(None), "/usr/bin/demo: it does not tell its version"),
        (sighting("1.1.9"), "/usr/bin/demo: version 1.1.9 is not >=1.2,<2"),
        (sighting("1.3rc1"), "/usr/bin/demo: version 1.3rc1 is not >=1.2,<2"),
        (sighting("nightly"), "/usr/bin/demo: version nightly is not >=1.2,<2"),
        (sighting("1.4.0"), "/usr/bin/demo: version 1.4.0 is never used: it is evil"),
        (sighting("1.4.0+debian1"), "/usr/bin/demo: version 1.4.0+debian1 is never used: it is evil"),
        (sighting("1.3", "plain"), "/usr/bin/demo: it has no seccomp"),
    ],
)
def test_a_program_on_path_is_passed_over_with_a_reason(seen: Sighting | None, said: str) -> None:
    found = plan_tool(replace(TOOL, ways=(PATH,)), replace(NOTHING, on_path=seen))
    assert found.reason == f"path: {said}"


def test_an_exact_pin_takes_no_other_build_of_the_same_version() -> None:
    exact = replace(TOOL, accept="===1.2.3", ways=(PATH,))
    statuses = [
        plan_tool(exact, replace(NOTHING, on_path=sighting(version))).status
        for version in ("1.2.3", "1.2.3+site", "1.2.3-rc1", "1.2.4")
    ]
    assert statuses == [Status.PRESENT, *[Status.IMPOSSIBLE] * 3]


def test_a_damaged_program_is_installed_again_and_said_to_be_suspect() -> None:
    findings = replace(NOTHING, clients=ALL_CLIENTS, damaged=frozenset({WHEEL}))
    found = plan_tool(replace(TOOL, ways=(WHEEL,)), findings)
    assert found.status is Status.INSTALL
    assert found.chosen is not None
    assert found.chosen.suspect
    assert found.reason.startswith("the one in the cache was changed by somebody; from the wheel demo-bin 1.2.3")


def test_a_compromised_program_on_path_is_suspect() -> None:
    found = plan_tool(replace(TOOL, ways=(PATH,)), replace(NOTHING, on_path=sighting("1.4.0")))
    assert [offer.suspect for offer in found.others] == [True]


def test_without_root_the_command_for_a_person_is_told() -> None:
    findings = replace(NOTHING, clients=ALL_CLIENTS, is_root=False)
    found = plan_tool(replace(TOOL, ways=(PATH, DEBIAN)), findings)
    assert found.command == "sudo apt-get install --no-install-recommends demo"


def test_ways_that_were_not_needed_say_which_one_served() -> None:
    found = plan_tool(TOOL, replace(NOTHING, on_path=sighting("1.5.0"), clients=ALL_CLIENTS))
    reasons = {offer.way.kind: offer.reason for offer in found.others}
    assert reasons["go"] == "not needed, path serves"
    assert reasons["python"] == "is not there"


@given(
    platform=st.sampled_from(["linux/amd64", "linux/arm64", "darwin/arm64"]),
    is_root=st.booleans(),
    clients=st.frozensets(st.sampled_from(sorted(ALL_CLIENTS))),
    on_path=st.none() | st.builds(sighting, st.none() | st.sampled_from(["1.2.3", "1.4.0", "2.0", "x"])),
    in_cache=st.dictionaries(st.sampled_from([WHEEL, GO, DOWNLOAD]), st.just(HERE)),
    forced=st.sampled_from(["", "path", "go", "debian"]),
)
def test_every_way_gets_a_reason_and_only_what_is_there_has_a_path(
    *,
    platform: str,
    is_root: bool,
    clients: frozenset[str],
    on_path: Sighting | None,
    in_cache: dict[Way, Path],
    forced: str,
) -> None:
    found = plan_tool(TOOL, Findings(platform, is_root, clients, on_path, None, in_cache, forced=forced))
    assert {offer.way for offer in found.offers} == set(TOOL.ways)
    assert all(offer.reason for offer in found.offers)
    assert (found.path is not None) == (found.status is Status.PRESENT)
    assert (found.chosen is None) == (found.status is Status.IMPOSSIBLE)


@pytest.mark.parametrize(
    ("version", "minimum", "enough"),
    [
        ("1.1.5+ds1-1+deb12u1", "1.1", True),
        ("1.0.3-2", "1.1", False),
        ("1:1.10-1", "1.9", True),
        ("1.6.20~ds1-1", "1.6", True),
        ("2.38.1-5+deb12u3", "2.33", True),
        ("git20240101", "1", False),
    ],
)
def test_debian_versions_are_compared_by_their_upstream_numbers(version: str, minimum: str, *, enough: bool) -> None:
    assert is_at_least(version, minimum) is enough
