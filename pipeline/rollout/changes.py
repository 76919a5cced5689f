# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What a step of an upgrade changes in the cluster, and how that is put back. Each part may be done again and again."""

from pipeline.api import Api
from pipeline.manifests.workloads import workload_name
from pipeline.readiness import State, readiness
from pipeline.rollout.journal import Before, kept
from pipeline.rollout.plan import TRAFFIC, Kind, Step, Undo
from pipeline.rollout.target import TRIAL, Target, on_trial, sized

_DONE_BY_JOBS = {Kind.CHECK, Kind.BACKUP, Kind.EXPAND}
_ASKED = {Kind.START, Kind.GROW, *TRAFFIC}


class Changes:
    """The hands of an upgrade in one namespace."""

    def __init__(self, api: Api, namespace: str, target: Target) -> None:
        self._api, self._namespace, self._target = api, namespace, target

    def do(self, step: Step) -> None:
        """Do a step, or what is left of it. Raises RefusedByClusterError and UnavailableError."""
        if step.kind is Kind.STOP:
            self._scale(step, 0)
        if step.kind is Kind.START:
            # The old revision stays as large as it was when it served, and warm.
            for name, _ in step.old:
                self._api.delete("HorizontalPodAutoscaler", name, self._namespace)
        if step.kind in _DONE_BY_JOBS:
            self._clear(step)
        for item in self._target.objects(step):
            self._api.apply(item)
        if step.kind in {Kind.START, Kind.GROW} and self._target.is_asked(step):
            self._mark(step, on=True)

    def _clear(self, step: Step) -> None:
        """Remove jobs that failed before, so that they are tried again."""
        for item in self._target.objects(step):
            there = self._api.get("Job", item["metadata"]["name"], self._namespace) if item["kind"] == "Job" else None
            if there and readiness({"kind": "Job", **there}).state is State.FAILED:
                self._api.delete("Job", str(item["metadata"]["name"]), self._namespace)

    def _scale(self, step: Step, replicas: int | None) -> None:
        for name, count in step.old:
            there = self._api.get("Deployment", name, self._namespace)
            if there:
                wanted = count if replicas is None else replicas
                self._api.apply(sized(kept({"kind": "Deployment", **there}), wanted))

    def _mark(self, step: Step, *, on: bool) -> None:
        """Have the prober ask the pods of both revisions often, or no more so."""
        name = workload_name(step.service, step.process)
        there = self._api.get("Service", name, self._namespace)
        if there:
            item = kept({"kind": "Service", **there})
            annotations = {
                key: value for key, value in (item["metadata"].get("annotations") or {}).items() if key != TRIAL
            }
            plain = {**item, "metadata": {**item["metadata"], "annotations": annotations}}
            self._api.apply(on_trial(plain, step) if on else plain)

    def close(self, step: Step) -> None:
        """End what was done only to prove a step."""
        if step.kind in _ASKED and self._target.is_asked(step):
            self._mark(step, on=False)

    def undo(self, step: Step, before: Before) -> None:
        """Make everything that a step touched as it was before it: what was not there goes, except what holds data."""
        if step.undo is not Undo.REVERSIBLE:
            return
        if step.kind is Kind.STOP:
            self._scale(step, None)
            return
        for (kind, name), item in before.items():
            if item is not None:
                self._api.apply(item)
            elif kind != "PersistentVolumeClaim":
                self._api.delete(kind, name, self._namespace)
        if step.kind is Kind.START and self._target.is_asked(step):
            self._mark(step, on=False)
