# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""An environment as tests see it: by the program `release`, by the Kubernetes API, and by requests to its services."""

import base64
import json
import os
import signal
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import requests

from pipeline.api import Api, Object, open_api
from stackway import clock, process
from stackway.process import Command, Completed
from tests.integration.builder import REPOSITORY

_KUBECONFIG = REPOSITORY / ".stackway/cluster/kubeconfig"


def tell(line: str) -> None:
    """Show a figure that was seen; nothing is decided by it."""
    sys.stderr.write(f"{line}\n")


def run_release(*words: str, check: bool = True) -> Completed:
    """Run the program `release` as a person would."""
    arguments = (sys.executable, "-m", "pipeline.cli", *words)
    return process.run(Command(arguments, directory=REPOSITORY), check=check, on_stderr=tell)


def release(*words: str) -> Any:
    """Run the program `release` and return what it says as data."""
    return json.loads(run_release(*words, "--output", "json").stdout)


def kill_release(seconds: float, *words: str) -> int:
    """Run the program `release`, kill it after some time, and return how it ended."""
    arguments = ("timeout", "--signal=KILL", str(seconds), sys.executable, "-m", "pipeline.cli", *words)
    return process.run(Command(arguments, directory=REPOSITORY), check=False).code


def cluster_runs() -> bool:
    return _KUBECONFIG.exists() and bool(release("cluster", "status").get("running"))


class Cloud:
    """One environment on the local cluster."""

    def __init__(self, name: str, killed: tuple[int, ...] = ()) -> None:
        self.name = name
        self.killed = killed

    @cached_property
    def api(self) -> Api:
        return open_api(str(_KUBECONFIG), None)

    def openstack(self, *words: str) -> Any:
        """Run the stock client and return what it says as data."""
        return json.loads(self.client(*words, "-f", "json"))

    def client(self, *words: str) -> str:
        """Run the stock client and return what it writes."""
        return run_release("client", self.name, "--", *words).stdout

    def pods(self, service: str, process_name: str) -> list[Object]:
        """Return the pods of a process, the oldest first."""
        found = [
            pod
            for pod in self.api.list("Pod", self.name)[0]
            if pod["metadata"]["labels"].get("app.kubernetes.io/name") == service
            and pod["metadata"]["labels"].get("app.kubernetes.io/component") == process_name
        ]
        return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def ready(self, service: str, process_name: str) -> int:
        """Return how many pods of a process are ready."""
        return sum(
            condition["type"] == "Ready" and condition["status"] == "True"
            for pod in self.pods(service, process_name)
            for condition in pod.get("status", {}).get("conditions", [])
            if "deletionTimestamp" not in pod["metadata"]
        )

    def address(self, service: str, path: str) -> str:
        """Return the address of a Service of this machine's own cluster."""
        spec = self.api.get("Service", service, self.name)
        assert spec is not None, service
        return f"http://{spec['spec']['clusterIP']}:{spec['spec']['ports'][0]['port']}{path}"

    @cached_property
    def password(self) -> str:
        secret = self.api.get("Secret", "credentials", self.name)
        assert secret is not None
        return base64.b64decode(secret["data"]["admin"]).decode()

    @cached_property
    def login(self) -> tuple[str, str]:
        """A token of the administrator and the id of its project."""
        domain = {"id": "default"}
        identity = {
            "methods": ["password"],
            "password": {"user": {"name": "admin", "domain": domain, "password": self.password}},
        }
        body = {"auth": {"identity": identity, "scope": {"project": {"name": "admin", "domain": domain}}}}
        answer = requests.post(self.address("keystone-api", "/v3/auth/tokens"), json=body, timeout=30)
        answer.raise_for_status()
        return answer.headers["X-Subject-Token"], str(answer.json()["token"]["project"]["id"])

    @cached_property
    def addresses(self) -> dict[str, str]:
        """One cheap real request of each API: it goes through keystone and the database."""
        return {
            "keystone": self.address("keystone-api", "/v3/auth/projects"),
            "glance": self.address("glance-api", "/v2/images?limit=1"),
            "placement": self.address("placement-api", "/resource_providers"),
            "nova": self.address("nova-api", "/v2.1/servers?limit=1"),
            "neutron": self.address("neutron-api", "/v2.0/networks?limit=1"),
            "cinder": self.address("cinder-api", f"/v3/{self.login[1]}/volumes?limit=1"),
        }

    def processes(self, pod: Object) -> list[int]:
        """Return the processes of a pod of this machine's own cluster, without the one that holds its namespaces."""
        uid = pod["metadata"]["uid"]
        found = []
        for path in Path("/proc").glob("[0-9]*/cgroup"):
            try:
                own = uid in path.read_text() and b"pause" not in (path.parent / "cmdline").read_bytes()
            except OSError:
                continue
            found += [int(path.parent.name)] if own else []
        return sorted(found)

    def workers(self, pod: Object) -> list[int]:
        """Return the processes of a pod that another of its processes has started."""
        own = self.processes(pod)
        return [pid for pid in own if parent_of(pid) in own]

    def signal(self, pids: list[int], number: signal.Signals) -> None:
        assert pids
        for pid in pids:
            os.kill(pid, number)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def is_alive(pid: int) -> bool:
    """Tell whether a process still does something; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(what: str, done: Callable[[], bool], seconds: float) -> float:
    """Wait until something holds; return how long it took. Fails when it takes longer."""
    begin = clock.monotonic()
    while not done():
        assert clock.monotonic() - begin < seconds, f"{what}: not within {seconds} s"
        clock.sleep(0.2)
    return clock.monotonic() - begin
