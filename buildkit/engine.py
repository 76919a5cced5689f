# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The one module that talks to an image builder: buildx drives it, wherever it runs. Decides nothing about images.

Ways: our own moby BuildKit, started for one build and ended with it; Docker's; one of the user's buildx builders; a remote
BuildKit; one in Kubernetes. All run the same bake file.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from stackway import clock
from stackway.console import Reporter
from stackway.errors import FailedError, UnavailableError, WrongInputError
from stackway.files import digest_json
from stackway.process import Command, Completed, Daemon, run, start
from stackway.settings import Settings
from stackway.tools.provision import provide, provide_all
from stackway.tools.versions import pinned_version

_INSTANCE = "stackway"
_START_SECONDS = 30.0
# MB: always kept, left free on the disk (a local cluster with its images wants its room too), at most. BuildKit's own
# default of 2000 to keep is less than one series.
_KEEP = "12000,12000,24000"
_WAYS = "auto, own, docker, buildx:NAME, remote:ADDRESS, kubernetes:NAMESPACE"


class BuilderError(FailedError):
    """The builder itself failed: it could not be started, or ended in the middle of a build."""


@dataclass(frozen=True)
class Builder:
    """A builder that is ready: buildx, and what points it at the builder."""

    buildx: Path
    instance: str
    environment: dict[str, str]
    description: str
    daemon: Daemon | None = None

    def bake(
        self, file: Path, targets: Sequence[str], sink: Callable[[str], None], *, cached: bool = True
    ) -> Completed:
        """Build the targets of a bake file; each line of rawjson progress goes to `sink`.

        Returns with the exit code of bake: a failed step is the caller's to explain. Raises BuilderError when the builder
        has gone.
        """
        arguments = [str(self.buildx), "bake", "--builder", self.instance, "--progress", "rawjson", "--file", str(file)]
        if not cached:
            arguments.append("--no-cache")
        completed = run(Command((*arguments, *targets), self.environment), check=False, on_stderr=sink)
        if completed.code != 0 and self.daemon and not self.daemon.is_running():
            raise BuilderError(
                "the builder ended in the middle of the build",
                details=f"its log ({self.daemon.log}):\n{self.daemon.tail()}",
                resolution="Run the same command again: finished steps are kept. Look for a full disk or the memory killer.",
            )
        return completed


def open_builder(settings: Settings, reporter: Reporter) -> AbstractContextManager[Builder]:
    """Return the builder that the settings ask for, to be used in a `with`.

    Raises WrongInputError for an unknown way, UnavailableError when the chosen one is not there.
    """
    way, _, name = settings.builder.value.partition(":")
    cache = settings.cache_path
    match way:
        case "auto":
            return _docker(cache, reporter) if docker_is_there() else _own(cache, reporter)
        case "own":
            return _own(cache, reporter)
        case "docker":
            return _docker(cache, reporter)
        case "buildx" if name:
            return _existing(cache, name, reporter)
        case "remote" if name:
            return _created(cache, ("--driver", "remote", name), f"BuildKit at {name}", reporter)
        case "kubernetes" if name:
            options = f"namespace={name},image={_image()}"
            return _created(cache, ("--driver", "kubernetes", "--driver-opt", options), f"Kubernetes, {name}", reporter)
        case _:
            raise WrongInputError(
                f"there is no builder {settings.builder.value!r}",
                details=f"from {settings.builder.origin}",
                resolution=f"Choose one of: {_WAYS}.",
            )


def docker_is_there() -> bool:
    """Tell whether a Docker engine answers."""
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=3)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except DockerException:
        return False


def _image() -> str:
    return f"moby/buildkit:v{pinned_version('buildkitd')}"


@contextmanager
def _docker(cache: Path, reporter: Reporter) -> Iterator[Builder]:
    if not docker_is_there():
        raise UnavailableError(
            "no Docker engine answers",
            details="asked as the `docker` command would (DOCKER_HOST, context)",
            resolution="Start it, or build without it: `--builder own`.",
        )
    arguments = ("--driver", "docker-container", "--driver-opt", f"image={_image()}")
    with _created(cache, arguments, "Docker", reporter) as builder:
        yield builder


