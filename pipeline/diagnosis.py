# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""From what is seen of an environment to how it does. Pure: equal sight, equal verdict.

Whatever is not seen counts against health: a process that should answer requests and that nobody has asked is unknown.
"""

from collections.abc import Iterator, Mapping

from pipeline import belongings
from pipeline.ailment import Ailment, is_ready, job_ailment, pod_ailment, restarts, workload_ailment
from pipeline.condition import (
    Condition,
    PodCondition,
    ProcessCondition,
    Remark,
    RevisionCondition,
    Scaling,
    ServiceCondition,
    Verdict,
)
from pipeline.manifests.objects import ENVIRONMENT, RELEASE, REVISION
from pipeline.measurements import Answers, quantity
from pipeline.rollout.advance import Outcome
from pipeline.rollout.standing import Standing
from pipeline.sight import Key, Object, Sight, Wanted, digest_of, is_ours, key_of, labels_of, revision_of
from pipeline.telling import duration

GOOD = 0.99
_RECENT_SECONDS = 86400.0
_DEPLOY = "`release deploy {}` makes it so."


def diagnose(sight: Sight) -> Condition:
    """Return how an environment does."""
    namespaces = sight.objects.get("Namespace")
    namespace = (namespaces or {}).get(sight.namespace)
    services = () if namespaces is not None and namespace is None else tuple(_services(sight))
    return Condition(
        sight.environment,
        sight.namespace,
        sight.at.isoformat(timespec="seconds"),
        sight.expected.version if sight.expected else "",
        labels_of(namespace).get(RELEASE, "") if namespace else "",
        services,
        tuple(_of_environment(sight, namespace)),
        tuple(belongings.leftovers(sight)),
        sight.measured.disruptions,
        sight.measured.seconds,
    )


def _of_environment(sight: Sight, namespace: Object | None) -> Iterator[Remark]:
    deploy = _DEPLOY.format(sight.environment)
    if sight.trouble:
        yield Remark(Verdict.UNKNOWN, f"what should run is not known: {sight.trouble}")
    if sight.silence:
        yield Remark(Verdict.UNKNOWN, f"the cluster tells nothing new: {sight.silence}", "This is how it was before.")
    if namespace is None and "Namespace" in sight.objects:
        yield Remark(Verdict.DOWN, f"there is no namespace {sight.namespace}: nothing runs", deploy)
        return
    if namespace is None:
        text = f"namespace {sight.namespace} cannot be read: what was deployed there is not known"
        yield Remark(Verdict.UNKNOWN, text, f"Check `kubectl get namespace {sight.namespace}`.")
    else:
        yield from _of_namespace(sight, namespace)
    if sight.measured.trouble:
        yield Remark(Verdict.UNKNOWN, f"no requests are measured: {sight.measured.trouble}", deploy)
    yield from belongings.claims(sight)
    if sight.rollout:
        yield from _of_rollout(sight.environment, sight.rollout, sight.at.timestamp())


def _of_rollout(environment: str, found: Standing, now: float) -> Iterator[Remark]:
    """Say where the last upgrade stands as long as it matters."""
    since, name = f"{duration(now - found.at)} ago", f"the upgrade to {found.target}"
    goes_on = f"`release resume {environment}` goes on; `release resume {environment} --back` takes it back."
    if found.waits:
        yield Remark(Verdict.HEALTHY, f"{name} is {found.waits}, {found.done} of {found.steps} steps done", goes_on)
    elif found.outcome is None:
        way = f"goes back: {found.why}" if found.is_back else f"is under way: {found.step}"
        text = f"{name} {way}; {found.done} of {found.steps} steps done, the last line was written {since}"
        yield Remark(Verdict.HEALTHY, text, f"If nobody runs it: {goes_on}")
    elif found.outcome is Outcome.UPGRADED:
        text = f"{name} is not final: the revision before it stays warm"
        yield Remark(Verdict.HEALTHY, text, f"`release finalize {environment}` makes it final.")
    elif found.outcome is Outcome.ROLLED_BACK and now - found.at < _RECENT_SECONDS:
        yield Remark(
            Verdict.HEALTHY, f"{name} went back {since}: {found.why}", f"`release report {environment}` says more."
        )


def _of_namespace(sight: Sight, namespace: Object) -> Iterator[Remark]:
    if namespace["metadata"].get("deletionTimestamp"):
        yield Remark(
            Verdict.DOWN, "the namespace is being removed, with all in it", "Wait until it is gone, then deploy."
        )
    owner, deployed = (labels_of(namespace).get(name, "") for name in (ENVIRONMENT, RELEASE))
    if owner != sight.environment:
        text = f"the namespace belongs to {owner or 'nobody'}, not to {sight.environment}"
        yield Remark(Verdict.DEGRADED, text, "Check `cluster` in the environment's file.")
    if sight.expected and deployed != sight.expected.version:
        text = f"release {deployed or 'nothing'} was deployed, and {sight.expected.version} is pinned"
        yield Remark(Verdict.DEGRADED, text, _DEPLOY.format(sight.environment))


def _services(sight: Sight) -> Iterator[ServiceCondition]:
    keys = processes(sight)
    jobs = dict(_jobs(sight))
    for name in sorted({service for service, _ in keys} | jobs.keys()):
        own = tuple(_process(sight, key, keys[key]) for key in sorted(keys) if key[0] == name)
        yield ServiceCondition(name, own, tuple(jobs.get(name, ())))


def processes(sight: Sight) -> Mapping[Key, Wanted]:
    """Return the processes to look at: those that should run; where nobody knows, those that do."""
    if sight.expected:
        return sight.expected.processes
    found = [item for kind in ("Deployment", "StatefulSet") for item in sight.all(kind) if is_ours(item)]
    ports = {key_of(item) for item in sight.all("Service") if is_ours(item)}
    return {
        key_of(item): Wanted(asked=key_of(item) in sight.measured.answers, port=key_of(item) in ports) for item in found
    }


def _jobs(sight: Sight) -> Iterator[tuple[str, list[Remark]]]:
    """Yield what is to say about the newest job of each purpose, by service."""
    newest: dict[Key, Object] = {}
    for job in sorted(sight.all("Job"), key=lambda item: str(item["metadata"].get("creationTimestamp", ""))):
        if is_ours(job):
            newest[key_of(job)] = job
    found: dict[str, list[Remark]] = {}
    for (service, what), job in newest.items():
        if ailment := job_ailment(job):
            verdict = Verdict.HEALTHY if ailment.starts else Verdict.DEGRADED
            found.setdefault(service, []).append(Remark(verdict, f"job {what}: {ailment.what}", ailment.mend))
    yield from found.items()


def _process(sight: Sight, key: Key, wanted: Wanted) -> ProcessCondition:
    revisions = tuple(_revisions(sight, key, wanted))
    scaling = _scaling(sight, key, revisions)
    answers = sight.measured.answers.get(key)
    remarks = (
        *_of_address(sight, key, wanted),
        *_of_pods(sight, wanted, revisions, scaling),
        *_of_images(sight, key[0], revisions),
        *_of_requests(sight, key, wanted, answers),
    )
    return ProcessCondition(*key, remarks, revisions, scaling, answers)


def _revisions(sight: Sight, key: Key, wanted: Wanted) -> Iterator[RevisionCondition]:
    """Yield the revisions of a process: those that serve first, then the newest first."""
    workloads = [*sight.of("Deployment", key), *sight.of("StatefulSet", key)]
    found = [_revision(sight, item, serves=_serves(sight, item, wanted)) for item in workloads]
    found.sort(key=lambda item: item.created, reverse=True)
    yield from sorted(found, key=lambda item: not item.serves)


def _serves(sight: Sight, workload: Object, wanted: Wanted) -> bool:
    """Tell whether work reaches a workload: by its Service's selector, or as it takes it from the broker itself."""
    if not wanted.port:
        return bool(workload["spec"].get("replicas", 1))
    selectors = [item["spec"].get("selector") or {} for item in sight.of("Service", key_of(workload))]
    own = revision_of(workload)
    return own in {str(selector.get(REVISION, own)) for selector in selectors}


