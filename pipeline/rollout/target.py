# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What an upgrade leads to: a release in its environment, as objects, and which objects belong to a step. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from buildkit.models import Service
from pipeline.deployment import marked
from pipeline.manifests.objects import REVISION, Object, fit
from pipeline.manifests.render import BACKUP, CHECKS, Rendered
from pipeline.manifests.site import Site
from pipeline.manifests.workloads import Workload
from pipeline.rollout.plan import Kind, Step

TRIAL = "stackway.dev/trial"
# So long one can read what a job that proved something has said.
_KEPT_SECONDS = 7 * 86400
FOUNDATION, MONITORING = "foundation", "monitoring"


@dataclass(frozen=True)
class Target:
    """What an upgrade leads to: a release in its environment, rendered; and which upgrade of the environment it is."""

    site: Site
    rendered: Rendered
    number: int = 0

    @property
    def services(self) -> Mapping[str, Service]:
        """The services of the release."""
        return self.site.services

    def workload(self, step: Step) -> Workload:
        """Return the workload that a step is about."""
        return next(
            item for item in self.rendered.workloads if (item.service, item.process) == (step.service, step.process)
        )

    def stage(self, name: str) -> tuple[Object, ...]:
        """Return the objects of a stage, none when there is no such."""
        return tuple(marked(item) for stage in self.rendered.stages if stage.name == name for item in stage.objects)

    def placed(self, items: Iterable[Object]) -> list[Object]:
        """Return objects as a deployment applies them, which will so know them again."""
        known = {(item["kind"], item["metadata"]["name"]): item for item in self.rendered.objects}
        return [marked(known[item["kind"], item["metadata"]["name"]]) for item in items]

    def is_asked(self, step: Step) -> bool:
        """Tell whether requests go to a process."""
        return any(item.process == step.process for item in self.services[step.service].checks.requests)

    def tells(self, step: Step) -> bool:
        """Tell whether workers of a process are known to an API."""
        return any(item.process == step.process for item in self.services[step.service].checks.round_trips)

    def objects(self, step: Step) -> list[Object]:
        """Return the objects that a step applies."""
        match step.kind:
            case Kind.LAY:
                return list(self.stage(FOUNDATION))
            case Kind.WATCH:
                return list(self.stage(MONITORING))
            case Kind.CHECK:
                return [self._once(item) for item in self.stage(CHECKS)]
            case Kind.BACKUP:
                return [self._once(item) for item in self.stage(BACKUP)]
            case Kind.EXPAND:
                return list(self.stage(f"{step.service} database"))
            case Kind.START | Kind.REPLACE | Kind.GROW:
                found = self.workload(step)
                scaling = [] if found.addresses else found.scaling
                return [sized(item, step.replicas) for item in self.placed([*found.workload, *scaling])]
            case Kind.SHARE:
                return [on_trial(of_both(item), step) for item in self.placed(self.workload(step).addresses)]
            case Kind.SHIFT:
                found = self.workload(step)
                return [*self.placed(found.scaling), *(on_trial(item, step) for item in self.placed(found.addresses))]
            case _:
                return []

    def _once(self, item: Object) -> Object:
        """Return a job that is this upgrade's own: what an earlier one has proved was true then."""
        if item["kind"] != "Job":
            return item
        metadata = {**item["metadata"], "name": fit(f"{item['metadata']['name']}-{self.number}")}
        return {**item, "metadata": metadata, "spec": {**item["spec"], "ttlSecondsAfterFinished": _KEPT_SECONDS}}

    def keys(self, step: Step) -> list[tuple[str, str]]:
        """Return kind and name of the objects that a step makes, changes or removes."""
        found = [(str(item["kind"]), str(item["metadata"]["name"])) for item in self.objects(step)]
        kinds = {Kind.STOP: "Deployment", Kind.START: "HorizontalPodAutoscaler"}
        return [*found, *((kinds[step.kind], name) for name, _ in step.old if step.kind in kinds)]


def sized(item: Object, replicas: int) -> Object:
    """Return a workload with so many pods; any other object as it is."""
    if item["kind"] not in {"Deployment", "StatefulSet"} or (item["kind"] == "StatefulSet" and not replicas):
        return item
    return {**item, "spec": {**item["spec"], "replicas": replicas}}


def of_both(item: Object) -> Object:
    """Return a Service that leads to the pods of both revisions, to each of them as often."""
    selector = {key: value for key, value in item["spec"]["selector"].items() if key != REVISION}
    return {**item, "spec": {**item["spec"], "selector": selector}}


def on_trial(item: Object, step: Step) -> Object:
    """Return a Service that tells the prober which revisions to ask often."""
    revisions = ",".join([step.revision, *(name.rpartition("-")[2] for name, _ in step.old)])
    annotations = {**(item["metadata"].get("annotations") or {}), TRIAL: revisions}
    return {**item, "metadata": {**item["metadata"], "annotations": annotations}}
