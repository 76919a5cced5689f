# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""An environment on loopback: one service with two pods, its identity service, and the API of a cluster over TLS.

The Service is at 127.0.0.1, its pods at 127.0.0.2 and 127.0.0.3. Each place has a mood: `ok`, a status code, `hang`, `reset`.
"""

import json
import queue
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pipeline.cluster.certificates import make_certificates
from pipeline.cluster.identities import Identity
from stackway import clock

SERVICE, PODS = "127.0.0.1", {"api-1": "127.0.0.2", "api-2": "127.0.0.3"}
LABELS = {"service": "s", "process": "p", "revision": "r"}
_LISTS = ("pods", "services", "deployments", "statefulsets", "horizontalpodautoscalers")
_HANG = 30.0
Object = dict[str, Any]


def pod(name: str, *, ready: bool = True, **metadata: Any) -> Object:
    """Return a pod of the service, of a revision of its own."""
    labels = {"s": "store", "p": "api", "r": f"rev-{name[-1]}"}
    condition = {"type": "Ready", "status": str(ready)}
    status = {"phase": "Running", "podIP": PODS.get(name, "127.0.0.9"), "conditions": [condition]}
    limits = {"limits": {"memory": "64Mi"}}
    spec = {"containers": [{"name": "api", "resources": limits}]}
    return {"metadata": {"name": name, "labels": labels, **metadata}, "spec": spec, "status": status}


def deployment(ready: int, wanted: int = 2) -> Object:
    labels = {"s": "store", "p": "api"}
    return {
        "metadata": {"name": "store-api", "labels": labels},
        "spec": {"replicas": wanted},
        "status": {"readyReplicas": ready},
    }


@dataclass
class FakeEnvironment:
    """What is there, who is in which mood, and what was asked for."""

    moods: dict[str, str] = field(default_factory=dict)
    token: str = "t0"
    logins: int = 0
    asked: int = 0
    states: dict[str, str] = field(default_factory=lambda: dict.fromkeys(PODS, "up"))
    objects: dict[str, dict[str, Object]] = field(default_factory=lambda: {kind: {} for kind in _LISTS})
    watchers: list[tuple[str, "queue.Queue[Object | None]"]] = field(default_factory=list)

    def mood(self, place: str) -> str:
        return self.moods.get(place, "ok")

    def put(self, kind: str, item: Object, event: str = "MODIFIED") -> None:
        """Change an object and tell who watches."""
        name = item["metadata"]["name"]
        if event == "DELETED":
            self.objects[kind].pop(name, None)
        else:
            self.objects[kind][name] = item
        for watched, events in list(self.watchers):
            if watched == kind:
                events.put({"type": event, "object": item})

    def login(self) -> tuple[str, Object]:
        self.logins += 1
        self.token = f"t{self.logins}"
        return self.token, {"token": {"project": {"id": "p1"}, "expires_at": "2999-01-01T00:00:00.000000Z"}}


class _Handler(BaseHTTPRequestHandler):
    """What both servers can do."""

    environment: FakeEnvironment
    protocol_version = "HTTP/1.1"

    def reply(self, code: int, content: Any, **headers: str) -> None:
        body = json.dumps(content).encode()
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def is_moody(self, place: str) -> bool:
        """Do what the mood of a place makes it do; tell whether it was a bad one."""
        match self.environment.mood(place):
            case "ok":
                return False
            case "hang":
                clock.sleep(_HANG)
            case "reset":
                pass
            case code:
                self.reply(int(code), {})
        self.close_connection = True
        return True

    def log_message(self, *_: Any) -> None:
        pass


class _Services(_Handler):
    """The identity service and the service itself."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.is_moody("identity"):
            return
        token, content = self.environment.login()
        self.reply(201, content, X_Subject_Token=token)

    def do_GET(self) -> None:
        place = str(self.connection.getsockname()[0])
        self.environment.asked += place == SERVICE
        if self.is_moody(place):
            return
        if self.headers["X-Auth-Token"] != self.environment.token:
            self.reply(401, {})
        elif self.path == "/p1/workers":
            rows = [{"host": name, "state": state} for name, state in self.environment.states.items()]
            self.reply(200, {"services": rows})
        else:
            self.reply(200, {})


class _Cluster(_Handler):
    """The API of a cluster: lists, watches, and what pods use."""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        kind = path.rpartition("/")[2]
        items = list(self.environment.objects[kind].values())
        if self.headers["Authorization"] != "Bearer secret":
            self.reply(401, {})
        elif "metrics.k8s.io" in path:
            used = [{"usage": {"cpu": "2500000n", "memory": "32Mi"}}]
            self.reply(200, {"items": [{"metadata": item["metadata"], "containers": used} for item in items]})
        elif "watch=true" in query:
            self.watch(kind)
        else:
            self.reply(200, {"metadata": {"resourceVersion": "1"}, "items": items})

    def watch(self, kind: str) -> None:
        events: queue.Queue[Object | None] = queue.Queue()
        self.environment.watchers.append((kind, events))
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        while event := events.get():
            self.wfile.write(json.dumps(event).encode() + b"\n")


class _Server(ThreadingHTTPServer):
    """A server to which it is of no interest who hung up."""

    def handle_error(self, *_: Any) -> None:
        pass


@contextmanager
def served(environment: FakeEnvironment, port: int = 0) -> Iterator[int]:
    """Yield the port of the services."""
    with _running(_Services, environment, ("0.0.0.0", port)) as server:  # noqa: S104 - each address of loopback
        yield server.server_address[1]


@contextmanager
def cluster(environment: FakeEnvironment, folder: Path, port: int = 0) -> Iterator[int]:
    """Yield the port of the cluster's API; at its end all watches end."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "api.crt", folder / "api.key")
    with _running(_Cluster, environment, (SERVICE, port), context) as server:
        yield server.server_address[1]
        for _, events in environment.watchers:
            events.put(None)
        environment.watchers.clear()


def account(folder: Path) -> Path:
    """Make the account of a pod in a folder, and the key of the cluster's API; return the folder."""
    identity = Identity("api", "api", hosts=(SERVICE,), is_client=False)
    make_certificates(folder, [identity], clock.now())
    (folder / "token").write_text("secret")
    (folder / "ca.crt").write_bytes((folder / f"{identity.authority}.crt").read_bytes())
    return folder


@contextmanager
def _running(
    handler: type[_Handler], environment: FakeEnvironment, place: tuple[str, int], context: ssl.SSLContext | None = None
) -> Iterator[ThreadingHTTPServer]:
    server = _Server(place, type("Handler", (handler,), {"environment": environment}))
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.socket.close()