def _revision(sight: Sight, workload: Object, *, serves: bool) -> RevisionCondition:
    revision, kind = revision_of(workload), workload["kind"]
    container = workload["spec"]["template"]["spec"]["containers"][0]
    digest = digest_of(container["image"])
    # The pods of a set have identities: one set has them in all revisions.
    own = [item for item in sight.of("Pod", key_of(workload)) if kind == "StatefulSet" or revision_of(item) == revision]
    return RevisionCondition(
        workload["metadata"]["name"],
        kind,
        revision,
        _release(sight, digest),
        digest,
        serves,
        int(workload["spec"].get("replicas", 1)),
        str(workload["metadata"].get("creationTimestamp", "")),
        tuple(_pod(sight, item) for item in own),
    )


def _release(sight: Sight, digest: str) -> str:
    """Return the release that an image is of: the pinned one if it has it."""
    if sight.expected is None:
        return ""
    return sight.expected.version if digest in sight.expected.images.values() else sight.expected.others.get(digest, "")


def _pod(sight: Sight, pod: Object) -> PodCondition:
    name, container = str(pod["metadata"]["name"]), pod["spec"]["containers"][0]
    asked = container.get("resources", {})
    return PodCondition(
        name,
        revision_of(pod),
        is_ready(pod),
        bool(pod["metadata"].get("deletionTimestamp")),
        str(pod["metadata"].get("creationTimestamp", "")),
        str(pod["spec"].get("nodeName", "")),
        digest_of(container["image"]),
        restarts(pod),
        pod_ailment(pod, sight.events(name)),
        sight.uses.get(name),
        quantity(asked.get("requests", {}).get("cpu", "0")),
        quantity(asked.get("limits", {}).get("memory", "0")),
    )


def _scaling(sight: Sight, key: Key, revisions: tuple[RevisionCondition, ...]) -> Scaling | None:
    serving = {item.workload for item in revisions if item.serves}
    for item in sight.of("HorizontalPodAutoscaler", key):
        spec, status = item["spec"], item.get("status") or {}
        if spec["scaleTargetRef"]["name"] in serving:
            now = int(status.get("currentReplicas", 0))
            return Scaling(
                now, int(status.get("desiredReplicas", now)), int(spec.get("minReplicas", 1)), spec["maxReplicas"]
            )
    return None


