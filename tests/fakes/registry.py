# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A registry in memory: the distribution API with tokens, mounts and bad days, in-process or served on loopback."""

import base64
import hashlib
import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
import urllib3
from requests.adapters import BaseAdapter

from buildkit.credentials import Credentials
from buildkit.registry import Registry, Repository
from buildkit.transport import Transport, open_session

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
USER, PASSWORD, TOKEN = "robot", "canary-password", "canary-token"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class Ask:
    """A request as it came in."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.url).query))


@dataclass
class Reply:
    """An answer. `cut` bytes of the body are announced and never sent; `reset` breaks the connection instead."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0
    reset: bool = False


Fault = Callable[[Ask, Reply], Reply]


@dataclass
class Trap:
    """Changes the next `times` replies to requests that match."""

    method: str
    path: str
    fault: Fault
    times: int


@dataclass
class FakeRegistry:
    """The registry's content and habits. `auth` is empty, `basic` or `bearer`; `storage` is another host for blobs.

    It lists `referrers`, gives `ranges` of blobs and takes uploads in `parts`, or does not. `given` counts bytes of blobs.
    """

    auth: str = ""
    realm: str = "https://tokens.test/token"
    storage: str = ""
    absolute: bool = False
    mounts: bool = True
    referrers: bool = False
    ranges: bool = True
    parts: bool = True
    blobs: dict[str, dict[str, bytes]] = field(default_factory=dict)
    manifests: dict[str, dict[str, tuple[str, bytes]]] = field(default_factory=dict)
    asked: list[Ask] = field(default_factory=list)
    traps: list[Trap] = field(default_factory=list)
    page: int = 100
    uploads: dict[str, bytes] = field(default_factory=dict)
    given: int = 0

    def trap(self, method: str, path: str, fault: Fault, times: int = 1) -> None:
        self.traps.append(Trap(method, path, fault, times))

    def asked_for(self, method: str, path: str = "") -> list[Ask]:
        return [ask for ask in self.asked if ask.method == method and re.search(path, ask.path)]

    def answer(self, ask: Ask) -> Reply:
        self.asked.append(ask)
        reply = self._trapped(ask, self._answer(ask))
        if ask.method == "GET" and reply.status < 300 and re.search(r"(/blobs/|^/)sha256:", ask.path):
            self.given += len(reply.body) - reply.cut
        return reply

    def _trapped(self, ask: Ask, reply: Reply) -> Reply:
        for trap in self.traps:
            if trap.times and trap.method == ask.method and re.search(trap.path, ask.path):
                trap.times -= 1
                return trap.fault(ask, reply)
        return reply

    def _answer(self, ask: Ask) -> Reply:
        if self.realm and urlsplit(self.realm).path == ask.path and self.auth == "bearer":
            return self._token(ask)
        if denied := self._denied(ask):
            return denied
        if ask.path == "/v2/":
            return Reply(200, b"{}")
        if found := re.fullmatch(r"/v2/(.+)/blobs/uploads/(\w*)", ask.path):
            return self._upload(ask, found[1], found[2])
        if found := re.fullmatch(r"/v2/(.+)/blobs/(sha256:\w+)", ask.path):
            return self._blob(ask, found[1], found[2])
        if found := re.fullmatch(r"/v2/(.+)/manifests/([^/]+)", ask.path):
            return self._manifest(ask, found[1], found[2])
        if found := re.fullmatch(r"/v2/(.+)/tags/list", ask.path):
            return self._tags(ask, found[1])
        if self.referrers and (found := re.fullmatch(r"/v2/(.+)/referrers/(sha256:\w+)", ask.path)):
            return self._referrers(ask, found[1], found[2])
        if self.storage and (content := self._anywhere(ask.path.removeprefix("/"))):
            return self._range(ask, Reply(200, content))
        return error(404, "NAME_UNKNOWN")

    def _denied(self, ask: Ask) -> Reply | None:
        told = ask.headers.get("Authorization", "")
        if not self.auth or (self.storage and ask.host == urlsplit(self.storage).netloc):
            return None
        if self.auth == "basic":
            wanted = basic()
            challenge = 'Basic realm="registry"'
        else:
            wanted = f"Bearer {TOKEN}"
            scope = f"repository:{ask.path.split('/')[2] or 'x'}:pull,push"
            challenge = f'Bearer realm="{self.realm}",service="fake",scope="{scope}"'
        return None if told == wanted else error(401, "UNAUTHORIZED", {"WWW-Authenticate": challenge})

    def _token(self, ask: Ask) -> Reply:
        form = dict(parse_qsl(ask.body.decode()))
        if ask.headers.get("Authorization") == basic() or form.get("refresh_token") == PASSWORD:
            return Reply(200, json.dumps({"token": TOKEN}).encode())
        return error(401, "UNAUTHORIZED")

    def _anywhere(self, digest: str) -> bytes:
        return next((content[digest] for content in self.blobs.values() if digest in content), b"")

    def _upload(self, ask: Ask, repository: str, name: str) -> Reply:
        blobs = self.blobs.setdefault(repository, {})
        if ask.method == "POST":
            mounted = ask.query.get("mount", "")
            if self.mounts and mounted in self.blobs.get(ask.query.get("from", ""), {}):
                blobs[mounted] = self.blobs[ask.query["from"]][mounted]
                return Reply(201, headers={"Docker-Content-Digest": mounted})
            name = str(len(self.asked_for("POST", "/uploads/$")))
            self.uploads[name] = b""
            return self._progress(ask, repository, name, 202)
        if name not in self.uploads:
            return error(404, "BLOB_UPLOAD_UNKNOWN")
        if ask.method == "GET":
            return self._progress(ask, repository, name, 204)
        if ask.method == "PATCH":
            return self._patch(ask, repository, name)
        digest, content = ask.query["digest"], self.uploads[name] + ask.body
        if digest != digest_of(content):
            return error(400, "DIGEST_INVALID")
        blobs[digest] = content
        return Reply(201, headers={"Docker-Content-Digest": digest})

    def _patch(self, ask: Ask, repository: str, name: str) -> Reply:
        if not self.parts:
            return error(405, "UNSUPPORTED")
        start = int(ask.headers["Content-Range"].partition("-")[0])
        if start != len(self.uploads[name]):
            return error(416, "RANGE_INVALID")
        self.uploads[name] += ask.body
        return self._progress(ask, repository, name, 202)

    def _progress(self, ask: Ask, repository: str, name: str, status: int) -> Reply:
        base = f"{urlsplit(ask.url).scheme}://{ask.host}" if self.absolute else ""
        place = f"{base}/v2/{repository}/blobs/uploads/{name}?_state=abc"
        return Reply(status, headers={"Location": place, "Range": f"0-{max(0, len(self.uploads[name]) - 1)}"})

    def _range(self, ask: Ask, reply: Reply) -> Reply:
        found = re.fullmatch(r"bytes=([0-9]+)-", ask.headers.get("Range", ""))
        if not found or not self.ranges:
            return reply
        start, size = int(found[1]), len(reply.body)
        if start >= size:
            return error(416, "RANGE_INVALID")
        said = {"Content-Range": f"bytes {start}-{size - 1}/{size}"}
        return Reply(206, reply.body[start:], reply.headers | said)

    def _blob(self, ask: Ask, repository: str, digest: str) -> Reply:
        content = self.blobs.get(repository, {}).get(digest)
        if content is None:
            return error(404, "BLOB_UNKNOWN")
        if self.storage and ask.method == "GET":
            return Reply(307, headers={"Location": f"{self.storage}/{digest}?signature=canary"})
        return self._range(ask, Reply(200, content, {"Docker-Content-Digest": digest}))

    def _manifest(self, ask: Ask, repository: str, reference: str) -> Reply:
        manifests = self.manifests.setdefault(repository, {})
        if ask.method == "PUT":
            return self._put_manifest(ask, repository, reference)
        if reference not in manifests:
            return error(404, "MANIFEST_UNKNOWN")
        kind, content = manifests[reference]
        return Reply(200, content, {"Content-Type": kind, "Docker-Content-Digest": digest_of(content)})

    def _put_manifest(self, ask: Ask, repository: str, reference: str) -> Reply:
        digest, data = digest_of(ask.body), json.loads(ask.body)
        if reference.startswith("sha256:") and reference != digest:
            return error(400, "DIGEST_INVALID")
        needed = {entry["digest"] for entry in [data["config"], *data["layers"]]} if "config" in data else set()
        if needed - self.blobs.get(repository, {}).keys():
            return error(400, "MANIFEST_BLOB_UNKNOWN")
        for name in (reference, digest):
            self.manifests[repository][name] = (ask.headers["Content-Type"], ask.body)
        seen = {"OCI-Subject": data["subject"]["digest"]} if self.referrers and "subject" in data else {}
        return Reply(201, headers={"Docker-Content-Digest": digest} | seen)

    def _referrers(self, ask: Ask, repository: str, subject: str) -> Reply:
        held = self.manifests.get(repository, {})
        named = {name: held[name] for name in sorted(held) if name.startswith("sha256:")}
        rows = [
            {"mediaType": kind, "digest": name, "size": len(content)}
            for name, (kind, content) in named.items()
            if json.loads(content).get("subject", {}).get("digest") == subject and name > ask.query.get("last", "")
        ]
        page, more = rows[: self.page], len(rows) > self.page
        last = page[-1]["digest"] if page else ""
        link = {"Link": f'</v2/{repository}/referrers/{subject}?last={last}>; rel="next"'} if more else {}
        body = {"schemaVersion": 2, "mediaType": INDEX, "manifests": page}
        return Reply(200, json.dumps(body).encode(), {"Content-Type": INDEX} | link)

    def _tags(self, ask: Ask, repository: str) -> Reply:
        if repository not in self.manifests:
            return error(404, "NAME_UNKNOWN")
        tags = sorted(tag for tag in self.manifests[repository] if ":" not in tag)
        rest = [tag for tag in tags if tag > ask.query.get("last", "")]
        page, more = rest[: self.page], len(rest) > self.page
        link = {"Link": f'</v2/{repository}/tags/list?last={page[-1]}>; rel="next"'} if more else {}
        return Reply(200, json.dumps({"name": repository, "tags": page}).encode(), link)


