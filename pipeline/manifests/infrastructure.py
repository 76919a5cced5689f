# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What an environment needs before its first service: namespace, credentials, keys, databases' statements, disks. Pure."""

from collections.abc import Iterator

from buildkit.models import Service
from pipeline.manifests import objects
from pipeline.manifests.jobs import CREDENTIALS
from pipeline.manifests.objects import ENVIRONMENT, RELEASE, Object, labels, make
from pipeline.manifests.site import Site

_SECURITY = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}


def namespace(site: Site) -> Object:
    """Return the namespace, in which only pods without privileges may run."""
    own = {**labels("namespace"), **_SECURITY, ENVIRONMENT: site.environment.name, RELEASE: str(site.content.version)}
    return make("Namespace", site.namespace, own)


def credentials(site: Site) -> Object:
    """Return the Secret of all credentials. It has one name for ever: it is made once."""
    item = objects.secret(CREDENTIALS, labels(CREDENTIALS), dict(site.credentials.values))
    item["metadata"]["name"] = CREDENTIALS
    del item["immutable"]
    return item


def keys(service: str, volume: str, files: dict[str, str]) -> Object:
    """Return a Secret that a service's volume of secrets mounts; its content is drawn once."""
    item = objects.secret(f"{service}-{volume}", labels(service), files)
    item["metadata"]["name"] = f"{service}-{volume}"
    del item["immutable"]
    return item


def database_statements(site: Site) -> str:
    """Return what the database runs at each start: one statement a line, each of which may be run again."""
    return "".join(f"{line};\n" for service in site.services.values() for line in _statements(site, service))


def _statements(site: Site, service: Service) -> Iterator[str]:
    if not service.database.schemas:
        return
    password = site.credentials.database(service.name)
    yield f"CREATE USER IF NOT EXISTS '{service.name}'@'%' IDENTIFIED BY '{password}'"
    yield f"ALTER USER '{service.name}'@'%' IDENTIFIED BY '{password}'"
    for schema in service.database.schemas:
        yield f"CREATE DATABASE IF NOT EXISTS `{schema}`"
        yield f"GRANT ALL PRIVILEGES ON `{schema}`.* TO '{service.name}'@'%'"


def claims(site: Site) -> Iterator[Object]:
    """Yield the claims of volumes that outlive pods."""
    for service in site.services.values():
        for name, volume in service.volumes.items():
            if volume.source == "claim":
                mode = "ReadWriteMany" if volume.shared else "ReadWriteOnce"
                spec = {"accessModes": [mode], "resources": {"requests": {"storage": volume.size}}}
                yield make("PersistentVolumeClaim", f"{service.name}-{name}", labels(service.name), spec=spec)
