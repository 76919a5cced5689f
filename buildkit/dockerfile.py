# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""From a resolved spec to the text of its Dockerfile. Pure: no environment, no clock, no date; equal specs, equal text."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from buildkit.configuration import Templates
from buildkit.layering import Arrangement
from buildkit.locks import Pin
from buildkit.models import Base, Service

LABEL_PREFIX = "dev.stackway"
UWSGI_FOLDER = "/etc/stackway/uwsgi"


@dataclass(frozen=True)
class PackageCounts:
    """How many Debian packages each stage installs."""

    os: int
    interpreter: int
    own: int


@dataclass(frozen=True)
class Stage:
    """A stage that installs Python files: its name, the folder of the context that holds them, and what to say of it."""

    stage: str
    folder: str
    about: str
    pins: tuple[Pin, ...]
    kept: tuple[str, ...] = ()  # distributions that keep their tests

    @property
    def packages(self) -> str:
        """The name under which the builder knows the folder."""
        return f"packages-{self.folder.rpartition('/')[2]}"


@dataclass(frozen=True)
class Recipe:
    """Everything that a Dockerfile's text depends on."""

    service: Service
    base: Base
    counts: PackageCounts
    arrangement: Arrangement
    keep_tests: frozenset[str] = frozenset()


def slug(service: Service) -> str:
    """Return the image's name in file names: `keystone-2026.1`."""
    return f"{service.name}-{service.series}"


def stages(recipe: Recipe) -> list[Stage]:
    """Return the stages that install Python files: shared layers first, then the image's own, then what replaces."""
    service, name = recipe.service, slug(recipe.service)
    # Not who shares it: an image that comes or goes would change the Dockerfiles of all others.
    share = f"Python distributions that images of {service.series} share."
    found = [
        (layer.name, f"{service.series}-{layer.name}", layer.pins, share) for layer in recipe.arrangement.shared
    ] + [
        (stage, f"{name}-{stage}", pins, f"Python distributions {about}.")
        for stage, pins, about in (
            ("own", recipe.arrangement.own, "of its own"),
            ("replaced", recipe.arrangement.replaced, "in place of shared ones"),
        )
        if pins
    ]
    return [
        Stage(f"python-{stage}", f"python/{folder}", f"{len(pins)} {about}", pins, _kept(recipe, pins))
        for stage, folder, pins, about in found
    ]


def _kept(recipe: Recipe, pins: Iterable[Pin]) -> tuple[str, ...]:
    return tuple(sorted(pin.name for pin in pins if pin.name in recipe.keep_tests))


def labels(service: Service) -> dict[str, str]:
    """Return the image's labels: what it is, in OCI's and our own keys. No date, so that equal inputs give equal images."""
    return {
        "org.opencontainers.image.title": service.name,
        "org.opencontainers.image.version": service.version,
        "org.opencontainers.image.description": service.summary,
        "org.opencontainers.image.licenses": service.licenses,
        f"{LABEL_PREFIX}.series": service.series,
        **service.labels,
    }


def default_command(service: Service) -> tuple[str, ...]:
    """Return what a container of the image runs when nobody says otherwise: its first process."""
    for name, process in service.processes.items():
        return process_command(name, process.command)
    return ()