def error(status: int, code: str, headers: dict[str, str] | None = None) -> Reply:
    body = json.dumps({"errors": [{"code": code, "message": "\x1b[31mno"}]}).encode()
    return Reply(status, body, headers or {})


def basic() -> str:
    return "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class RegistryAdapter(BaseAdapter):
    """Lets a requests session talk to the fake without any socket."""

    def __init__(self, fake: FakeRegistry) -> None:
        super().__init__()
        self.fake = fake

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        body: Any = request.body
        content = body or b"" if isinstance(body, str | bytes | None) else b"".join(body)
        content = content.encode() if isinstance(content, str) else content
        announced = request.headers.get("Content-Length", "0")
        assert int(announced) == len(content), "a request must announce its body's size"
        assert "Transfer-Encoding" not in request.headers, "not every registry takes a body of unknown size"
        ask = Ask(str(request.method), str(request.url), dict(request.headers), content)
        return self._response(request, self.fake.answer(ask))

    def close(self) -> None:
        """Nothing is open."""

    def _response(self, request: requests.PreparedRequest, reply: Reply) -> requests.Response:
        if reply.reset:
            raise requests.ConnectionError("connection reset by peer")
        length = {"Content-Length": str(len(reply.body))} | reply.headers
        response = requests.Response()
        response.status_code, response.url, response.request = reply.status, str(request.url), request
        response.headers.update(length)
        response.raw = urllib3.HTTPResponse(
            io.BytesIO(b"" if request.method == "HEAD" else reply.body[: len(reply.body) - reply.cut]),
            headers=length,
            status=reply.status,
            preload_content=False,
            request_method=request.method,
        )
        return response


