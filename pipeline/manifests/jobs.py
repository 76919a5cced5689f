# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Work that is done once for a state of things: database phases, bootstrap, keystone's catalogue. Pure.

A job's name changes with all that it does, so one that has been done stays done, and a new one is made when something differs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

from buildkit.models import Amounts, Command, Resources, Service
from pipeline.manifests import objects
from pipeline.manifests.configuration import Configuration
from pipeline.manifests.objects import Object, labels, make
from pipeline.manifests.pods import identity, mounts, resources, secured
from pipeline.manifests.site import Site
from releases.environment import ExternalDatabase
from stackway.files import canonical_json

PHASES = ("expand", "migrate", "contract")
CREDENTIALS = "credentials"
_SECONDS = 900
_RESOURCES = Resources(requests=Amounts(cpu="100m", memory="128Mi"), limits=Amounts(memory="1Gi"))
_BACKUP_SECONDS = 3600
_FOLDER = "/run/stackway"
# What the check ends with when it has said no: to run it again would change nothing.
_NO = 3


@dataclass(frozen=True)
class _Work:
    """A program that runs inside the cluster, and the files that it reads there."""

    command: tuple[str, ...]
    files: Mapping[str, str]
    seconds: int = _SECONDS
    final: tuple[int, ...] = ()  # exit codes after which it is not tried again


def program(name: str) -> str:
    """Return the text of a program that runs inside the cluster."""
    return (files("pipeline") / "programs" / name).read_text(encoding="utf-8")


def _python(name: str, plan: Mapping[str, Any]) -> _Work:
    texts = {"program.py": program(f"{name}.py"), "plan.json": canonical_json(plan).decode()}
    return _Work(("python3", f"{_FOLDER}/program.py", f"{_FOLDER}/plan.json"), texts)


def phase_commands(service: Service, phases: Iterable[str]) -> list[Command]:
    """Return the commands of database phases, in order."""
    return [command for phase in PHASES if phase in set(phases) for command in getattr(service.database, phase)]


def service_job(
    site: Site, configuration: Configuration, what: str, commands: Iterable[Command], *, more: int | None = None
) -> list[Object]:
    """Return the job that runs a service's own commands in the service's own image and configuration, with its files.

    With `more` each is run again as long as it ends with that exit code: it does a batch at a time.
    """
    service = configuration.service
    listed = list(commands)
    again = {} if more is None else {"more": more}
    plan = {"commands": [{**_command(item), **again} for item in listed]}
    env = [secret_env(name, _CREDENTIAL_OF[name]) for item in listed for name in item.secret_environment]
    env += [
        {"name": name, "value": _filled(site, service, value)}
        for item in listed
        for name, value in sorted(item.environment.items())
    ]
    return _job(site, service, what, _python("run", plan), (env, list(mounts(configuration, None))))


def check_job(site: Site, configuration: Configuration) -> list[Object]:
    """Return the job in which a service's new code looks at the old one's data and at its own configuration."""
    check = configuration.service.checks.upgrade
    if check is None:
        return []
    work = replace(_python("check", {"run": list(check.run), "allow": dict(check.allow)}), final=(_NO,))
    return _job(site, configuration.service, "check", work, ([], list(mounts(configuration, None))))


def backup_job(site: Site, database: Service) -> list[Object]:
    """Return the job that dumps all schemas of an environment's own database server to a volume, and that volume.

    With `rollout.backup: proved` each dump is restored into a server of the job's own, and dumped again: both must be equal.
    """
    claim = f"{database.name}-backup"
    sizes = [volume.size for volume in database.volumes.values() if volume.source == "claim"]
    size = next((size for size in sizes if size), "10Gi")
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    users = [service for service in site.openstack if service.database.schemas]
    host, _, port = site.hosts("database")[0].partition(":")
    plain = {
        "DATABASE_HOST": host,
        "DATABASE_PORT": port or "3306",
        "BACKUP": str(site.content.version),
        "PROVE": "yes" if site.environment.rollout.backup == "proved" else "no",
        "DATABASES": "\n".join(
            f"{number} {service.name} {' '.join(service.database.schemas)}" for number, service in enumerate(users)
        ),
    }
    env: list[Object] = [{"name": name, "value": value} for name, value in plain.items()]
    env += [secret_env(f"PASSWORD_{number}", f"database.{service.name}") for number, service in enumerate(users)]
    work = _Work(("/bin/sh", f"{_FOLDER}/backup.sh"), {"backup.sh": program("backup.sh")}, _BACKUP_SECONDS)
    mounted = [_mount("backup", "/backup", persistentVolumeClaim={"claimName": claim})]
    mounted += [_mount("proof", "/proof", emptyDir={"sizeLimit": size}), _mount("tmp", "/tmp", emptyDir=_IN_MEMORY)]  # noqa: S108
    volume = make("PersistentVolumeClaim", claim, labels(database.name), spec=spec)
    return [volume, *_job(site, database, "backup", work, (env, mounted))]


