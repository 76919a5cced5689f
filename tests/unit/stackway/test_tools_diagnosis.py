# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What the doctor says about a machine, from facts alone."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from stackway.settings import Setting, default_settings
from stackway.tools.choice import Findings, Sighting, ToolPlan, plan_tool
from stackway.tools.diagnosis import GIGABYTE, Facts, Machine, Severity, diagnose
from stackway.tools.doctor import DoctorReport
from stackway.tools.machine import cgroup_version
from stackway.tools.pinfile import load_catalogue
from stackway.tools.pins import Purpose

GOOD = Machine(
    platform="linux/amd64",
    kernel="6.12",
    is_root=True,
    processors=2,
    memory=8 * GIGABYTE,
    cgroup="2",
    overlay=True,
    cache="/cache",
    free=50 * GIGABYTE,
)
ALL_CLIENTS = frozenset({"uv", "go", "apt-get"})
VERSIONS = {"uv": "0.13.9"}
HERE = {Purpose.RUN, Purpose.CLUSTER}


def plans(findings: Findings, present: frozenset[str] = frozenset()) -> tuple[ToolPlan, ...]:
    found = []
    for tool in load_catalogue().tools.values():
        version = VERSIONS.get(tool.name, tool.version)
        seen = Sighting(Path("/bin") / tool.name, version, tool.ask.prints) if tool.name in present else None
        found.append(plan_tool(tool, replace(findings, on_path=seen)))
    return tuple(found)


EVERY_TOOL = frozenset(load_catalogue().tools)
AT_HAND = Findings("linux/amd64", is_root=True, clients=ALL_CLIENTS)
HEALTHY = Facts(GOOD, plans(AT_HAND, EVERY_TOOL), "auto")


def blocked(facts: Facts) -> set[Purpose]:
    return {purpose for finding in diagnose(facts) for purpose in finding.blocks}


def test_a_good_machine_with_every_tool_has_no_findings() -> None:
    assert diagnose(HEALTHY) == ()


def test_tools_that_will_come_by_themselves_are_notes_and_stop_nothing() -> None:
    findings = diagnose(replace(HEALTHY, plans=plans(AT_HAND, frozenset({"uv", "apt-get"}))))
    notes = {finding.subject for finding in findings if finding.severity is Severity.NOTE}
    assert {"buildkitd", "buildx", "runc", "trivy", "hadolint"} <= notes
    assert not any(finding.blocks for finding in findings)


@pytest.mark.parametrize(
    ("machine", "subject", "severity", "blocks"),
    [
        (replace(GOOD, platform="darwin/arm64"), "system", Severity.BLOCKER, {Purpose.BUILD, *HERE}),
        (replace(GOOD, is_root=False), "user", Severity.BLOCKER, {*HERE}),
        (replace(GOOD, cgroup="none"), "cgroup", Severity.BLOCKER, {Purpose.BUILD, *HERE}),
        (replace(GOOD, cgroup="hybrid"), "cgroup", Severity.NOTE, set()),
        (replace(GOOD, overlay=False), "overlay", Severity.WARNING, set()),
        (replace(GOOD, free=2 * GIGABYTE), "disk", Severity.BLOCKER, {Purpose.BUILD}),
        (replace(GOOD, free=10 * GIGABYTE), "disk", Severity.WARNING, set()),
    ],
)
def test_facts_of_the_machine_are_judged(
    machine: Machine, subject: str, severity: Severity, blocks: set[Purpose]
) -> None:
    (finding,) = diagnose(replace(HEALTHY, machine=machine))
    assert (finding.subject, finding.severity, set(finding.blocks)) == (subject, severity, blocks)
    assert finding.message
    assert finding.resolution


def test_a_root_without_all_rights_cannot_run_a_cluster() -> None:
    (finding,) = diagnose(replace(HEALTHY, lacks=("CAP_NET_ADMIN",)))
    assert (finding.subject, finding.blocks) == ("rights", {Purpose.CLUSTER})
    assert "CAP_NET_ADMIN" in finding.message


def test_the_own_builder_without_root_cannot_build() -> None:
    facts = replace(HEALTHY, machine=replace(GOOD, is_root=False), builder="own")
    assert blocked(facts) == {Purpose.BUILD, *HERE}


