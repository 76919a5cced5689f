# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""From a spec and its locks to everything a builder gets for one image, and the digest of each part. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from buildkit.configuration import Templates
from buildkit.dockerfile import (
    PackageCounts,
    Recipe,
    Stage,
    deployment_files,
    image_files,
    labels,
    render_dockerfile,
    slug,
    smoke_script,
    stages,
)
from buildkit.layering import arrange
from buildkit.lockfiles import ImageLocks
from buildkit.locks import PythonLock, SystemLock
from buildkit.models import Base, Service
from stackway.files import digest_bytes, digest_json


@dataclass(frozen=True)
class Toolset:
    """What builds beside the packages: our recipes (name → text), uv, and the builder, by version."""

    recipes: Mapping[str, str]
    uv: str
    builder: str


@dataclass(frozen=True)
class BuildContext:
    """One image's part of a build: texts, the packages they install, and `inputs` (what it is made of → its digest)."""

    service: Service
    base: Base
    dockerfile: str
    stages: tuple[Stage, ...]
    files: Mapping[str, tuple[str, int]]
    smoke: str
    smoke_files: Mapping[str, str]
    locks: ImageLocks
    inputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """The image's name in file names."""
        return slug(self.service)

    @property
    def folders(self) -> dict[str, str]:
        """Name → folder below the build context, of all packages and tools; each is sent to a builder once for all images."""
        base = self.base.name
        found = {f"debs-{base}-os": f"debs/{base}-os"}
        if self.service.layout == "python":
            found |= {f"debs-{base}-interpreter": f"debs/{base}-interpreter"}
        if self.locks.system.packages:
            found |= {f"debs-{self.slug}": f"debs/{self.slug}"}
        found |= {stage.packages: stage.folder for stage in self.stages}
        return {**found, **({"tools": "tools"} if self.stages else {})}

    @property
    def digest(self) -> str:
        """The digest of all inputs: equal digests, equal images."""
        return digest_json(dict(self.inputs))


@dataclass(frozen=True)
class ImageSources:
    """What the context of one image is made from."""

    service: Service
    base: Base
    locks: ImageLocks
    templates: Templates
    example: Mapping[str, Any]
    keep_tests: frozenset[str] = frozenset()


def make_recipe(service: Service, base: Base, locks: ImageLocks, keep_tests: frozenset[str]) -> Recipe:
    """Return what the Dockerfile of one image depends on."""
    counts = PackageCounts(
        len(locks.base.os.packages), len(locks.base.interpreter.packages), len(locks.system.packages)
    )
    return Recipe(service, base, counts, arrange(service.name, locks.python, locks.layers), keep_tests)


def make_context(sources: ImageSources, tools: Toolset) -> BuildContext:
    """Return the context of one image. Raises WrongInputError for a template that cannot be rendered."""
    service, locks, templates = sources.service, sources.locks, sources.templates
    recipe = make_recipe(service, sources.base, locks, sources.keep_tests)
    context = BuildContext(
        service,
        sources.base,
        render_dockerfile(recipe, templates),
        tuple(stages(recipe)),
        image_files(service, templates),
        smoke_script(service),
        deployment_files(service, templates, sources.example),
        locks,
    )
    return BuildContext(**{**vars(context), "inputs": dict(_inputs(context, tools))})


def _inputs(context: BuildContext, tools: Toolset) -> dict[str, str]:
    """Return what the image is made of, in words that a person can compare: they become the reasons of a plan."""
    service, locks = context.service, context.locks
    found = {
        "Dockerfile": digest_bytes(context.dockerfile.encode()),
        "epoch": str(locks.base.epoch),
        "builder": tools.builder,
        **{f"label {key}": value for key, value in labels(service).items()},
        **{f"variable {key}": value for key, value in service.environment.items()},
        **_packages(locks.base.os),
        **_packages(locks.system),
        "smoke checks": digest_bytes(context.smoke.encode()),
        **{
            f"recipe {name}": digest_bytes(text.encode())
            for name, text in tools.recipes.items()
            if name in context.dockerfile
        },
        **{f"file {path}": f"{mode:o} {digest_bytes(text.encode())}" for path, (text, mode) in context.files.items()},
        **{f"configuration {path}": digest_bytes(text.encode()) for path, text in context.smoke_files.items()},
    }
    if context.base.usr_merge:
        found["merged /usr"] = "yes"
    if service.directories:
        found["directories"] = " ".join(service.directories)
    if service.layout == "python":
        found |= {**_packages(locks.base.interpreter), **_distributions(locks.python), "uv": tools.uv}
        if needs_backends(context):
            found |= _distributions(locks.base.backends)
    return found


def needs_backends(context: BuildContext) -> bool:
    """Tell whether some distribution has no wheel and is built in its stage."""
    return any(not pin.filename.endswith(".whl") for stage in context.stages for pin in stage.pins)


def _packages(lock: SystemLock) -> dict[str, str]:
    return {f"system package {item.name}": f"{item.version} {item.digest}" for item in lock.packages}


def _distributions(lock: PythonLock) -> dict[str, str]:
    return {f"Python package {pin.name}": f"{pin.version} {pin.digest}" for pin in lock.pins}
