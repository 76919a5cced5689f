# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A real database, and the services' images beside it, run as a deployment runs its jobs. Knows no phases.

All is in an engine and a network of the tests' own, read-only, as the images' own users, with the mounts that the specs name.
"""

import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import Any

import pytest

from buildkit.archives import full_name
from buildkit.catalog import Catalog
from buildkit.dockerfile import deployment_files, process_command
from buildkit.load import checked_chunks, load_containerd
from buildkit.models import Service
from buildkit.sources import load_templates
from buildkit.store import Store
from pipeline.drawing import draw_fernet_keys
from tests.integration.runtime import SILENT, Engine, Mount, Network, Pod, wait_for

_FOLDER = "/run/stackway"
_HOST = "127.0.0.1"
_SECONDS = 900.0
_START_SECONDS = 180.0
REGION = "RegionOne"
IDENTITY = f"http://{_HOST}:5000/v3"
_DATABASE = "database"


@dataclass(frozen=True)
class Job:
    """A Python program for a service's image: its text, what it is told, its environment, and files beside it."""

    text: str
    plan: object
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """The specs, the store with their images, and where they run."""

    engine: Engine
    network: Network
    catalog: Catalog
    store: Store
    password: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    _numbers: Iterator[int] = field(default_factory=count)

    def server(self, series: str) -> Service:
        """Return the server that the services of a series keep their schemas in."""
        return next(item for item in self.catalog.members(series) if item.provides == "database")

    def load(self, services: Iterable[Service]) -> None:
        """Give the engine the services' images; those that it has stay. Skips when they have not been built."""
        images, names = self.store.images(), sorted({item.image for item in services})
        if missing := [name for name in names if name not in images]:
            pytest.skip(f"not in the store: {', '.join(missing)}; `release build {' '.join(missing)}` makes them")
        stored = [images[name] for name in names]
        load_containerd(stored, partial(checked_chunks, self.store), SILENT, self.engine.target)

    @contextmanager
    def running(self, server: Service, user: str, schemas: Iterable[str]) -> Iterator[None]:
        """Run a database server with these schemas in it, all empty and one user's."""
        name, process = next(iter(server.processes.items()))
        pod = self._pod(server, _DATABASE, {"init.sql": "".join(self._statements(user, schemas))})
        probe = process.probes.startup.command if process.probes.startup else None
        with self.engine.running(replace(pod, command=process_command(name, process.command))) as daemon:
            wait_for(
                server.image,
                lambda: self.engine.execute(_DATABASE, *(probe or ()), check=False).code == 0,
                _START_SECONDS,
                daemon,
            )
            yield

    def address(self, user: str, schema: str) -> str:
        """Return the address of a user's schema, in the form that a deployment gives to services."""
        return f"mysql+pymysql://{user}:{self.password}@{_HOST}/{schema}?charset=utf8mb4"

    def sql(self, schema: str, statements: str) -> str:
        """Run statements in a schema of the running database; return what they print."""
        client = ("mariadb", "--no-defaults", "--socket=/run/mysqld/mysqld.sock")
        return self.engine.execute(_DATABASE, *client, schema, "--execute", statements).stdout

    def run(self, service: Service, job: Job) -> str:
        """Run a job in the image and configuration of a service; return what it printed. Raises ProcessFailedError."""
        name = f"{service.name}-{next(self._numbers)}"
        pod = self._pod(service, name, draw_fernet_keys())
        texts = {**job.files, "program.py": job.text, "plan.json": json.dumps(job.plan)}
        files = [self._mount(service, f"{_FOLDER}/{file}", text, folder=name) for file, text in texts.items()]
        command = ("python3", f"{_FOLDER}/program.py", f"{_FOLDER}/plan.json")
        pod = replace(pod, command=command, mounts=[*pod.mounts, *files], environment=dict(job.environment))
        return self.engine.run(pod, timeout=_SECONDS).stdout

    def _statements(self, user: str, schemas: Iterable[str]) -> Iterator[str]:
        yield f"CREATE USER IF NOT EXISTS '{user}'@'%' IDENTIFIED BY '{self.password}';\n"
        for name in schemas:
            yield f"CREATE DATABASE IF NOT EXISTS `{name}`;\n"
            yield f"GRANT ALL PRIVILEGES ON `{name}`.* TO '{user}'@'%';\n"

    def _pod(self, service: Service, name: str, keys: Mapping[str, str]) -> Pod:
        """Return a container of a service with its files and volumes; `keys` are in each volume of secrets."""
        mounts = {"/etc/hosts": self._mount(service, "/etc/hosts", f"{_HOST} localhost\n")}
        templates = load_templates(self.catalog).of(service.name)
        for path, text in deployment_files(service, templates, self._values()).items():
            mounts[path] = self._mount(service, path, text)
        for volume in service.volumes.values():
            # Claims are memory here: a busy disk would make each commit of the database wait.
            mounts[volume.path] = Mount(volume.path, owner=service.user.uid)
            if volume.source == "secret":
                files = [self._mount(service, f"{volume.path}/{file}", text) for file, text in keys.items()]
                mounts |= {mount.target: mount for mount in files}
        ordered = [mounts[path] for path in sorted(mounts)]
        return Pod(name, full_name(service.image), (), ordered, network=self.network)

    def _mount(self, service: Service, path: str, text: str, folder: str = "files") -> Mount:
        """Write a file of a service, for its user only; return it as it is mounted."""
        outside = self.engine.folder / service.name / service.series / folder / path.strip("/")
        outside.parent.mkdir(parents=True, exist_ok=True)
        outside.write_text(text, encoding="utf-8")
        outside.chmod(0o400)
        os.chown(outside, service.user.uid, service.user.uid)
        return Mount(path, outside)

    def _values(self) -> dict[str, Any]:
        """Return what templates may use; nothing but the database is there."""
        services = [item.spec for item in self.catalog.services.values()]
        return {
            "region": REGION,
            "database": {name: self.address(item.name, name) for item in services for name in item.database.schemas},
            "cache": {"servers": [f"{_HOST}:11211"]},
            "messaging": {"url": f"rabbit://nobody:nothing@{_HOST}:5672/"},
            "identity": {"url": IDENTITY, "public_url": IDENTITY},
            "user": {"name": "nobody", "password": self.password},
            "secrets": {"metadata_proxy": self.password, "messaging_password": self.password},
        }
