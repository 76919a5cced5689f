# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Runs the stock openstack client inside an environment: in a pod that has it, with credentials that go in by its input.

They are read from the Secret, are on no command line and in no address, and end with the program.
"""

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.api import Api, Object
from pipeline.manifests.credentials import ADMIN, Credentials
from pipeline.manifests.jobs import CREDENTIALS, program
from pipeline.manifests.site import Site, services_of
from pipeline.sight import digest_of
from releases.environment import Environment
from releases.release import ReleaseContent
from stackway import clock
from stackway.errors import FailedError, UnavailableError

_STDIN, _STDOUT, _STDERR, _STATUS = range(4)
_LOOK_SECONDS = 1.0
_PIECE = 1 << 16


@dataclass(frozen=True)
class Ended:
    """How a program in a pod has ended: exit code, and what it wrote."""

    code: int
    content: bytes
    errors: str

    @property
    def output(self) -> str:
        """What it wrote, as text."""
        return self.content.decode("utf-8", "replace")


def site_of(content: ReleaseContent, environment: Environment) -> Site:
    """Return a release in an environment, for names and addresses: it knows no credentials."""
    return Site(content, environment, Credentials({}), services_of(content, environment))


def run_client(api: Api, site: Site, words: Sequence[str], seconds: float, given: bytes = b"") -> Ended:
    """Run `openstack` with these words as the cloud's administrator, what is `given` as its input; return how it ended.

    Raises UnavailableError when no pod has the client or there are no credentials, FailedError when it takes too long.
    """
    pod = client_pod(api.list("Pod", site.namespace)[0], site)
    environment = client_environment(site, _password(api, site))
    command = ["python3", "-c", program("launch.py"), "openstack", *words]
    container = pod["spec"]["containers"][0]["name"]
    path = f"/api/v1/namespaces/{site.namespace}/pods/{pod['metadata']['name']}/exec"
    query = [("container", container), *(("command", word) for word in command)]
    query += [(name, "true") for name in ("stdin", "stdout", "stderr")]
    stream = api.open_stream(path, query)
    try:
        head = {"environment": environment, "input": len(given)}
        stream.write_channel(_STDIN, json.dumps(head).encode() + b"\n")
        for start in range(0, len(given), _PIECE):
            stream.write_channel(_STDIN, given[start : start + _PIECE])
        return _read(stream, clock.monotonic() + seconds)
    finally:
        stream.close()


def client_pod(pods: Iterable[Object], site: Site) -> Object:
    """Return a pod that runs and has the client, in the release's own image if there is one.

    Before an upgrade and after one that went back another release's runs; its client does as well. Raises UnavailableError.
    """
    service = site.provider("client")
    digest = digest_of(site.image(service.name))
    having = [pod for pod in pods if _repository(_image(pod)) == service.name]
    running = [pod for pod in having if _is_running(pod)]
    if running:
        return min(running, key=lambda pod: (digest_of(_image(pod)) != digest, str(pod["metadata"]["name"])))
    name = site.environment.name
    raise UnavailableError(
        f"no pod in {name} has the openstack client and runs",
        details=f"namespace {site.namespace}, image {service.name}: {len(having)} pods have it, 0 of them run",
        resolution=f"`release deploy {name}` brings it with the prober; `release status {name}` says what keeps it.",
    )


def _image(pod: Object) -> str:
    return str(pod["spec"]["containers"][0]["image"])


def _repository(image: str) -> str:
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def _is_running(pod: Object) -> bool:
    status = pod.get("status") or {}
    states = [item.get("state") or {} for item in status.get("containerStatuses") or []]
    leaves = "deletionTimestamp" in pod["metadata"]
    return (
        status.get("phase") == "Running" and not leaves and bool(states) and all("running" in item for item in states)
    )


def client_environment(site: Site, password: str) -> dict[str, str]:
    """Return what the client finds in its environment: who asks, and where."""
    return {
        "OS_AUTH_URL": site.identity(),
        "OS_IDENTITY_API_VERSION": "3",
        "OS_USERNAME": "admin",
        "OS_PASSWORD": password,
        "OS_PROJECT_NAME": "admin",
        "OS_USER_DOMAIN_ID": "default",
        "OS_PROJECT_DOMAIN_ID": "default",
        "OS_REGION_NAME": site.environment.region,
        "HOME": "/tmp",  # noqa: S108 - the one place where the pod may write
    }


def _password(api: Api, site: Site) -> str:
    found = ((api.get("Secret", CREDENTIALS, site.namespace) or {}).get("data") or {}).get(ADMIN)
    if not found:
        raise UnavailableError(
            f"{site.environment.name} has no administrator's password yet",
            details=f"Secret {CREDENTIALS} in namespace {site.namespace}",
            resolution=f"`release deploy {site.environment.name}` makes it.",
        )
    return base64.b64decode(found).decode()


def _read(stream: Any, deadline: float) -> Ended:
    """Read until the program has ended. Raises FailedError after the deadline."""
    parts: dict[int, list[bytes]] = {_STDOUT: [], _STDERR: [], _STATUS: []}
    while True:
        is_open = stream.is_open()
        stream.update(timeout=_LOOK_SECONDS)
        for channel, found in parts.items():
            found.append(stream.read_channel(channel) or b"")
        if not is_open:
            break
        if clock.monotonic() > deadline:
            raise FailedError(
                "the openstack client does not come to an end",
                details=_text(parts[_STDERR])[-1000:],
                resolution="Give it more time with --timeout, or see `release status` for what does not answer.",
            )
    return Ended(exit_code(b"".join(parts[_STATUS])), b"".join(parts[_STDOUT]), _text(parts[_STDERR]))


def _text(parts: Iterable[bytes]) -> str:
    return b"".join(parts).decode("utf-8", "replace")


def exit_code(status: bytes) -> int:
    """Return the exit code in the status that ends a stream. Raises FailedError when the program could not be run."""
    try:
        found: Any = json.loads(status or b"{}")
    except ValueError:
        found = {}
    if found.get("status") == "Success":
        return 0
    causes = (found.get("details") or {}).get("causes") or []
    codes = [str(item.get("message")) for item in causes if item.get("reason") == "ExitCode"]
    if codes and codes[0].isdigit():
        return int(codes[0])
    raise FailedError(
        "the client could not be run in its pod",
        details=str(found.get("message") or "the stream ended without a status"),
        resolution="Run it again; if the pod goes away while it runs, `release status` says why.",
    )
