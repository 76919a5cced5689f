# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Reads all that a build depends on and plans it. Touches nothing, calls no engine, uses no network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit.catalog import Catalog
from buildkit.context import BuildContext, ImageSources, Toolset, make_context, make_recipe
from buildkit.dockerfile import render_dockerfile, slug
from buildkit.lockfiles import load_locks
from buildkit.models import Override, Service
from buildkit.questions import expired, expiring, overrides
from buildkit.sources import load_example, load_recipes, load_templates
from stackway import clock
from stackway.documents import Document
from stackway.errors import Problem, WrongInputError
from stackway.files import read_json
from stackway.tools.versions import pinned_version

if TYPE_CHECKING:
    from buildkit.checkout import Checkout
    from buildkit.plan import BuildPlan, BuildRecord
    from buildkit.store import Store

Judge = Callable[[Mapping[str, Override], Document, date], list[Problem]]


@dataclass(frozen=True)
class PreparedBuild:
    """A plan, and the contexts it was made from (image → context)."""

    plan: "BuildPlan"
    contexts: Mapping[str, BuildContext]
    tools: Toolset


def prepare(checkout: "Checkout", services: Sequence[Service], *, force: str = "") -> PreparedBuild:
    """Return the plan for `services`. Touches nothing and calls no engine.

    Raises WrongInputError for specs, locks or templates that cannot be used, and for expired overrides.
    """
    from buildkit.plan import Known, plan_build

    _refuse_expired(checkout.catalog, services)
    tools = toolset()
    contexts = make_contexts(checkout.catalog, services, tools, checkout.state / "templates")
    known = Known(load_records(checkout.records), find_damage(checkout.store, checkout.records))
    plan = plan_build({image: context.inputs for image, context in contexts.items()}, known, force=force)
    return PreparedBuild(plan, contexts, tools)


def make_contexts(
    catalog: Catalog, services: Sequence[Service], tools: Toolset, templates: Path | None = None
) -> dict[str, BuildContext]:
    """Return image → context. Raises WrongInputError for locks that do not match or templates that cannot be rendered."""
    locks = load_locks(catalog, services)
    example, library = load_example(catalog), load_templates(catalog, templates)
    contexts = {}
    for service in services:
        base, texts = catalog.base_of(service), library.of(service.name)
        sources = ImageSources(service, base, locks[service.image], texts, example, catalog.keep_tests(service))
        contexts[service.image] = make_context(sources, tools)
    return contexts


def _refuse_expired(catalog: Catalog, services: Sequence[Service]) -> None:
    today = clock.now().date()
    problems = {problem for service in services for problem in _override_problems(catalog, service, today, expired)}
    if problems:
        raise WrongInputError.from_problems("overrides have expired", problems)


def _override_problems(catalog: Catalog, service: Service, today: date, judge: Judge) -> list[Problem]:
    found = judge(service.overrides, catalog.services[service.name, service.series].document, today)
    if service.layout == "python":
        series = catalog.series[service.series]
        inherited = {
            name: item for name, item in overrides(service, series.spec).items() if name not in service.overrides
        }
        found += judge(inherited, series.document, today)
    return found


def load_records(folder: Path) -> "dict[str, BuildRecord]":
    """Return image → record of its last good build; a record that cannot be read counts as none."""
    from buildkit.plan import BuildRecord

    found = {}
    for path in folder.glob("*.json"):
        try:
            content = read_json(path)
            found[content["image"]] = BuildRecord(content["image"], dict(content["inputs"]), content["digest"])
        except (WrongInputError, KeyError, TypeError, ValueError):
            continue
    return found


def find_damage(store: "Store", records: Path) -> dict[str, str]:
    """Return image → what is wrong with it in the store, for recorded images."""
    images, found = store.images(), {}
    for name, record in load_records(records).items():
        image = images.get(name)
        if image is None or image.manifest.digest != record.digest:
            found[name] = "it is not in the store"
        elif wrong := store.check(image):
            found[name] = "; ".join(wrong)
    return found


def builder_version() -> str:
    """Return the version of moby BuildKit that images are built with wherever we may choose it."""
    return f"BuildKit {pinned_version('buildkitd')}"


def toolset() -> Toolset:
    """Return what builds beside the packages."""
    return Toolset(load_recipes(), pinned_version("uv"), builder_version())


def check_specs(checkout: "Checkout", services: Sequence[Service]) -> list[str]:
    """Check specs, locks, templates and overrides; return warnings. Raises WrongInputError for what cannot be used."""
    catalog = checkout.catalog
    _refuse_expired(catalog, services)
    make_contexts(catalog, services, toolset(), checkout.state / "templates")
    today = clock.now().date()
    found = {str(problem) for service in services for problem in _override_problems(catalog, service, today, expiring)}
    return sorted(found)


def render_all(catalog: Catalog, services: Sequence[Service], templates: Path | None = None) -> dict[str, str]:
    """Return file name → text of all that is rendered for the images: Dockerfiles, files, checks, example configuration.

    Raises WrongInputError for locks that do not match or templates that cannot be rendered.
    """
    texts = {}
    for context in make_contexts(catalog, services, toolset(), templates).values():
        texts[f"{context.slug}/Dockerfile"] = context.dockerfile
        texts[f"{context.slug}/smoke/check.sh"] = context.smoke
        texts |= {f"{context.slug}/image{path}": text for path, (text, _) in context.files.items()}
        texts |= {f"{context.slug}/deployment{path}": text for path, text in context.smoke_files.items()}
    return texts


def render_dockerfiles(catalog: Catalog, services: Sequence[Service], templates: Path | None = None) -> dict[str, str]:
    """Return file name → text of the Dockerfiles alone: no other template is rendered for them. Raises as `render_all`."""
    locks, library = load_locks(catalog, services), load_templates(catalog, templates)
    texts = {}
    for service in services:
        base, keep_tests = catalog.base_of(service), catalog.keep_tests(service)
        recipe = make_recipe(service, base, locks[service.image], keep_tests)
        texts[f"{slug(service)}/Dockerfile"] = render_dockerfile(recipe, library.of(service.name))
    return texts
