# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Rows by which a service's processes know each other: which of them are of pods that are gone for good. Pure.

A process refuses to be older than all rows of its kind, so on the way back rows of the new revision go; and rows of the old one
hold everybody at its version, so after the commit point they go.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipeline.manifests.workloads import workload_name
from pipeline.rollout.plan import Kind, RolloutPlan


def stale(rows: Iterable[Mapping[str, Any]], workloads: Iterable[str]) -> list[str]:
    """Return the ids of rows whose host is a pod of one of these workloads."""
    heads = tuple(f"{name}-" for name in workloads)
    return (
        sorted({str(row["ID"]) for row in rows if "ID" in row and str(row.get("Host", "")).startswith(heads)})
        if heads
        else []
    )


def new_workloads(plan: RolloutPlan, service: str) -> list[str]:
    """Return the workloads of a service that an upgrade has started."""
    return [workload_name(step.service, step.process, step.revision) for step in _starts(plan, service)]


def old_workloads(plan: RolloutPlan, service: str) -> list[str]:
    """Return the workloads of a service that an upgrade replaces."""
    return sorted({name for step in _starts(plan, service) for name, _ in step.old})


def _starts(plan: RolloutPlan, service: str) -> Iterator[Any]:
    return (step for step in plan.steps if step.kind is Kind.START and step.service == service)
