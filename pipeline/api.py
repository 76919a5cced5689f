# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The Kubernetes API: the one module that talks to it. Objects go in and come out as plain data; decides nothing.

Paths of the kinds that we use are written here, so nothing has to be discovered. Writes are server-side applies under our own
name, so what other people set on an object stays theirs.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from stackway.errors import FailedError, StackwayError, UnavailableError, WrongInputError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

MANAGER = "stackway"
Object = dict[str, Any]
_CORE, _APPS, _BATCH, _POLICY = "/api/v1", "/apis/apps/v1", "/apis/batch/v1", "/apis/policy/v1"
_RIGHTS = "/apis/rbac.authorization.k8s.io/v1"
_PATHS = {
    "StorageClass": ("/apis/storage.k8s.io/v1", "storageclasses", False),
    "Namespace": (_CORE, "namespaces", False),
    "Node": (_CORE, "nodes", False),
    "PersistentVolume": (_CORE, "persistentvolumes", False),
    "ConfigMap": (_CORE, "configmaps", True),
    "Secret": (_CORE, "secrets", True),
    "Service": (_CORE, "services", True),
    "Pod": (_CORE, "pods", True),
    "ServiceAccount": (_CORE, "serviceaccounts", True),
    "Role": (_RIGHTS, "roles", True),
    "RoleBinding": (_RIGHTS, "rolebindings", True),
    "ResourceQuota": (_CORE, "resourcequotas", True),
    "Event": (_CORE, "events", True),
    "PersistentVolumeClaim": (_CORE, "persistentvolumeclaims", True),
    "Deployment": (_APPS, "deployments", True),
    "ReplicaSet": (_APPS, "replicasets", True),
    "StatefulSet": (_APPS, "statefulsets", True),
    "Job": (_BATCH, "jobs", True),
    "PodDisruptionBudget": (_POLICY, "poddisruptionbudgets", True),
    "HorizontalPodAutoscaler": ("/apis/autoscaling/v2", "horizontalpodautoscalers", True),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies", True),
    "Lease": ("/apis/coordination.k8s.io/v1", "leases", True),
}
_APPLY = "application/apply-patch+yaml"
_NAMES_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_SECONDS = 30
_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class RefusedByClusterError(FailedError):
    """The cluster does not take an object: its validation, an admission rule, or our rights there."""