@contextmanager
def _existing(cache: Path, name: str, reporter: Reporter) -> Iterator[Builder]:
    buildx = provide("buildx", cache, reporter)
    yield Builder(buildx, name, _environment(), f"buildx builder {name}")


@contextmanager
def _created(cache: Path, driver: Sequence[str], description: str, reporter: Reporter) -> Iterator[Builder]:
    """Yield a buildx instance of ours; its configuration stays in the cache, so a container or pod is used again."""
    buildx = provide("buildx", cache, reporter)
    environment = _environment() | {"BUILDX_CONFIG": str(cache / "buildx")}
    # Another address or another option is another instance: buildx would go on with the old one.
    name = f"{_INSTANCE}-{driver[1]}-{digest_json(list(driver)).removeprefix('sha256:')[:8]}"
    known = run(Command((str(buildx), "inspect", name), environment), check=False)
    if known.code != 0:
        run(Command((str(buildx), "create", "--name", name, *driver), environment))
    yield Builder(buildx, name, environment, description)


@contextmanager
def _own(cache: Path, reporter: Reporter) -> Iterator[Builder]:
    """Yield our own BuildKit: started here, ended here, its cache kept."""
    if os.geteuid() != 0:
        raise UnavailableError(
            "our own builder needs root",
            details="BuildKit mounts file systems and starts containers",
            resolution="Run as root, or name a builder that needs none here: `--builder docker` or `--builder remote:ADDRESS`.",
        )
    tools = provide_all(("buildkitd", "buildx", "runc"), cache, reporter)
    with _alone(cache, reporter), tempfile.TemporaryDirectory(prefix="stackway-") as scratch:
        # A socket's path may be 107 bytes long: not below the cache, which may lie anywhere.
        socket = Path(scratch) / "buildkitd.sock"
        command = _daemon_command(tools["buildkitd"], tools["runc"], cache / "buildkit", socket)
        daemon = start(command, cache / "buildkit.log")
        try:
            _wait(daemon, socket)
            environment = _environment() | {"BUILDX_CONFIG": scratch}
            create = ("create", "--name", _INSTANCE, "--driver", "remote", f"unix://{socket}")
            run(Command((str(tools["buildx"]), *create), environment))
            yield Builder(
                tools["buildx"],
                _INSTANCE,
                environment,
                f"our own BuildKit {pinned_version('buildkitd')}",
                daemon,
            )
        finally:
            daemon.stop()


def _daemon_command(buildkitd: Path, runc: Path, root: Path, socket: Path) -> Command:
    root.mkdir(parents=True, exist_ok=True)
    # In a mount namespace of its own: what it has mounted goes with it, even when it is killed, and so its folder of
    # temporary files, which are mount points, may be removed.
    private = ("unshare", "--mount", "--", str(buildkitd))
    # More steps at once than this only wait for each other: nearly all of them use a processor throughout.
    parallel = len(os.sched_getaffinity(0)) + 1
    worker = ("--containerd-worker=false", "--oci-worker=true", f"--oci-worker-binary={runc}")
    limits = (f"--oci-max-parallelism={parallel}", f"--oci-worker-gc-keepstorage={_KEEP}")
    where = ("--root", str(root), "--addr", f"unix://{socket}")
    return Command((*private, *where, *worker, *limits), {"TMPDIR": str(socket.parent)})


def _wait(daemon: Daemon, socket: Path) -> None:
    deadline = clock.monotonic() + _START_SECONDS
    while not socket.exists():
        if not daemon.is_running() or clock.monotonic() > deadline:
            raise BuilderError(
                "the builder did not start",
                details=daemon.tail(),
                resolution="`release doctor` shows what this machine lacks.",
            )
        clock.sleep(0.02)


@contextmanager
def _alone(cache: Path, reporter: Reporter) -> Iterator[None]:
    """Hold the builder's cache: one BuildKit may use it at a time, whichever checkout it builds."""
    from filelock import FileLock, Timeout

    cache.mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache / "buildkit.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        reporter.say("another build is using the builder; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _environment() -> dict[str, str]:
    return {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1", "BUILDX_BAKE_ENTITLEMENTS_FS": "0", "DOCKER_CLI_HINTS": "false"}
