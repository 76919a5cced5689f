# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Puts images of the store into an engine on this machine: Docker by its API, containerd by `ctr`. Decides no layout.

Archives are streamed, so nothing of an image's size is written beside the store; every blob is hashed as it goes out.
"""

import errno
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, cast

from buildkit.archives import (
    PlainImage,
    archive_size,
    digest_name,
    docker_members,
    full_name,
    oci_members,
    tar_stream,
)
from buildkit.bodies import CheckedBody, open_blob
from buildkit.store import Blob, Store, StoredImage
from buildkit.unpacking import plain_chunks, plain_size
from stackway import clock
from stackway.console import Reporter, printable
from stackway.errors import FailedError, StackwayError, UnavailableError
from stackway.files import scratch_directory
from stackway.process import Command, ProcessFailedError, run

_DOCKER_SECONDS = 600
_LISTING_COLUMNS = 6


class DockerImages(Protocol):
    """What is used of the docker SDK's `client.images`."""

    def load(self, data: Any, /) -> Any:
        """Read a docker-archive."""

    def get(self, name: str, /) -> Any:
        """Return an image with `id` and `attrs`. Raises docker's ImageNotFound."""


class DockerClient(Protocol):
    """What is used of the docker SDK's client."""

    @property
    def images(self) -> DockerImages:
        """The engine's images."""


@dataclass(frozen=True)
class Containerd:
    """A containerd: its socket, the namespace for the images (`k8s.io` for Kubernetes), and the `ctr` that talks to it."""

    address: str = "/run/containerd/containerd.sock"
    namespace: str = "default"
    ctr: str = "ctr"
    options: tuple[str, ...] = ()

    def command(self, *arguments: str) -> Command:
        """Return a command of ctr."""
        return Command((self.ctr, "--address", self.address, "--namespace", self.namespace, *arguments))


def local_containerd(environment: Mapping[str, str]) -> Containerd:
    """Return the containerd that `ctr` itself would use: CONTAINERD_ADDRESS and CONTAINERD_NAMESPACE, else the defaults."""
    usual = Containerd()
    return Containerd(
        environment.get("CONTAINERD_ADDRESS") or usual.address,
        environment.get("CONTAINERD_NAMESPACE") or usual.namespace,
    )


def load_docker(
    store: Store, images: Sequence[StoredImage], reporter: Reporter, client: DockerClient | None = None
) -> list[str]:
    """Put images into Docker as `stackway.local/NAME`; return the names that were not there yet.

    Raises UnavailableError without an engine, DamagedBlobError for a blob that is not what its name says, FailedError when the
    engine has another image afterwards.
    """
    client = _docker() if client is None else client
    plain = [PlainImage(image.name, _read(store, image.config), image) for image in images]
    missing = [image for image in plain if _docker_id(client, image) != image.source.config.digest]
    if missing:
        _docker_load(client, _docker_stream(store, missing, reporter))
    for image in plain:
        if not _docker_id(client, image):
            raise FailedError(
                f"Docker does not have {image.name} though it took it",
                details=f"{full_name(image.name)}: other layers, or nothing",
                resolution="Look at the engine's log: a full disk, or something that changes tags at the same time.",
            )
        reporter.finish(f"load {image.name}", f"Docker has {full_name(image.name)}")
    return [full_name(image.name) for image in missing]


def load_containerd(
    images: Sequence[StoredImage],
    open_blob: Callable[[Blob], Iterable[bytes]],
    reporter: Reporter,
    target: Containerd | None = None,
) -> list[str]:
    """Put images, whose blobs `open_blob` yields, into containerd; return the new names.

    Each is there as `stackway.local/NAME`, for people, and as `stackway.local/REPOSITORY@DIGEST`, for pods. Raises
    UnavailableError without containerd or ctr, ProcessFailedError when it fails, DamagedBlobError for a blob that is not
    what its name says, FailedError when containerd does not have the image afterwards.
    """
    target = local_containerd(os.environ) if target is None else target
    there = complete_images(_containerd_check(target))
    missing = [image for image in images if not _named(image, there)]
    if missing:
        members = oci_members(missing, open_blob)
        stream = _told(tar_stream(members), archive_size(members), reporter, "load into containerd")
        _import(target, stream)
        there = complete_images(_containerd_check(target))
    for image in images:
        if not _named(image, there):
            raise FailedError(
                f"containerd does not have {image.name} though it took it",
                details=f"{target.address}, namespace {target.namespace}: {image.manifest.digest}",
                resolution="Look at containerd's log: a full disk or a snapshotter that does not work here.",
            )
        reporter.finish(f"load {image.name}", f"containerd has {full_name(image.name)}")
    return [full_name(image.name) for image in missing]


def complete_images(listing: str) -> dict[str, str]:
    """Return name → digest of the images that `ctr images check` calls complete and unpacked."""
    rows = [line.split() for line in listing.splitlines()[1:]]
    return {
        row[0]: row[2] for row in rows if len(row) >= _LISTING_COLUMNS and row[3] == "complete" and row[-1] == "true"
    }


