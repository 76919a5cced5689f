# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The images serve: MariaDB and keystone of the store, run as a deployment runs them, give real tokens to real clients.

They run in a network that has nothing but a loopback, read-only, as their own users, with the mounts that the specs name.
"""

import json
import os
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from buildkit.archives import full_name
from buildkit.catalog import Catalog, load_catalog
from buildkit.dockerfile import deployment_files, process_command
from buildkit.load import checked_chunks, load_containerd
from buildkit.models import Service
from buildkit.sources import load_templates
from buildkit.store import Store
from stackway import clock
from stackway.process import Completed, Daemon
from tests.integration.runtime import SILENT, Engine, Mount, Network, Pod, running_containerd, wait_for

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
SERIES = "2026.1"
IMAGES = ("keystone:2026.1", "mariadb:11.8", "toolbox:2026.1")
ADDRESS = "http://127.0.0.1:5000"
PROJECT = {"name": "admin", "domain": {"id": "default"}}


@dataclass(frozen=True)
class Cloud:
    """What runs, and the secrets it was made with."""

    engine: Engine
    network: Network
    catalog: Catalog
    database_password: str
    admin_password: str

    @property
    def keystone(self) -> Service:
        return self.catalog.service("keystone", SERIES)

    def pod(self, service: Service, name: str, command: tuple[str, ...], *, writable: bool = False) -> Pod:
        """Return a container of the service with its files and volumes; `writable` is for the making of secrets."""
        files = {"/etc/hosts": self.engine.folder / "hosts", **self.files(service)}
        mounts = {path: Mount(path, source) for path, source in files.items()}
        for volume in service.volumes.values():
            # Claims are memory here: a busy disk would make each commit of the database wait.
            mounts[volume.path] = Mount(volume.path, owner=service.user.uid)
            if volume.source == "secret":
                mounts[volume.path] = Mount(volume.path, self.secret(service, volume.path), writable=writable)
        ordered = [mounts[path] for path in sorted(mounts)]
        return Pod(name, full_name(service.image), command, ordered, network=self.network)

    def secret(self, service: Service, path: str) -> Path:
        """Return the folder outside of a volume of secrets."""
        folder = self.folder(service) / path.strip("/").replace("/", "-")
        if not folder.exists():
            folder.mkdir(mode=0o700)
            os.chown(folder, service.user.uid, service.user.uid)
        return folder

    def folder(self, service: Service) -> Path:
        """Return the folder of the service's files outside."""
        found = self.engine.folder / service.name
        found.mkdir(exist_ok=True)
        return found

    def files(self, service: Service) -> dict[str, Path]:
        """Write the files that depend on the environment; return path in the container → path outside."""
        address = f"mysql+pymysql://keystone:{self.database_password}@127.0.0.1/keystone"
        values = {
            "region": "RegionOne",
            "database": {"keystone": address},
            "cache": {"servers": ["127.0.0.1:11211"]},
            "messaging": {"url": "rabbit://nobody:nothing@127.0.0.1:5672/"},
            "identity": {"url": f"{ADDRESS}/v3", "public_url": f"{ADDRESS}/v3"},
        }
        found = {}
        for path, text in deployment_files(service, load_templates(self.catalog).of(service.name), values).items():
            outside = self.folder(service) / Path(path).name
            outside.write_text(text)
            outside.chmod(0o400)
            os.chown(outside, service.user.uid, service.user.uid)
            found[path] = outside
        return found

    def manage(
        self, *command: str, check: bool = True, secret: Sequence[str] = (), writable: bool = False
    ) -> Completed:
        """Run a command of the keystone image to its end; `secret` names variables that get the first user's password."""
        pod = self.pod(self.keystone, f"manage-{secrets.token_hex(4)}", command, writable=writable)
        environment = dict.fromkeys(secret, self.admin_password)
        return self.engine.run(replace(pod, environment=environment), check=check, timeout=600)

    def phase(self) -> str:
        """Return what keystone says of its schema, in the spec's words."""
        state = self.keystone.database.state
        assert state
        return state.codes[str(self.manage(*state.run, check=False).code)]

    @contextmanager
    def api(self) -> Iterator[Daemon]:
        """Run keystone's API as its image does by itself."""
        command = process_command("api", self.keystone.processes["api"].command)
        with self.engine.running(self.pod(self.keystone, "keystone-api", command)) as daemon:
            wait_for("keystone", lambda: self.network.call(is_healthy), 180, daemon)
            yield daemon

    def ask(self, method: str, path: str, data: Any = None, token: str = "", **headers: str) -> requests.Response:
        """Ask keystone."""
        named = {name.replace("_", "-"): value for name, value in headers.items()} | (
            {"X-Auth-Token": token} if token else {}
        )
        return self.network.call(
            lambda: requests.request(method, f"{ADDRESS}{path}", json=data, headers=named, timeout=120)
        )

    def login(self, password: str) -> dict[str, Any]:
        """Return the body of a request for a token."""
        user = {"name": "admin", "domain": {"id": "default"}, "password": password}
        identity = {"methods": ["password"], "password": {"user": user}}
        return {"auth": {"identity": identity, "scope": {"project": PROJECT}}}