@dataclass(frozen=True)
class Api:
    """A cluster, by the context that reaches it."""

    context: str
    _client: "ApiClient" = field(repr=False)

    def apply(self, item: Object, *, dry_run: bool = False) -> Object:
        """Make an object as it is given. Raises RefusedByClusterError with the cluster's own words."""
        query = {"fieldManager": MANAGER, "force": "true", **({"dryRun": "All"} if dry_run else {})}
        metadata = item["metadata"]
        path = _path(item["kind"], metadata.get("namespace", ""), metadata["name"])
        return self._ask(_Question("PATCH", path, query, item, _APPLY))

    def create(self, item: Object) -> bool:
        """Make an object that nobody may have made before; return whether it was us. Raises RefusedByClusterError."""
        path = _path(item["kind"], item["metadata"].get("namespace", ""))
        try:
            self._ask(_Question("POST", path, {"fieldManager": MANAGER}, item, "application/json"))
        except _ConflictError:
            return False
        return True

    def get(self, kind: str, name: str, namespace: str = "") -> Object | None:
        """Return an object, None when it is not there."""
        try:
            return self._ask(_Question("GET", _path(kind, namespace, name)))
        except _NotFoundError:
            return None

    def list(self, kind: str, namespace: str = "", selector: str = "") -> tuple[list[Object], str]:
        """Return the objects of a kind, and the version from which to watch them."""
        query = {"labelSelector": selector} if selector else {}
        found = self._ask(_Question("GET", _path(kind, namespace), query))
        items = [{"kind": kind, **item} for item in found.get("items") or []]
        return items, str(found["metadata"].get("resourceVersion", ""))

    def names(self, kind: str, namespace: str, selector: str) -> frozenset[str]:
        """Return the names of the objects of a kind; what they hold does not leave the cluster."""
        question = _Question("GET", _path(kind, namespace), {"labelSelector": selector}, accept=_NAMES_ONLY)
        return frozenset(str(item["metadata"]["name"]) for item in self._ask(question).get("items") or [])

    def read(self, path: str) -> Object:
        """Return what a path of the API says. Raises FailedError or UnavailableError."""
        return self._ask(_Question("GET", path))

    def watch(self, kind: str, namespace: str, version: str, seconds: int) -> Iterator[tuple[str, Object]]:
        """Yield changes (`ADDED`, `MODIFIED`, `DELETED`) for at most `seconds`. Raises UnavailableError when it is cut off."""
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": str(seconds)}
        question = _Question("GET", _path(kind, namespace), query)
        answer = self._send(question, seconds + _SECONDS).response
        try:
            with self._reaching(question):
                for line in _lines(answer):
                    event = json.loads(line)
                    yield str(event["type"]), event["object"]
        finally:
            answer.release_conn()

    def try_list(self, kind: str, namespace: str = "") -> Sequence[Object] | None:
        """Return the objects of a kind, None when we may not see them."""
        try:
            return self.list(kind, namespace)[0]
        except (FailedError, _BusyError):
            return None

    def has(self, path: str) -> bool:
        """Tell whether the cluster has an API."""
        try:
            self._ask(_Question("GET", path))
        except (FailedError, _BusyError):
            return False
        return True

    def may(self, verb: str, kind: str, namespace: str) -> bool:
        """Tell whether we may do something with a kind of object in a namespace."""
        base, plural, is_namespaced = _PATHS[kind]
        group = base.split("/")[2] if base.startswith("/apis/") else ""
        about = {"verb": verb, "group": group, "resource": plural, "namespace": namespace if is_namespaced else ""}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": about},
        }
        found = self._ask(_Question("POST", _REVIEWS, {}, review, "application/json"))
        return bool(found.get("status", {}).get("allowed"))

    def version(self) -> tuple[tuple[int, int], str]:
        """Return the version of Kubernetes, and the date that the cluster's clock says (RFC 9110)."""
        question = _Question("GET", "/version")
        answer = self._send(question, _SECONDS)
        found = self._data(answer, question)
        minor = "".join(letter for letter in str(found["minor"]) if letter.isdigit())
        return (int(found["major"]), int(minor)), str(answer.getheaders().get("Date", ""))

    def delete(self, kind: str, name: str, namespace: str = "") -> None:
        """Remove an object and what belongs to it; one that is not there is no error."""
        try:
            self._ask(_Question("DELETE", _path(kind, namespace, name), {"propagationPolicy": "Background"}))
        except _NotFoundError:
            return

    def delete_all(self, kind: str, namespace: str, *, grace: int | None = None) -> None:
        """Remove all objects of a kind in a namespace; what they have made stays. Pods get `grace` seconds."""
        query = {"propagationPolicy": "Orphan"}
        query |= {"gracePeriodSeconds": str(grace)} if grace is not None else {}
        self._ask(_Question("DELETE", _path(kind, namespace), query))

    def logs(self, namespace: str, pod: str, lines: int = 20) -> str:
        """Return the last lines of a pod's log, empty when there is none."""
        question = _Question("GET", f"{_path('Pod', namespace, pod)}/log", {"tailLines": str(lines)})
        try:
            return self._text(self._send(question, _SECONDS), question).decode("utf-8", "replace")
        except (FailedError, _BusyError):
            return ""

    def open_stream(self, path: str, query: Sequence[tuple[str, str]]) -> Any:
        """Open a stream to a program in a pod, of bytes. Raises RefusedByClusterError and UnavailableError."""
        from kubernetes.stream import ws_client
        from websocket import WebSocketBadStatusException, WebSocketException

        opened: Any = ws_client  # the library says nothing of its types there
        given = self._client.param_serialize("GET", path, query_params=list(query), auth_settings=["BearerToken"])
        url, headers = opened.get_websocket_url(given[1]), given[2]
        try:
            return opened.WSClient(self._client.configuration, url, headers, capture_all=False, binary=True)
        except WebSocketBadStatusException as error:
            raise RefusedByClusterError(
                "the cluster refuses to run a program in a pod",
                details=f"{path}\n{error.status_code} {str(error)[:300]}",
                resolution="It takes the right to create `pods/exec` there, and a pod that runs.",
            ) from error
        except (WebSocketException, OSError) as error:
            raise UnavailableError("the cluster does not answer", details=f"context {self.context}: {error}") from error

    def _ask(self, question: "_Question") -> Object:
        return self._data(self._send(question, _SECONDS), question)

    def _data(self, answer: Any, question: "_Question") -> Object:
        text = self._text(answer, question)
        try:
            found: Object = json.loads(text)
        except ValueError as error:
            raise UnavailableError(
                "what answers is not the cluster",
                details=f"context {self.context}: {question}\n{text[:300].decode('utf-8', 'replace')}",
                resolution="See what is between here and the cluster: a proxy, or something else at its address.",
            ) from error
        return found

    def _text(self, answer: Any, question: "_Question") -> bytes:
        """Return the body of an answer. Raises UnavailableError when it breaks off."""
        with self._reaching(question):
            return bytes(answer.read())

    @contextmanager
    def _reaching(self, question: "_Question") -> Iterator[None]:
        """Say of what goes wrong on the way what it is. Raises UnavailableError."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            yield
        except (HTTPError, ApiException) as error:
            raise UnavailableError(
                "the cluster does not answer",
                details=f"context {self.context}: {question}\n{str(error)[:300]}",
                resolution="`release cluster status` shows the local one; for another, check kubeconfig and network.",
            ) from error

    def _send(self, question: "_Question", seconds: float) -> Any:
        """Return the answer, its body unread. Raises _NotFoundError, RefusedByClusterError and UnavailableError."""
        headers = {"Accept": question.accept, **({"Content-Type": question.kind} if question.kind else {})}
        given = self._client.param_serialize(
            question.method,
            question.path,
            query_params=list(question.query.items()),
            header_params=headers,
            body=question.body,
            auth_settings=["BearerToken"],
        )
        with self._reaching(question):
            answer = self._client.call_api(*given, _request_timeout=seconds)
            if answer.status >= HTTPStatus.BAD_REQUEST:
                raise _complaint(answer, str(question))
        return answer


@dataclass(frozen=True)
class _Question:
    """One request."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Object | None = None
    kind: str = ""
    accept: str = "application/json"

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class _NotFoundError(FailedError):
    pass


