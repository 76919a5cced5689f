# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Places for releases as they really are: registries over bad lines, and folders whose writers are killed."""

import hashlib
import os
import secrets
import socket
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from buildkit.complaints import UnreachableRegistryError
from buildkit.registry import open_registry
from buildkit.store import Blob
from buildkit.uploads import PART
from releases.layout import LayoutStore
from releases.places import open_store
from releases.remote import RegistryStore
from releases.repository import ReleaseStore, opener
from stackway import clock, process
from stackway.process import Command
from tests.fakes.registry import FakeRegistry, served
from tests.fakes.repositories import RepositoryContract, as_blob, filled, manifest_of
from tests.integration.runtime import running_referrers_registry, running_registry, wait_for

ROOT = Path(__file__).parents[2]
MIB = 1 << 20


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Not REGISTRY_AUTH_FILE: the registry itself takes variables with such names as its configuration.
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


REAL = [pytest.param(name, marks=pytest.mark.engine) for name in ("real", "real with referrers")]


@pytest.fixture(scope="module", params=["fake", "fake with referrers", *REAL])
def registry(request: pytest.FixtureRequest) -> Iterator[str]:
    running = {
        "fake": lambda: served(FakeRegistry()),
        "fake with referrers": lambda: served(FakeRegistry(referrers=True)),
        "real": running_registry,
        "real with referrers": running_referrers_registry,
    }
    with running[request.param]() as host:
        yield host


class TestRegistries(RepositoryContract):
    @pytest.fixture
    def place(self, registry: str) -> ReleaseStore:
        return open_store(f"oci://{registry}/{uuid.uuid4().hex}")


def test_referrers_of_writers_at_once_are_all_there(registry: str) -> None:
    store, made = open_store(f"oci://{registry}/{uuid.uuid4().hex}"), manifest_of()
    filled(store.repository("keystone"), {"1": made})
    signatures = [manifest_of(made, number=str(number)) for number in range(3)]
    writers = [threading.Thread(target=store.repository("keystone").put_manifest, args=(item,)) for item in signatures]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    missing = {item.digest for item in signatures} - {
        blob.digest for blob in store.repository("keystone").referrers(made.digest)
    }
    # A writer sees what comes before its last look only; putting it again is all that it takes.
    for item in signatures:
        if item.digest in missing:
            store.repository("keystone").put_manifest(item)
    assert set(map(as_blob, signatures)) == set(store.repository("keystone").referrers(made.digest))


# Bad lines


@dataclass
class Line:
    """A line to a registry that breaks, after so many bytes up or down, or before a request's n-th part of an upload.

    Counts the bytes that go over it.
    """

    target: int
    cuts: list[tuple[str, int]] = field(default_factory=list)
    refused_part: int = 0
    port: int = 0
    up: int = 0
    down: int = 0
    broken: int = 0

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", self.target)) as far:
            back = threading.Thread(target=self._pump, args=(far, near, "down"), daemon=True)
            back.start()
            self._pump(near, far, "up")
            back.join()

    def _pump(self, source: socket.socket, target: socket.socket, way: str) -> None:
        count = 0
        with suppress(OSError):
            while data := source.recv(1 << 16):
                whole = len(data)
                data = data[: self._place(data, way, count)]
                target.sendall(data)
                count += len(data)
                setattr(self, way, getattr(self, way) + len(data))
                if len(data) < whole:
                    self.broken += 1
                    break
        for side in (source, target):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def _place(self, data: bytes, way: str, count: int) -> int:
        """Return how many of these bytes go over the line before it breaks."""
        if way == "up" and self.refused_part and b"PATCH /v2/" in data:
            self.refused_part -= 1
            return len(data) if self.refused_part else data.index(b"PATCH /v2/")
        if self.cuts and self.cuts[0][0] == way and count + len(data) > self.cuts[0][1]:
            return max(0, self.cuts.pop(0)[1] - count)
        return len(data)


@contextmanager
def line_to(registry: str) -> Iterator[Line]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        line = Line(int(registry.rpartition(":")[2]), port=listener.getsockname()[1])
        threading.Thread(target=line.serve, args=(listener,), daemon=True).start()
        yield line
        listener.shutdown(socket.SHUT_RDWR)


def over(line: Line) -> RegistryStore:
    registry = open_registry(f"127.0.0.1:{line.port}")
    registry.transport.pause = lambda _: None
    return RegistryStore(registry, uuid.uuid4().hex)


@pytest.fixture(scope="module")
def large() -> tuple[Blob, bytes]:
    content = os.urandom(20 * MIB)
    return Blob("application/octet-stream", f"sha256:{hashlib.sha256(content).hexdigest()}", len(content)), content


