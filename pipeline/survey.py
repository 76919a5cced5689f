# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Looks at a cluster before something is deployed: rights, room, storage, clocks, and what it says of each object."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from email.utils import parsedate_to_datetime

from pipeline.api import Api, Object, RefusedByClusterError
from pipeline.deploy import KINDS, Prepared
from pipeline.deployment import Verb
from pipeline.manifests.objects import ENVIRONMENT, MANAGED_BY, RELEASE
from pipeline.measurements import quantity
from pipeline.preflight import Amount, Facts, Quota
from stackway import clock

_PARALLEL = 8
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_PRESSURES = ("DiskPressure", "MemoryPressure", "PIDPressure", "NetworkUnavailable")


def survey(api: Api, prepared: Prepared) -> Facts:
    """Return what decides whether the plan can be carried out. Changes nothing. Raises UnavailableError without a cluster."""
    site = prepared.site
    namespace = api.get("Namespace", site.namespace)
    labels = (namespace or {}).get("metadata", {}).get("labels", {})
    actions = [item for step in prepared.plan.steps for item in step.actions]
    made = [item.object for item in actions if item.verb is Verb.MAKE]
    version, date = api.version()
    with ThreadPoolExecutor(_PARALLEL) as pool:
        forbidden = pool.submit(_forbidden, api, site.namespace)
        nodes = pool.submit(api.try_list, "Node")
        pods = pool.submit(api.try_list, "Pod")
        classes = pool.submit(api.try_list, "StorageClass")
        quotas = pool.submit(api.try_list, "ResourceQuota", site.namespace)
        metrics = pool.submit(api.has, "/apis/metrics.k8s.io/v1beta1")
        changed = [item.object for item in actions if item.verb is not Verb.KEEP and item.kind != "Namespace"]
        refusals = pool.submit(_refusals, api, changed if namespace else [])
    there, running = nodes.result(), pods.result()
    return Facts(
        context=api.context,
        namespace=site.namespace,
        environment=site.environment.name,
        version=version,
        skew=_skew(date, clock.now()),
        owner=labels.get(ENVIRONMENT),
        manager=labels.get(MANAGED_BY),
        exists=namespace is not None,
        forbidden=forbidden.result(),
        wants_claims=any(item["kind"] == "PersistentVolumeClaim" for item in made),
        has_storage=_has_default(classes.result()),
        has_metrics=metrics.result(),
        nodes=None if there is None else {node["metadata"]["name"]: _trouble(node) for node in there},
        needed=needed(made),
        free=None if there is None or running is None else _free(there, running),
        quotas=tuple(_quota(item) for item in quotas.result() or ()),
        refusals=refusals.result(),
        runs=labels.get(RELEASE, ""),
        release=str(site.content.version),
    )


def needed(items: Iterable[Object]) -> Amount:
    """Return what the pods of these objects ask for."""
    total = Amount()
    for item in items:
        if item["kind"] in {"Deployment", "StatefulSet"}:
            total = _plus(total, _asked(item["spec"]["template"]["spec"]), item["spec"].get("replicas", 1))
    return total


def _asked(pod: Object) -> Amount:
    requests = [container.get("resources", {}).get("requests", {}) for container in pod.get("containers", [])]
    cpu = sum(_thousandths(str(request.get("cpu", "0"))) for request in requests)
    memory = sum(_thousandths(str(request.get("memory", "0"))) // 1000 for request in requests)
    return Amount(cpu, memory, 1)


def _thousandths(text: str) -> int:
    """Return a quantity in thousandths of its unit; what others have deployed may have any notation of Kubernetes."""
    return round(quantity(text) * 1000)


def _plus(one: Amount, other: Amount, times: int = 1) -> Amount:
    return Amount(one.cpu + other.cpu * times, one.memory + other.memory * times, one.pods + other.pods * times)


def _free(nodes: Iterable[Object], pods: Iterable[Object]) -> Amount:
    """Return what is left on the nodes that take pods; a pod that has no node yet will get one of them."""
    total = Amount()
    taking = {node["metadata"]["name"]: node["status"]["allocatable"] for node in nodes if not _trouble(node)}
    for has in taking.values():
        total = _plus(total, Amount(_thousandths(has["cpu"]), _thousandths(has["memory"]) // 1000, int(has["pods"])))
    for pod in pods:
        is_there = pod["spec"].get("nodeName", "") in {"", *taking}
        if is_there and pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"}:
            total = _plus(total, _asked(pod["spec"]), -1)
    return total


def _trouble(node: Object) -> str:
    """Return why a node takes no pods, nothing when it does."""
    if node["spec"].get("unschedulable"):
        return "it is cordoned"
    conditions = {item["type"]: item for item in node.get("status", {}).get("conditions", [])}
    if conditions.get("Ready", {}).get("status") != "True":
        return str(conditions.get("Ready", {}).get("message", "it does not report"))
    return next((kind for kind in _PRESSURES if conditions.get(kind, {}).get("status") == "True"), "")


def _has_default(classes: Iterable[Object] | None) -> bool | None:
    if classes is None:
        return None
    return any(item["metadata"].get("annotations", {}).get(_DEFAULT_CLASS) == "true" for item in classes)


def _quota(item: Object) -> Quota:
    status: Mapping[str, Mapping[str, str]] = item.get("status", {})
    hard, used = status.get("hard", {}), status.get("used", {})
    left = {name: _thousandths(value) - _thousandths(used.get(name, "0")) for name, value in hard.items()}
    return Quota(item["metadata"]["name"], left)


def _forbidden(api: Api, namespace: str) -> tuple[str, ...]:
    questions = [(verb, kind) for kind in KINDS for verb in ("patch", "delete")] + [("watch", "Pod")]
    with ThreadPoolExecutor(_PARALLEL) as pool:
        answers = list(pool.map(lambda item: api.may(item[0], item[1], namespace), questions))
    return tuple(f"{verb} {kind}" for (verb, kind), may in zip(questions, answers, strict=True) if not may)


def _refusals(api: Api, items: list[Object]) -> tuple[str, ...]:
    """Return what the cluster would refuse, in its own words."""

    def asked(item: Object) -> str:
        try:
            api.apply(item, dry_run=True)
        except RefusedByClusterError as error:
            return f"{item['kind']} {item['metadata']['name']}: {error.details.splitlines()[-1][:300]}"
        return ""

    with ThreadPoolExecutor(_PARALLEL) as pool:
        return tuple(text for text in pool.map(asked, items) if text)


def _skew(date: str, now: datetime) -> float:
    """Return by how many seconds our clock is ahead; a header tells whole seconds only."""
    try:
        return (now - parsedate_to_datetime(date)).total_seconds()
    except (ValueError, TypeError):
        return 0.0