class _ConflictError(FailedError):
    pass


class _BusyError(UnavailableError):
    """It answers, and says that it cannot: something behind it is away or starts."""


def open_api(kubeconfig: str | None, context: str | None) -> Api:
    """Return the cluster of a kubeconfig's context. Raises WrongInputError when there is no such."""
    from kubernetes import config
    from kubernetes.config.config_exception import ConfigException
    from yaml import YAMLError

    try:
        client = config.new_client_from_config(kubeconfig, context)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError, YAMLError, TypeError) as error:
        raise WrongInputError(
            "there is no way to a cluster",
            details=f"kubeconfig {kubeconfig or 'of the user'}, context {context or 'the current one'}: {error}",
            resolution="`release cluster up` starts one here; or name a context under `cluster` in the environment's file.",
        ) from error
    return Api(context or "local", client)


def _path(kind: str, namespace: str, name: str = "") -> str:
    base, plural, is_namespaced = _PATHS[kind]
    place = f"{base}/namespaces/{namespace}/{plural}" if is_namespaced and namespace else f"{base}/{plural}"
    return f"{place}/{name}" if name else place


def _lines(answer: Any) -> Iterator[bytes]:
    rest = b""
    for chunk in answer.stream(1 << 16, decode_content=True):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line for line in whole if line.strip())


def _complaint(answer: Any, question: str) -> StackwayError:
    try:
        said = json.loads(answer.read() or b"{}").get("message", "")
    except (ValueError, AttributeError):
        said = ""
    details = f"{question}\n{answer.status} {answer.reason}: {said}"[:1000]
    if answer.status == HTTPStatus.NOT_FOUND:
        return _NotFoundError("it is not there", details=details)
    if answer.status == HTTPStatus.CONFLICT:
        return _ConflictError("somebody else was first", details=details, resolution="Look again, then decide anew.")
    if answer.status in _PASSING or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _BusyError(
            "the cluster cannot answer now",
            details=details,
            resolution="Try again; `kubectl get --raw /readyz?verbose` says what it misses.",
        )
    return RefusedByClusterError(
        "the cluster refuses", details=details, resolution="Mend what it names; nothing of this object was changed."
    )