def test_little_memory_matters_only_where_something_is_compiled() -> None:
    small = replace(HEALTHY, machine=replace(GOOD, memory=GIGABYTE))
    assert diagnose(small) == ()
    findings = diagnose(replace(small, plans=plans(AT_HAND)))
    message = next(finding.message for finding in findings if finding.subject == "memory")
    assert message.startswith("compiling buildkitd, buildx, ")
    assert "takes 2 GB of memory; there are 1.0 GB" in message


@pytest.mark.parametrize(
    ("missing", "builder", "expected"),
    [
        ("runc", "auto", {Purpose.BUILD, *HERE}),
        ("runc", "docker", {*HERE}),
        ("buildkitd", "own", {Purpose.BUILD}),
        ("buildkitd", "remote:tcp://b:1", set()),
        ("buildx", "docker", {Purpose.BUILD}),
        ("uv", "auto", {Purpose.BUILD, Purpose.LOCK}),
        ("trivy", "auto", {Purpose.SCAN}),
        ("go", "auto", set()),
        ("setpriv", "auto", set()),
        ("keeper", "auto", {Purpose.CLUSTER}),
    ],
)
def test_a_tool_that_cannot_be_had_stops_what_needs_it(missing: str, builder: str, expected: set[Purpose]) -> None:
    nothing_brings_it = replace(AT_HAND, clients=frozenset())
    facts = Facts(GOOD, plans(nothing_brings_it, EVERY_TOOL - {missing}), builder)
    assert blocked(facts) == expected


def test_a_tool_that_takes_root_names_the_command() -> None:
    findings = diagnose(Facts(GOOD, plans(replace(AT_HAND, is_root=False), EVERY_TOOL - {"runc"}), "auto"))
    assert [finding.resolution for finding in findings] == ["Run `sudo apt-get install --no-install-recommends runc`."]


def test_a_compromised_scanner_on_path_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VERSIONS, "trivy", "0.69.4")
    findings = diagnose(Facts(GOOD, plans(AT_HAND, EVERY_TOOL), "auto"))
    assert [(finding.subject, finding.severity) for finding in findings] == [
        ("trivy", Severity.WARNING),
        ("trivy", Severity.NOTE),
    ]
    assert "never used" in findings[0].message


def test_blockers_come_first() -> None:
    facts = replace(HEALTHY, machine=replace(GOOD, cgroup="1", overlay=False, free=0))
    assert [finding.severity for finding in diagnose(facts)] == list(Severity)


def report(facts: Facts) -> DoctorReport:
    settings = replace(default_settings({}), builder=Setting("own", "stackway.toml:3"))
    return DoctorReport(settings, facts.machine, facts.plans, diagnose(facts))


def test_a_report_is_json_and_says_what_is_ready() -> None:
    content = json.loads(json.dumps(report(replace(HEALTHY, machine=replace(GOOD, free=0))).to_dict()))
    assert content["ready"] == {purpose.value: purpose is not Purpose.BUILD for purpose in Purpose}
    assert content["settings"]["builder"] == {"value": "own", "origin": "stackway.toml:3"}
    assert content["findings"][0]["blocks"] == ["build"]
    assert content["tools"][0]["chosen"]["path"] == "/bin/buildkitd"


def test_a_report_s_tables_show_tools_reasons_and_origins() -> None:
    tables = dict(report(Facts(GOOD, plans(AT_HAND), "own")).tables())
    assert list(tables) == ["Ready for", "Findings", "Tools", "Other ways", "Machine", "Settings"]
    assert "compiled from the pinned Go module buildkit" in tables["Tools"].to_text()
    assert "stackway.toml:3" in tables["Settings"].to_text()
    assert "50.0 GB in /cache" in tables["Machine"].to_text()


def test_an_unknown_purpose_is_refused() -> None:
    with pytest.raises(ValueError, match="'flying' is not a valid Purpose"):
        report(HEALTHY).is_ready("flying")


@pytest.mark.parametrize(
    ("files", "version"),
    [
        (["cgroup.controllers"], "2"),
        (["memory/tasks", "unified/cgroup.procs"], "hybrid"),
        (["memory/tasks"], "1"),
        ([], "none"),
    ],
)
def test_the_control_groups_are_told_apart(tmp_path: Path, files: list[str], version: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert cgroup_version(tmp_path) == version
