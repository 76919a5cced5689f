# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A tiny checkout that really builds: the real base, and images that add one small locked package to it.

Its builder has a cache of its own; tools and packages are the user's, both known by their checksums.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from buildkit.catalog import load_catalog
from buildkit.lockfiles import image_path, layers_path
from buildkit.locks import PythonLock, SystemLock, parse_python_lock, parse_system_lock
from buildkit.models import Service
from buildkit.questions import python_question, system_question
from buildkit.store import Store, StoredImage
from stackway import process
from stackway.process import Command, Completed, Daemon
from stackway.settings import default_settings

REPOSITORY = Path(__file__).parents[2]
BASE = "trixie"
SERIES = "2026.1"
SMALL = "netbase"
_SHARED = ("tools", "artifacts", "apt", "bootstraps")
_OFFLINE = ("unshare", "--net", "--")
_SLEEP = [["sleep", "60"]]
# Runs the program with every way to start another one or to open a connection closed.
_SEALED = """
import sys
def refuse(event, arguments):
    if event in ("subprocess.Popen", "os.posix_spawn", "os.fork", "os.exec", "socket.connect"):
        raise SystemExit(f"not nothing to do: {event} {arguments}")
sys.addaudithook(refuse)
from pipeline.cli import main
sys.exit(main())
"""


def private_cache(folder: Path) -> Path:
    """Make a cache that shares what is known by its checksum with the user's, and nothing of the builder's."""
    folder.mkdir(parents=True)
    for name in _SHARED:
        shared = default_settings(os.environ).cache_path / name
        shared.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(shared)
    return folder