def _mount(name: str, path: str, **volume: Any) -> tuple[Object, Object]:
    return {"name": name, **volume}, {"name": name, "mountPath": path}


def accounts_job(site: Site, server: ExternalDatabase, statements: str) -> list[Object]:
    """Return the job that makes databases and users in a server from outside, and what it reads.

    It runs in the identity service's image, which has a database client as every service has; the administrator's name and
    password come from the site's own Secret and are known to nothing else.
    """
    service = site.provider("identity")
    texts = objects.secret("database-accounts", labels(service.name), {"statements.sql": statements})
    env = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": server.secret, "key": key}}}
        for name, key in (("DATABASE_USER", "user"), ("DATABASE_PASSWORD", "password"))
    ]
    volume: Object = {"name": "statements", "secret": {"secretName": objects.name_of(texts), "defaultMode": 0o440}}
    mount: Object = {"name": "statements", "mountPath": "/run/statements", "readOnly": True}
    plan = {"host": server.host, "port": server.port, "statements": "/run/statements/statements.sql"}
    return [texts, *_job(site, service, "accounts", _python("accounts", plan), (env, [(volume, mount)]))]


_IN_MEMORY = {"medium": "Memory", "sizeLimit": "16Mi"}
_CREDENTIAL_OF = {"OS_BOOTSTRAP_PASSWORD": "admin"}


def catalog_job(site: Site) -> list[Object]:
    """Return the job that makes keystone know users, services and endpoints."""
    users = [name for name in site.credentials.values if name.startswith("user.")]
    plan = {
        "url": site.identity(),
        "region": site.environment.region,
        "users": [name.removeprefix("user.") for name in users],
        "services": [
            {
                "type": entry.type,
                "name": entry.name,
                "description": entry.summary,
                "url": site.address(service, entry.process, entry.path),
            }
            for service in site.openstack
            for entry in service.catalog
        ],
    }
    env = [secret_env("ADMIN_PASSWORD", "admin")]
    env += [secret_env(f"PASSWORD_{name.removeprefix('user.').upper()}", name) for name in users]
    client = site.provider("client")
    given = [_mount("tmp", "/tmp", emptyDir=_IN_MEMORY)]  # noqa: S108 - a memory of its own
    return _job(site, client, "catalog", _python("catalog", plan), (env, given))


def _command(command: Command) -> dict[str, Any]:
    unless = command.unless
    condition = {"unless": {"run": list(unless.run), "contains": unless.contains}} if unless else {}
    return {"run": list(command.run), **condition}


def _filled(site: Site, service: Service, value: str) -> str:
    """Return a value with `{region}` and `{address}` in it filled in."""
    entry = service.catalog[0] if service.catalog else None
    address = site.address(service, entry.process, entry.path) if entry else ""
    return value.replace("{region}", site.environment.region).replace("{address}", address)


def secret_env(name: str, key: str) -> Object:
    """Return an environment variable that holds a credential."""
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": CREDENTIALS, "key": key}}}


def _job(
    site: Site,
    service: Service,
    what: str,
    work: _Work,
    given: tuple[list[Object], list[tuple[Object, Object]]],
) -> list[Object]:
    env, mounted = given
    own = labels(service.name, what)
    holder = objects.config_map(f"{service.name}-{what}", own, work.files)
    volumes = [volume for volume, _ in mounted]
    volumes.append({"name": "stackway", "configMap": {"name": objects.name_of(holder)}})
    container = {
        "name": what,
        "image": site.image(service.name),
        "imagePullPolicy": site.pull_policy,
        "command": list(work.command),
        "env": env,
        "securityContext": secured(),
        "resources": resources(site, _RESOURCES),
        "volumeMounts": [
            *(mount for _, mount in mounted),
            {"name": "stackway", "mountPath": _FOLDER, "readOnly": True},
        ],
    }
    pod = {
        **identity(service),
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "containers": [container],
        "volumes": volumes,
    }
    spec = {
        "backoffLimit": 4,
        "activeDeadlineSeconds": work.seconds,
        **_given_up(work.final),
        "template": {"metadata": {"labels": own}, "spec": pod},
    }
    job = make("Job", f"{service.name}-{what}-{objects.short_hash(spec)}", own, "batch/v1", spec=spec)
    return [holder, job]


def _given_up(codes: tuple[int, ...]) -> Object:
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": list(codes)}}
    return {"podFailurePolicy": {"rules": [rule]}} if codes else {}
