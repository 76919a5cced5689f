# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""`release doctor`: what is here, what would be brought and how, what is set by whom, and what stands in the way."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from stackway.console import Table
from stackway.settings import Setting, Settings
from stackway.tools.choice import Offer, ToolPlan
from stackway.tools.diagnosis import GIGABYTE, Facts, Finding, Machine, diagnose
from stackway.tools.machine import look_at_machine
from stackway.tools.pins import Purpose
from stackway.tools.survey import open_bench, plan

_OVERLAY = {True: "yes", False: "no", None: "only root can tell"}


@dataclass(frozen=True)
class DoctorReport:
    """What the doctor found; `plans` has every tool in the order of tools.toml."""

    settings: Settings
    machine: Machine
    plans: tuple[ToolPlan, ...]
    findings: tuple[Finding, ...]

    def is_ready(self, purpose: str) -> bool:
        """Return whether nothing stands in the way of `purpose`; what Stackway brings by itself does not."""
        wanted = Purpose(purpose)
        return not any(wanted in finding.blocks for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready data."""
        return {
            "ready": {purpose.value: self.is_ready(purpose) for purpose in Purpose},
            "findings": [_finding_dict(finding) for finding in self.findings],
            "tools": [_plan_dict(found) for found in self.plans],
            "machine": self.machine.to_dict(),
            "settings": {
                name: {"value": setting.value, "origin": setting.origin} for name, setting in _settings(self.settings)
            },
        }

    def tables(self) -> tuple[tuple[str, Table], ...]:
        """Return the report as tables with a title each, the most important first."""
        return (
            ("Ready for", self._purposes()),
            ("Findings", _findings_table(self.findings)),
            ("Tools", _tools_table(self.plans)),
            ("Other ways", _others_table(self.plans)),
            ("Machine", _machine_table(self.machine)),
            ("Settings", _settings_table(self.settings)),
        )

    def _purposes(self) -> Table:
        rows = []
        for purpose in Purpose:
            blockers = [finding.subject for finding in self.findings if purpose in finding.blocks]
            rows.append([purpose.value, "no" if blockers else "yes", ", ".join(blockers)])
        return Table(["purpose", "ready", "in the way"], rows)


def examine(cache: Path) -> tuple[ToolPlan, ...]:
    """Return the plan for every tool, with a look at all its ways. Installs nothing."""
    bench = open_bench(cache.absolute())
    return tuple(plan(bench, tool, thorough=True) for tool in bench.catalogue.tools.values())


def doctor_report(settings: Settings, lacks: tuple[str, ...] = ()) -> DoctorReport:
    """Return what there is to say about this machine and these settings; `lacks` are rights that a local cluster misses.

    Raises WrongInputError for a wrong site file.
    """
    machine = look_at_machine(settings.cache_path)
    plans = examine(settings.cache_path)
    return DoctorReport(settings, machine, plans, diagnose(Facts(machine, plans, settings.builder.value, lacks)))


def _settings(settings: Settings) -> list[tuple[str, Setting]]:
    return [(field.name, getattr(settings, field.name)) for field in fields(settings)]


def _finding_dict(finding: Finding) -> dict[str, Any]:
    return {
        "severity": finding.severity.value,
        "subject": finding.subject,
        "message": finding.message,
        "resolution": finding.resolution,
        "blocks": sorted(finding.blocks),
    }


def _plan_dict(found: ToolPlan) -> dict[str, Any]:
    return {
        "name": found.tool.name,
        "purpose": found.tool.purpose,
        "for": [purpose.value for purpose in found.tool.needed_for],
        "optional": found.tool.optional,
        "version": found.tool.version,
        "accept": found.tool.accept,
        "status": found.status.value,
        "chosen": _offer_dict(found.chosen) if found.chosen else None,
        "others": [_offer_dict(offer) for offer in found.others],
    }


def _offer_dict(offer: Offer) -> dict[str, Any]:
    return {
        "way": offer.way.kind,
        "status": offer.status.value,
        "reason": offer.reason,
        "path": str(offer.path) if offer.path else None,
        "command": offer.command or None,
    }


def _findings_table(findings: tuple[Finding, ...]) -> Table:
    rows = [[finding.severity.value, finding.subject, finding.message, finding.resolution] for finding in findings]
    return Table(["severity", "about", "what", "what to do"], rows)


def _tools_table(plans: tuple[ToolPlan, ...]) -> Table:
    rows = []
    for found in plans:
        way = found.chosen.way.kind if found.chosen else "none"
        needed = "optional" if found.tool.optional else ", ".join(found.tool.needed_for) or "other tools"
        rows.append([found.tool.name, needed, found.tool.accept, found.status.value, way, _where(found)])
    return Table(["tool", "for", "accepted", "status", "way", "where or how"], rows)


def _where(found: ToolPlan) -> str:
    return f"{found.path}: {found.reason}" if found.path else found.reason


def _others_table(plans: tuple[ToolPlan, ...]) -> Table:
    rows = [[found.tool.name, offer.way.kind, offer.reason] for found in plans for offer in found.others]
    return Table(["tool", "way", "why not"], rows)


def _machine_table(machine: Machine) -> Table:
    rows = [
        ["platform", machine.platform],
        ["kernel", machine.kernel],
        ["root", "yes" if machine.is_root else "no"],
        ["processors", str(machine.processors)],
        ["memory", f"{machine.memory / GIGABYTE:.1f} GB"],
        ["control groups", machine.cgroup],
        ["overlay mounts", _OVERLAY[machine.overlay]],
        ["free in the cache", f"{machine.free / GIGABYTE:.1f} GB in {machine.cache}"],
    ]
    return Table(["fact", "value"], rows)


def _settings_table(settings: Settings) -> Table:
    return Table(
        ["setting", "value", "set by"],
        [[name, setting.value or "not set", setting.origin] for name, setting in _settings(settings)],
    )
