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

from .facts import Object, name_of

_WATCH_SECONDS = 240
# A watch says about once a minute that it lives; one that is silent for longer is dead.
_SILENCE = 100.0
_PAUSE, _PAUSE_MOST = 1.0, 8.0
_PATHS = {
    "Pod": "/api/v1/namespaces/{}/pods",
    "Service": "/api/v1/namespaces/{}/services",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
    "HorizontalPodAutoscaler": "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers",
}
USES = "/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods"
THERE, GONE = "there", "gone"


class Cluster:
    """The objects of a namespace by kind and name; `changed` is told each change of one."""

    def __init__(self, namespace: str, account: str, changed: Callable[[str, Object, str], None]) -> None:
        self.namespace = namespace
        self.objects: dict[str, dict[str, Object]] = {kind: {} for kind in _PATHS}
        self.seen: dict[str, float] = dict.fromkeys(_PATHS, 0.0)
        self.version = 0
        self._account = account
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
        pause = _PAUSE
        while True:
            begin = time.monotonic()
            try:
                self._watch(kind, self._list(kind))
            except Exception as error:  # noqa: BLE001 - eyes that stay shut would be worse than any cause
                print(f"{kind}: {type(error).__name__}: {error}"[:200], flush=True)
            pause = _PAUSE if time.monotonic() - begin > _PAUSE_MOST else min(2 * pause, _PAUSE_MOST)
            time.sleep(pause)

    def _list(self, kind: str) -> str:
        found = self.read(_PATHS[kind])
        there = {name_of(item): item for item in found["items"]}
        for name in [name for name in self.objects[kind] if name not in there]:
            self._note(kind, self.objects[kind][name], GONE)
        for item in there.values():
            self._note(kind, item, THERE)
        self.seen[kind] = time.time()
        return str(found["metadata"]["resourceVersion"])

    def _watch(self, kind: str, version: str) -> None:
        query = f"?watch=true&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds={_WATCH_SECONDS}"
        connection, answer = self._open(_PATHS[kind].format(self.namespace) + query)
        try:
            for line in _lines(answer):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                if event["type"] != "BOOKMARK":
                    self._note(kind, event["object"], GONE if event["type"] == "DELETED" else THERE)
                self.seen[kind] = time.time()
        finally:
            connection.close()

    def _note(self, kind: str, item: Object, state: str) -> None:
        if state == GONE:
            self.objects[kind].pop(name_of(item), None)
        else:
            self.objects[kind][name_of(item)] = item
        self.version += 1
        self._changed(kind, item, state)

    def _open(self, path: str) -> tuple[http.client.HTTPSConnection, http.client.HTTPResponse]:
        with open(f"{self._account}/token", encoding="utf-8") as file:
            token = file.read()  # it is renewed in place
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"])
        context = ssl.create_default_context(cafile=f"{self._account}/ca.crt")
        connection = http.client.HTTPSConnection(host, port, timeout=_SILENCE, context=context)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException):
            connection.close()
            raise
        if answer.status != http.HTTPStatus.OK:
            connection.close()
            raise OSError(f"{path.partition('?')[0]}: {answer.status} {answer.reason}")
        return connection, answer


def _lines(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while line := answer.readline():
        yield line
