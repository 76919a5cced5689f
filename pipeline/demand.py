# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Environments that come and go: the file of a new one, and the end of one in its cluster."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import yaml

from pipeline.api import Api
from pipeline.manifests.objects import ENVIRONMENT
from releases.environment import Environment
from releases.keyring import Place
from stackway import clock
from stackway.console import Reporter
from stackway.errors import FailedError, RefusedError, WrongInputError

_GONE_SECONDS = 120
_LOOK = 0.2
_MAKERS = ("HorizontalPodAutoscaler", "Deployment", "ReplicaSet", "StatefulSet", "Job")
# What only makes sense for the environment that it is written for.
_OWN = ("gates", "source", "store", "channel", "external")


def environment_text(like: Place, name: str) -> str:
    """Return the file of an environment made after another, with a namespace of its own and no gates.

    Raises WrongInputError when the other is not for development.
    """
    if not like.spec.development:
        raise WrongInputError(
            f"{like.spec.name} is no pattern for an environment on demand",
            details=f"environments/{like.spec.name}.yaml: development is not true",
            resolution="Name one for development with --like.",
        )
    content = like.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=set(_OWN))
    head = {"apiVersion": "stackway/v1", "kind": "Environment", "name": name}
    changed = {
        "summary": f"On demand, like {like.spec.name}",
        "cluster": {**content.get("cluster", {}), "namespace": name},
        "gates": {"candidates": True},
    }
    return str(yaml.safe_dump({**head, **content, **head, **changed}, sort_keys=False, allow_unicode=True))


def inventory(api: Api, environment: Environment) -> dict[str, Any]:
    """Return what is there of an environment. Raises RefusedError when the namespace is not the environment's."""
    name = environment.cluster.namespace
    there = api.get("Namespace", name)
    if there is None:
        return {"environment": environment.name, "namespace": name, "exists": False, "pods": 0}
    owner = there["metadata"].get("labels", {}).get(ENVIRONMENT)
    if owner != environment.name:
        raise RefusedError(
            f"the namespace {name} does not belong to {environment.name}",
            details=f"its label {ENVIRONMENT} is {owner!r}",
            resolution="Nothing was removed. Is it the right cluster? Remove it yourself if you mean it.",
        )
    return {"environment": environment.name, "namespace": name, "exists": True, "pods": len(api.list("Pod", name)[0])}


def remove(api: Api, environment: Environment, reporter: Reporter) -> None:
    """Remove an environment's namespace with all in it, and return when it is gone. Raises FailedError when it stays."""
    name = environment.cluster.namespace
    if not inventory(api, environment)["exists"]:
        return
    # First what makes pods, and without them: a pod that has begun to end slowly goes on so.
    with ThreadPoolExecutor(len(_MAKERS)) as pool:
        list(pool.map(lambda kind: api.delete_all(kind, name), _MAKERS))
    deadline = clock.monotonic() + _GONE_SECONDS
    # Nobody waits for answers of pods that go for good, so they need not finish anything: their node ends them at once. The
    # namespace comes last: the cluster looks at one with anything in it that takes its time only now and then.
    while pods := api.list("Pod", name)[0]:
        api.delete_all("Pod", name, grace=0)
        reporter.task(environment.name, f"{len(pods)} pods are going")
        _go_on(deadline, name, f"{len(pods)} pods are still there")
    api.delete_all("PersistentVolumeClaim", name)
    while claims := api.list("PersistentVolumeClaim", name)[0]:
        _go_on(deadline, name, f"{len(claims)} volumes are still there")
    api.delete("Namespace", name)
    while (there := api.get("Namespace", name)) is not None:
        reporter.task(environment.name, f"namespace {name} is going")
        conditions = there.get("status", {}).get("conditions", [])
        _go_on(
            deadline,
            name,
            "\n".join(str(item.get("message", "")) for item in conditions if item.get("status") == "True"),
        )


def _go_on(deadline: float, name: str, details: str) -> None:
    """Wait a little. Raises FailedError when it has been long enough."""
    if clock.monotonic() > deadline:
        raise FailedError(
            f"the namespace {name} does not go",
            details=details,
            resolution="Something in it has a finalizer whose owner does not answer; see `kubectl get namespace -o yaml`.",
        )
    clock.sleep(_LOOK)