def _of_address(sight: Sight, key: Key, wanted: Wanted) -> Iterator[Remark]:
    if wanted.port and not sight.of("Service", key):
        yield Remark(Verdict.DOWN, "its Service is missing: nobody reaches it", _DEPLOY.format(sight.environment))


def _of_pods(
    sight: Sight, wanted: Wanted, revisions: tuple[RevisionCondition, ...], scaling: Scaling | None
) -> Iterator[Remark]:
    serving = [item for item in revisions if item.serves]
    deploy = _DEPLOY.format(sight.environment)
    if not revisions:
        yield Remark(Verdict.DOWN, "it has no workload", deploy)
    elif not serving:
        text = "its Service leads to no revision that is there" if wanted.port else "it is scaled to zero pods"
        yield Remark(Verdict.DOWN, text, deploy)
    else:
        ready, told = sum(item.ready for item in serving), sum(item.wanted for item in serving)
        # An autoscaler that wants more gets more soon: too few are only those below the least.
        least = wanted.least or (min(told, scaling.least) if scaling else told)
        if ready == 0:
            yield Remark(Verdict.DOWN, f"0 of {max(told, least)} pods are ready")
        elif ready < least:
            yield Remark(Verdict.DEGRADED, f"{ready} of {max(told, least)} pods are ready")
        yield from _of_scaling(scaling, ready)
        # An upgrade takes autoscalers away until users have the new revision.
        is_upgraded = sight.rollout is not None and sight.rollout.outcome is None
        if wanted.scaled and scaling is None and not is_upgraded:
            yield Remark(Verdict.DEGRADED, "its autoscaler is missing", deploy)
    for item in revisions:
        yield from _ailments(sight, item)


def _ailments(sight: Sight, revision: RevisionCondition) -> Iterator[Remark]:
    said: dict[Ailment, list[str]] = {}
    for pod in revision.pods:
        if pod.ailment:
            said.setdefault(pod.ailment, []).append(pod.name)
    for ailment, names in said.items():
        verdict = Verdict.HEALTHY if ailment.starts else Verdict.DEGRADED
        yield Remark(verdict, f"{', '.join(names)}: {ailment.what}", ailment.mend)
    workload = sight.objects[revision.kind][revision.workload]
    sets = [str(item["metadata"]["name"]) for item in sight.of("ReplicaSet", key_of(workload))]
    own = [name for name in sets if name.startswith(f"{revision.workload}-")]
    staying = sum(not pod.leaving for pod in revision.pods)
    refused = workload_ailment(workload, sight.events(revision.workload, *own)) if staying < revision.wanted else None
    if refused:
        yield Remark(Verdict.DEGRADED, f"{revision.workload}: {refused.what}", refused.mend)


def _of_scaling(scaling: Scaling | None, ready: int) -> Iterator[Remark]:
    if scaling is None:
        return
    if scaling.most > scaling.least and scaling.desired >= scaling.most:
        mend = "If load stays, give the process more `replicas.max` in the environment's file."
        yield Remark(Verdict.HEALTHY, f"the autoscaler is at its most, {scaling.most} pods", mend)
    elif scaling.least <= ready < scaling.desired:
        yield Remark(Verdict.HEALTHY, f"it grows: {ready} of {scaling.desired} pods are ready")


def _of_images(sight: Sight, service: str, revisions: tuple[RevisionCondition, ...]) -> Iterator[Remark]:
    """Yield what serves and is not what the pin says."""
    if sight.expected is None:
        return
    right = sight.expected.images.get(service, "")
    for item in revisions:
        wrong = {item.digest, *(pod.digest for pod in item.pods if not pod.leaving)} - {right}
        for digest in sorted(wrong) if item.serves else ():
            known = sight.expected.others.get(digest)
            of = f"of release {known}" if known else "of no release that was ever pinned here"
            text = f"{item.workload} runs an image {of} ({digest[:19] or 'without a digest'})"
            yield Remark(Verdict.DEGRADED, text, _DEPLOY.format(sight.environment))


def _of_requests(sight: Sight, key: Key, wanted: Wanted, answers: Answers | None) -> Iterator[Remark]:
    share = answers.availability if answers else None
    lately = f"the last {sight.measured.seconds:.0f} s"
    if answers and share is not None and share < GOOD:
        text = f"{share:.1%} of {answers.requests} requests of {lately} were answered"
        yield Remark(Verdict.DEGRADED if share else Verdict.DOWN, text, "See its pods here, and their logs.")
    elif wanted.asked and share is None:
        yield Remark(
            Verdict.UNKNOWN,
            f"no requests to it were measured in {lately}",
            "The prober sends them: see whether it runs.",
        )
    for item in sight.measured.open(key):
        since = f"{(sight.at - item.begin).total_seconds():.0f} s"
        cause = f" ({item.cause})" if item.cause else ""
        yield Remark(Verdict.DEGRADED, f"disrupted for {since}: {item.what}{cause}")