def test_a_download_over_a_bad_line_fetches_each_byte_once(
    registry: str, large: tuple[Blob, bytes], tmp_path: Path
) -> None:
    blob, content = large
    with line_to(registry) as line:
        repository = over(line).repository("keystone").there
        repository.upload(blob, opener(content))
        line.down, line.cuts = 0, [("down", 5 * MIB), ("down", 7 * MIB), ("down", 2 * MIB)]
        repository.registry.transport.session.close()
        repository.download(blob, tmp_path / "blob")
        assert (tmp_path / "blob").read_bytes() == content
        assert line.broken == 3
        assert line.down < blob.size + 4 * MIB


@pytest.mark.parametrize("place", [1 * MIB, 12 * MIB, 19 * MIB])
def test_an_upload_over_a_bad_line_arrives(registry: str, large: tuple[Blob, bytes], place: int) -> None:
    blob, content = large
    with line_to(registry) as line:
        repository = over(line).repository("keystone")
        line.cuts = [("up", place)]
        assert repository.upload(blob, opener(content)) == blob.size
        assert repository.read(blob, blob.size) == content
        assert line.broken == 1
        # A registry may forget an upload that broke off within a part: then all of it goes once more. What the line's own
        # buffers took in meanwhile counts too, up to a part.
        assert line.up < blob.size + place + PART + MIB


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_part_that_did_not_get_there_is_all_that_is_sent_again(
    registry: str, large: tuple[Blob, bytes], number: int
) -> None:
    blob, content = large
    with line_to(registry) as line:
        repository = over(line).repository("keystone")
        line.refused_part = number
        assert repository.upload(blob, opener(content)) == blob.size
        assert repository.has(blob)
        assert line.broken == 1
        assert line.up < blob.size + MIB


def test_a_line_that_always_breaks_is_told_and_leaves_nothing(registry: str, large: tuple[Blob, bytes]) -> None:
    blob, content = large
    with line_to(registry) as line:
        repository = over(line).repository("keystone")
        line.cuts = [("up", MIB)] * 999
        with pytest.raises(UnreachableRegistryError):
            repository.upload(blob, opener(content))
        line.cuts = []
        assert not repository.has(blob)


# Killed writers

WRITER = """\
import sys
from pathlib import Path
from releases.layout import LayoutStore
from releases.repository import opener
from tests.fakes.repositories import blob_of, filled, manifest_of

store = LayoutStore(Path(sys.argv[1]))
for number in range(int(sys.argv[2]), 1_000_000):
    layer = bytes([number % 256]) * (1 << 18) + b"%d" % number
    made = manifest_of(layers=(layer,), number=str(number))
    with store.writing():
        for name in ("keystone", "glance"):
            repository = filled(store.repository(name), {})
            repository.upload(blob_of(layer), opener(layer))
            repository.put_manifest(made, "live")
            repository.put_manifest(manifest_of(made), "signed")
    if number % 3 == 0:
        store.repository("keystone").put_manifest(made, "old")
        store.forget("keystone", "old")
        store.collect()
    print(number, flush=True)
"""


def is_filled(log: Path) -> bool:
    return log.stat().st_size > 0


def check_all(store: LayoutStore) -> None:
    """Read every manifest and every blob that it names."""
    for name in ("keystone", "glance"):
        repository = store.repository(name)
        for digest in store.index().held.get(name, {}):
            for row in repository.manifest(digest).data()["layers"]:
                repository.read(Blob(row["mediaType"], row["digest"], row["size"]))


def test_a_killed_writer_leaves_a_whole_folder(tmp_path: Path) -> None:
    """Whatever it was doing, both repositories are at the same point, and the next writer goes on."""
    (tmp_path / "writer.py").write_text(WRITER)
    folder, numbers = tmp_path / "releases", [-1]
    for start in range(0, 8000, 1000):
        arguments = (sys.executable, str(tmp_path / "writer.py"), str(folder), str(start))
        log = tmp_path / f"log-{start}"
        daemon = process.start(Command(arguments, {"PYTHONPATH": str(ROOT)}), log)
        wait_for("writer", partial(is_filled, log), daemon=daemon)
        clock.sleep(secrets.randbelow(250) / 1000)
        daemon.process.kill()
        daemon.process.wait()
        store = LayoutStore(folder)
        live = {store.repository(name).manifest_digest("live") for name in ("keystone", "glance")}
        assert len(live) == 1
        check_all(store)
        numbers.append(int(store.repository("glance").manifest("live").data()["annotations"]["number"]))
    assert numbers == sorted(set(numbers))
    store.collect()
    check_all(store)
    assert list(store.blobs.folder.glob(".*")) == []