def _named(image: StoredImage, there: Mapping[str, str]) -> bool:
    names = (full_name(image.name), digest_name(image))
    return all(there.get(name) == image.manifest.digest for name in names)


def checked_chunks(store: Store, blob: Blob) -> Iterator[bytes]:
    """Yield the bytes of a blob. Raises DamagedBlobError when they are not what its name says."""
    with open_blob(store.path(blob.digest), blob) as file:
        yield from CheckedBody(file, blob)


def _told(stream: Iterable[bytes], total: int, reporter: Reporter, name: str) -> Iterator[bytes]:
    done, shown = 0, 0.0
    for chunk in stream:
        yield chunk
        done += len(chunk)
        if done >= shown:
            reporter.task(name, f"{total / 1e6:.0f} MB", min(1.0, done / max(total, 1)))
            shown = done + total / 100


def _read(store: Store, blob: Blob) -> bytes:
    return b"".join(checked_chunks(store, blob))


def _docker_stream(store: Store, images: Sequence[PlainImage], reporter: Reporter) -> Iterator[bytes]:
    """Return a docker-archive. Layers are unpacked twice: a tar wants to know the size before the content."""
    layers = {diff_id: blob for image in images for diff_id, blob in image.layers.items()}
    sizes: dict[str, int] = {}
    for diff_id, blob in layers.items():
        reporter.task("load into Docker", f"unpacking layer {len(sizes) + 1} of {len(layers)}")
        sizes[diff_id] = plain_size(store, blob, diff_id)
    members = docker_members(images, sizes, lambda diff_id: plain_chunks(store, layers[diff_id], diff_id))
    return _told(tar_stream(members), archive_size(members), reporter, "load into Docker")


def _docker() -> DockerClient:
    import docker
    from docker.errors import DockerException

    try:
        return cast("DockerClient", docker.from_env(timeout=_DOCKER_SECONDS))
    except DockerException as error:
        raise _no_docker(error) from error


def _docker_id(client: DockerClient, image: PlainImage) -> str:
    """Return the engine's id of the image if it has the same layers, else nothing.

    The id is the configuration's digest, or in the engine's newer image store the digest of a manifest of its own.
    """
    from docker.errors import DockerException, ImageNotFound

    try:
        found = client.images.get(full_name(image.name))
    except ImageNotFound:
        return ""
    except DockerException as error:
        raise _no_docker(error) from error
    layers = found.attrs.get("RootFS", {}).get("Layers") or []
    return str(found.id) if tuple(layers) == tuple(image.diff_ids) else ""


def _docker_load(client: DockerClient, stream: Iterator[bytes]) -> None:
    import requests
    from docker.errors import DockerException

    try:
        client.images.load(stream)
    except (DockerException, requests.RequestException) as error:
        raise FailedError(
            "Docker does not take the images",
            details=printable(str(error)),
            resolution="Look at the engine's log; a full disk is the usual reason.",
        ) from error


def _no_docker(error: Exception) -> UnavailableError:
    return UnavailableError(
        "no Docker engine answers",
        details=printable(str(error)),
        resolution="Start it, or set DOCKER_HOST; for containerd there is `--load containerd`.",
    )


def _containerd_check(target: Containerd) -> str:
    # ctr itself waits 10 s for a socket that is not there.
    if not Path(target.address.removeprefix("unix://")).is_socket():
        raise UnavailableError(
            "containerd does not answer",
            details=f"there is no socket {target.address}",
            resolution="Start it, or set CONTAINERD_ADDRESS to its socket.",
        )
    return run(target.command("images", "check")).stdout


def _import(target: Containerd, stream: Iterator[bytes]) -> None:
    """Run `ctr images import` on a pipe that is fed from the store."""
    with scratch_directory(Path(tempfile.gettempdir()), "stackway-load-") as folder:
        feed = Feed(folder / "images.tar", stream)
        with feed:
            done = run(target.command("images", "import", *target.options, str(feed.path)), check=False)
    if feed.problem:
        raise feed.problem
    if done.code != 0:
        raise ProcessFailedError(done, f"Is containerd running at {target.address}, and is there space left?")


class Feed:
    """A named pipe with a writer of its own: whoever reads `path` gets the stream. `problem` tells why it ended early."""

    def __init__(self, path: Path, stream: Iterator[bytes]) -> None:
        self.path = path
        self.problem: StackwayError | None = None
        self._stream = stream
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> Self:
        os.mkfifo(self.path, 0o600)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()

    def _write(self) -> None:
        pipe = self._open()
        if pipe is None:
            return
        # Closing may write what is left, so a reader that has gone shows there too; its exit code says why.
        with suppress(BrokenPipeError), os.fdopen(pipe, "wb") as file:
            try:
                file.writelines(self._stream)
            except StackwayError as error:
                self.problem = error

    def _open(self) -> int | None:
        """Open the pipe as soon as somebody reads it, None when nobody ever did."""
        while not self._over.is_set():
            try:
                pipe = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                clock.sleep(0.01)
            else:
                os.set_blocking(pipe, True)
                return pipe
        return None