def is_healthy() -> bool:
    try:
        return requests.get(f"{ADDRESS}/healthcheck", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def store() -> Store:
    """Return the store with the images. Skips when they have not been built."""
    found = Store(Path(os.environ.get("STACKWAY_TEST_STORE", ROOT / ".stackway/store")))
    missing = [name for name in IMAGES if name not in found.images()]
    if missing:
        pytest.skip(f"not in the store: {', '.join(missing)}; `release build {' '.join(missing)}` makes them")
    return found


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """A database server with keystone's schema, keys and first user in it."""
    images = store()
    with running_containerd() as engine:
        stored = [images.images()[name] for name in IMAGES]
        load_containerd(stored, partial(checked_chunks, images), SILENT, engine.target)
        network = Network(engine.folder)
        try:
            # As any engine gives it to a container: mariadb-install-db looks for names in it.
            (engine.folder / "hosts").write_text("127.0.0.1 localhost\n")
            found = Cloud(engine, network, load_catalog(ROOT), secrets.token_hex(16), secrets.token_hex(16))
            with running_database(found):
                prepare(found)
                yield found
        finally:
            network.close()


@contextmanager
def running_database(cloud: Cloud) -> Iterator[Daemon]:
    service = cloud.catalog.service("mariadb", "11.8")
    server = service.processes["server"]
    pod = cloud.pod(service, "mariadb", process_command("server", server.command))
    statements = (
        "CREATE DATABASE IF NOT EXISTS keystone;\n"
        f"CREATE USER IF NOT EXISTS keystone@'%' IDENTIFIED BY '{cloud.database_password}';\n"
        "GRANT ALL ON keystone.* TO keystone@'%';\n"
    )
    (cloud.secret(service, service.volumes["init"].path) / "init.sql").write_text(statements)
    assert server.probes.startup
    probe = server.probes.startup.command or ()
    with cloud.engine.running(pod) as daemon:
        wait_for("mariadb", lambda: cloud.engine.execute("mariadb", *probe, check=False).code == 0, 180, daemon)
        yield daemon


def prepare(cloud: Cloud) -> None:
    """Do what a first deployment does: schema, keys, first user; the schema's state is checked on the way."""
    assert cloud.phase() == "expand"
    for step in (*cloud.keystone.database.expand, *cloud.keystone.database.migrate):
        cloud.manage(*step.run)
    assert cloud.phase() in {"contract", "done"}
    for step in cloud.keystone.database.contract:
        cloud.manage(*step.run)
    assert cloud.phase() == "done"
    for kind in ("fernet_setup", "credential_setup"):
        cloud.manage("keystone-manage", kind, writable=True)
    for step in cloud.keystone.bootstrap.values():
        cloud.manage(*step.run, secret=step.secret_environment)


@pytest.fixture
def api(cloud: Cloud) -> Iterator[Daemon]:
    with cloud.api() as daemon:
        yield daemon


@pytest.mark.usefixtures("api")
def test_keystone_gives_a_token_and_knows_it_again(cloud: Cloud) -> None:
    given = cloud.ask("POST", "/v3/auth/tokens", cloud.login(cloud.admin_password))
    assert given.status_code == 201, given.text
    token = given.headers["X-Subject-Token"]
    known = cloud.ask("GET", "/v3/auth/tokens", token=token, X_Subject_Token=token)
    assert (known.status_code, known.json()["token"]["project"]["name"]) == (200, "admin")
    assert cloud.ask("GET", "/v3/projects", token=token).status_code == 200
    assert cloud.ask("GET", "/v3/projects", token="wrong").status_code == 401
    assert cloud.ask("POST", "/v3/auth/tokens", cloud.login("wrong")).status_code == 401


@pytest.mark.usefixtures("api")
def test_the_client_of_the_toolbox_gets_a_token(cloud: Cloud) -> None:
    environment = {
        "OS_AUTH_URL": f"{ADDRESS}/v3",
        "OS_USERNAME": "admin",
        "OS_PASSWORD": cloud.admin_password,
        "OS_PROJECT_NAME": "admin",
        "OS_USER_DOMAIN_ID": "default",
        "OS_PROJECT_DOMAIN_ID": "default",
    }
    toolbox = cloud.catalog.service("toolbox", SERIES)
    pod = cloud.pod(toolbox, "toolbox", ("openstack", "token", "issue", "--format", "json"))
    done = cloud.engine.run(replace(pod, environment=environment))
    assert json.loads(done.stdout)["id"]


@pytest.mark.usefixtures("api")
def test_nothing_runs_as_root_or_with_a_root_that_can_be_written(cloud: Cloud) -> None:
    for name, service in (("keystone-api", cloud.keystone), ("mariadb", cloud.catalog.service("mariadb", "11.8"))):
        assert status_of(cloud.engine.pid(name))["Uid"].split() == [str(service.user.uid)] * 4
        assert cloud.engine.execute(name, "test", "!", "-w", "/").code == 0
        mounts = Path(f"/proc/{cloud.engine.pid(name)}/mounts").read_text().splitlines()
        root = next(line.split()[3] for line in mounts if line.split()[1] == "/")
        assert "ro" in root.split(",")


def test_the_service_finds_itself_ready_for_an_upgrade(cloud: Cloud) -> None:
    check = cloud.keystone.checks.upgrade
    assert check
    done = cloud.manage(*check.run)
    assert "Default roles are immutable" in done.stdout


def status_of(pid: int) -> Mapping[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_sigterm_lets_a_request_in_flight_finish(cloud: Cloud, api: Daemon) -> None:
    body = json.dumps(cloud.login(cloud.admin_password)).encode()
    head = f"POST /v3/auth/tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"

    def slow() -> bytes:
        with socket.create_connection(("127.0.0.1", 5000), timeout=120) as sock:
            sock.sendall(head.encode() + body[:-1])
            # The application waits for the last byte of the body while the server is told to end.
            clock.sleep(0.5)
            cloud.engine.kill("keystone-api")
            clock.sleep(1.5)
            sock.sendall(body[-1:])
            return b"".join(iter(lambda: sock.recv(65536), b""))

    answer = cloud.network.call(slow)
    assert answer.startswith(b"HTTP/1.1 201 "), answer[:200] + api.tail().encode()
    wait_for("the end of keystone", lambda: not api.is_running(), 60)