class Bench:
    """A client whose other end is the fake, and the pauses that it made."""

    def __init__(self, fake: FakeRegistry, credentials: Credentials | None, base: str) -> None:
        session = open_session(loopback=True)
        session.mount("http://", RegistryAdapter(fake))
        session.mount("https://", RegistryAdapter(fake))
        self.fake = fake
        self.pauses: list[float] = []
        self.registry = Registry("registry.test", Transport(base, session, credentials, self.pauses.append))

    @property
    def team(self) -> Repository:
        return self.registry.repository("team/app")


def bench(
    fake: FakeRegistry | None = None, credentials: Credentials | None = None, base: str = "https://registry.test"
) -> Bench:
    return Bench(fake or FakeRegistry(), credentials, base)


@contextmanager
def served(fake: FakeRegistry) -> Iterator[str]:
    """Serve the fake on loopback; yields `127.0.0.1:port`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            url = f"http://{self.headers['Host']}{self.path}"
            reply = fake.answer(Ask(self.command, url, dict(self.headers), body))
            if reply.reset:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in ({"Content-Length": str(len(reply.body))} | reply.headers).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body[: len(reply.body) - reply.cut])
            self.close_connection = self.close_connection or bool(reply.cut)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """Say nothing: a client that is gone is what some tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
