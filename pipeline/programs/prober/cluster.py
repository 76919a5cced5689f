# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What the prober knows of its namespace: pods, workloads and Services, kept by watches of the Kubernetes API."""

import http.client
import json
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_WATCH_SECONDS = 240
_PAUSE = 1.0
_PATHS = {
    "Pod": "/api/v1/namespaces/{}/pods",
    "Service": "/api/v1/namespaces/{}/services",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
}
USES = "/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods"
Object = dict[str, Any]
THERE, GONE = "there", "gone"


class Cluster:
    """The objects of a namespace by kind and name; `changed` is told each change of one."""

    def __init__(self, namespace: str, changed: Callable[[str, Object, str], None]) -> None:
        self.namespace = namespace
        self.objects: dict[str, dict[str, Object]] = {kind: {} for kind in _PATHS}
        self.seen: dict[str, float] = dict.fromkeys(_PATHS, 0.0)
        self._changed = changed

    def start(self) -> None:
        for kind in _PATHS:
            threading.Thread(target=self._follow, args=(kind,), daemon=True).start()

    def all(self, kind: str) -> list[Object]:
        return list(self.objects[kind].values())

    def read(self, path: str) -> Any:
        """Return what a path says. Raises OSError, ValueError or http.client.HTTPException."""
        connection, answer = self._open(path.format(self.namespace))
        try:
            return json.loads(answer.read())
        finally:
            connection.close()

    def _follow(self, kind: str) -> None:
        """List and watch for ever; whatever goes wrong, begin again."""
        while True:
            try:
                self._watch(kind, self._list(kind))
            except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
                print(f"{kind}: {type(error).__name__}: {error}"[:200], flush=True)
                time.sleep(_PAUSE)

    def _list(self, kind: str) -> str:
        found = self.read(_PATHS[kind])
        there = {item["metadata"]["name"]: item for item in found["items"]}
        for name in [name for name in self.objects[kind] if name not in there]:
            self._changed(kind, self.objects[kind].pop(name), GONE)
        for name, item in there.items():
            self.objects[kind][name] = item
            self._changed(kind, item, THERE)
        self.seen[kind] = time.time()
        return str(found["metadata"]["resourceVersion"])

    def _watch(self, kind: str, version: str) -> None:
        query = f"?watch=true&resourceVersion={version}&timeoutSeconds={_WATCH_SECONDS}"
        connection, answer = self._open(_PATHS[kind].format(self.namespace) + query)
        try:
            for line in _lines(answer):
                event = json.loads(line)
                item = event["object"]
                if event["type"] == "ERROR":
                    return
                state = GONE if event["type"] == "DELETED" else THERE
                if state == GONE:
                    self.objects[kind].pop(item["metadata"]["name"], None)
                else:
                    self.objects[kind][item["metadata"]["name"]] = item
                self._changed(kind, item, state)
                self.seen[kind] = time.time()
        finally:
            connection.close()

    def _open(self, path: str) -> tuple[http.client.HTTPSConnection, http.client.HTTPResponse]:
        with open(f"{_ACCOUNT}/token", encoding="utf-8") as file:
            token = file.read()  # it is renewed in place
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"])
        context = ssl.create_default_context(cafile=f"{_ACCOUNT}/ca.crt")
        connection = http.client.HTTPSConnection(host, port, timeout=_WATCH_SECONDS + 30, context=context)
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            connection.close()
            raise OSError(f"{path.partition('?')[0]}: {answer.status} {answer.reason}")
        return connection, answer


def _lines(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while line := answer.readline():
        yield line


def is_ready(pod: Object) -> bool:
    """Tell whether a pod takes requests."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    ready = any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def is_running(pod: Object) -> bool:
    """Tell whether a pod can be asked at all."""
    status = pod.get("status") or {}
    return bool(status.get("podIP")) and status.get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]


def end_of(pod: Object) -> str:
    """Return how a container of a pod ended last, nothing when none did."""
    for item in (pod.get("status") or {}).get("containerStatuses") or []:
        for state in (item.get("state") or {}, item.get("lastState") or {}):
            if ended := state.get("terminated"):
                return f"{ended.get('reason', 'ended')}, exit code {ended.get('exitCode')}"
    return ""