@dataclass(frozen=True)
class TinyCheckout:
    """A checkout below `root`, and the cache its builds use."""

    root: Path
    cache: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.root / ".stackway"

    @property
    def store(self) -> Store:
        return Store(self.state / "store")

    def images(self) -> dict[str, StoredImage]:
        return self.store.images()

    def digests(self) -> dict[str, str]:
        return {name: image.manifest.digest for name, image in self.images().items()}

    def add(self, name: str, package: str = SMALL, *, checks: Any = (), **changes: Any) -> None:
        """Write an image of the base and one package, and its lock. `checks` are commands of the smoke stage."""
        spec = {
            "apiVersion": "stackway/v1",
            "kind": "Service",
            "name": name,
            "summary": f"{name} of the tests",
            "role": "tool",
            "layout": "system",
            "base": BASE,
            "packages": {"system": [package]},
            "checks": {"smoke": {"commands": list(checks)}},
            **changes,
        }
        self._write(name, spec, {"series": "1.0", "version": "1.0"})
        lock = self._base_lock("interpreter")
        chosen = tuple(item for item in lock.packages if item.name == package)
        self._lock(name, "1.0", lambda service: SystemLock(chosen, self._system_header(service, lock)))

    def add_slow(self, name: str) -> None:
        """Write an image whose check takes a minute."""
        self.add(name, checks=_SLEEP)

    def add_broken(self, name: str) -> None:
        """Write an image whose package cannot be configured: what it depends on is not there."""
        self.add(name, "libpython3.13-stdlib")

    def add_python(self, name: str, **changes: Any) -> None:
        """Write an image of the base, its Python and two distributions."""
        shutil.copytree(REPOSITORY / "images/series", self.root / "images/series", dirs_exist_ok=True)
        for path in (self.root / "images/series").glob("*"):
            if not path.name.startswith(SERIES):
                path.unlink()
        self._trim_series()
        pins = parse_python_lock((self._images / f"bases/{BASE}.backends.lock").read_text(), "backends").pins
        chosen = tuple(pin for pin in pins if pin.name in {"packaging", "pbr"})
        spec = {
            "apiVersion": "stackway/v1",
            "kind": "Service",
            "name": name,
            "summary": f"{name} of the tests",
            "role": "tool",
            "packages": {"python": ["packaging", "pbr"]},
            "checks": {"smoke": {"imports": ["packaging", "pbr"]}},
            **changes,
        }
        self._write(name, spec, {"series": SERIES, "version": "1.0"})
        self._lock(name, SERIES, lambda service: PythonLock(chosen, self._python_header(service)))

    def remove(self, name: str) -> None:
        shutil.rmtree(self._images / name)

    def command(self, *words: str, **environment: str) -> Command:
        """Return the program `release` on this checkout."""
        given = ("--root", str(self.root), "--cache", str(self.cache), *words)
        return self._python("-m", "pipeline.cli", *given, **environment)

    def release(self, *words: str, **environment: str) -> Completed:
        """Run `release` to its end, whatever that is."""
        return process.run(self.command(*words, **environment), check=False)

    def offline(self, *words: str, **environment: str) -> Completed:
        """Run `release` in a network that has nothing, not even a loopback."""
        command = self.command(*words, **environment)
        return process.run(
            Command((*_OFFLINE, *command.arguments), command.environment, command.directory), check=False
        )

    def sealed(self, *words: str) -> Completed:
        """Run `release` so that it fails as soon as it starts another program or opens a connection."""
        return process.run(self._python("-c", _SEALED, "--root", str(self.root), *words), check=False)

    def start(self, *words: str) -> Daemon:
        """Start `release`; both its outputs go to the daemon's log."""
        return process.start(self.command(*words), self.root / "release.log")

    def build(self, *words: str, **environment: str) -> dict[str, dict[str, Any]]:
        """Build, and return image → its result. Fails when the build does."""
        completed = self.release("build", "--output", "json", *words, **environment)
        assert completed.code == 0, completed.stderr
        return {item["image"]: item for item in json.loads(completed.stdout)["images"]}

    @property
    def _images(self) -> Path:
        return self.root / "images"

    def _python(self, *words: str, **environment: str) -> Command:
        given = {"STACKWAY_BUILDER": "own", **self.environment, **environment}
        return Command((sys.executable, *words), given, REPOSITORY, timeout=300)

    def _write(self, name: str, spec: Mapping[str, Any], series: Mapping[str, str]) -> None:
        folder = self._images / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "service.yaml").write_text(json.dumps(spec, indent=1))
        (folder / f"{series['series']}.yaml").write_text(json.dumps(series, indent=1))

    def _lock(self, name: str, series: str, make: Callable[[Service], SystemLock | PythonLock]) -> None:
        service = load_catalog(self.root).service(name, series)
        lock = make(service)
        kind = "system" if isinstance(lock, SystemLock) else "python"
        (self._images / image_path(service, kind)).write_text(lock.to_text())

    def _base_lock(self, stage: str) -> SystemLock:
        path = self._images / f"bases/{BASE}.{stage}.lock"
        return parse_system_lock(path.read_text(), path.name)

    def _system_header(self, service: Service, like: SystemLock) -> dict[str, str]:
        question = system_question(service, load_catalog(self.root).base_of(service))
        return {**question.header, "epoch": like.header["epoch"]}

    def _python_header(self, service: Service) -> dict[str, str]:
        catalog = load_catalog(self.root)
        return python_question(service, catalog.series[SERIES].spec, catalog.base_of(service)).header

    def _trim_series(self) -> None:
        """Leave of the series what the tests' images need: no layers, no infrastructure, no packages in every image."""
        (self._images / layers_path(SERIES)).unlink(missing_ok=True)
        path = self._images / f"series/{SERIES}.yaml"
        catalog_keys = ("packages:", "infrastructure:", "overrides:")
        kept, keep = [], True
        for line in path.read_text().splitlines():
            if not line.startswith((" ", "#")):
                keep = not line.startswith(catalog_keys)
            kept += [line] if keep else []
        path.write_text("\n".join(kept) + "\n")


def tiny_checkout(root: Path, cache: Path) -> TinyCheckout:
    """Make a checkout with the real base and no image yet."""
    source, images = REPOSITORY / "images", root / "images"
    shutil.copytree(source / "shared", images / "shared")
    (images / "bases").mkdir()
    for path in (source / "bases").glob(f"{BASE}.*"):
        shutil.copy(path, images / "bases")
    return TinyCheckout(root, cache)