def process_command(name: str, command: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the program and arguments of a process; a WSGI application runs under uWSGI with the file of its name."""
    return command or ("pyuwsgi", "--ini", f"{UWSGI_FOLDER}/{name}.ini")


def render_dockerfile(recipe: Recipe, templates: Templates) -> str:
    """Return the Dockerfile of one image."""
    return templates.render(f"{recipe.service.layout}.Dockerfile.j2", _values(recipe))


def _values(recipe: Recipe) -> dict[str, Any]:
    service, arrangement = recipe.service, recipe.arrangement
    found = stages(recipe)
    replaced = next((stage for stage in found if stage.stage == "python-replaced"), None)
    ports = {port for process in service.processes.values() for port in (process.port, *process.ports.values()) if port}
    return {
        "image": service.image,
        "slug": slug(service),
        "source": f"images/{service.name}",
        "base": recipe.base.name,
        "python": recipe.base.python,
        "is_python": service.layout == "python",
        "system": asdict(recipe.counts),
        "user": service.user,
        "layers": found,
        "copied": [stage for stage in found if stage is not replaced],
        "amended": arrangement.amended,
        "replaced": replaced,
        "environment": sorted(service.environment.items()),
        "labels": sorted(labels(service).items()),
        "ports": sorted(ports),
        "command": default_command(service),
        "checked": checked_files(service),
    }


def checked_files(service: Service) -> list[str]:
    """Return the paths at which the smoke stage finds the example's configuration, file by file as a deployment mounts it."""
    return sorted(file.path for file in service.config.values() if file.render == "deployment")


def smoke_script(service: Service) -> str:
    """Return the shell script of the smoke stage: every check of the spec, each shown before it runs."""
    smoke = service.checks.smoke
    lines = [
        "#!/bin/sh",
        f"# Checks of {service.image}; each must end with exit code 0. Runs as the image's user, with no network.",
        "set -u",
        "export HOME=/tmp TMPDIR=/tmp PYTHONDONTWRITEBYTECODE=1",
        "check() {",
        '    printf "+ %s\\n" "$*"',
        '    "$@" </dev/null >/tmp/check.log 2>&1 && return',
        '    cat /tmp/check.log; printf "FAILED: %s\\n" "$*"; exit 1',
        "}",
        f'check test "$(id -u)" = {service.user.uid}',
        "check test ! -w /etc -a ! -w /usr/bin",
    ]
    if service.layout == "python":
        lines += [
            "check test ! -w /opt/venv",
            "find /opt/venv -name '*.so*' -type f -exec ldd {} + >/tmp/libraries 2>&1",
            "check sh -c '! grep \"not found\" /tmp/libraries'",
        ]
    preloaded = [module for process in service.processes.values() for module in process.preload]
    checks = [f"import {module}" for module in dict.fromkeys([*preloaded, *smoke.imports])]
    checks += [shlex.join(command) for command in (*smoke.commands, *_validators(service))]
    if service.layout == "python" and checks:
        lines.append(" \\\n    ".join(["python3 /mnt/checks.py", *(shlex.quote(check) for check in checks)]))
    else:
        lines += [f"check {check}" for check in checks]
    return "\n".join(lines) + "\n"


def _validators(service: Service) -> Iterable[list[str]]:
    """Yield the commands by which the service's own parser reads its configuration."""
    for path, namespaces in service.checks.smoke.options.items():
        names = [word for namespace in namespaces for word in ("--namespace", namespace)]
        yield ["oslo-config-validator", *names, "--input-file", path]


def image_files(service: Service, templates: Templates) -> dict[str, tuple[str, int]]:
    """Return path → (text, mode) of the files that no environment changes and that the image therefore carries."""
    values: dict[str, Any] = {"service": service, "settings": service.settings}
    found = {
        file.path: (templates.render(file.template, values), int(file.mode, 8))
        for file in service.config.values()
        if file.render == "image"
    }
    for name, process in service.processes.items():
        if process.wsgi:
            bind = {"name": name, "wsgi": process.wsgi, "port": process.port, "preload": process.preload}
            text = templates.render("uwsgi.ini.j2", {**values, "process": bind})
            found[f"{UWSGI_FOLDER}/{name}.ini"] = (text, 0o644)
    return found


def deployment_files(service: Service, templates: Templates, values: Mapping[str, Any]) -> dict[str, str]:
    """Return path → text of the files that are rendered for an environment, with the environment's `values`."""
    context = {**values, "service": service, "settings": {**service.settings, **values.get("settings", {})}}
    return {
        file.path: templates.render(file.template, context)
        for file in service.config.values()
        if file.render == "deployment"
    }
