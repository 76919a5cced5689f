# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Environments of the real specs of this checkout, with images that have digests and nothing else."""

from functools import cache
from pathlib import Path
from typing import Any

from buildkit.catalog import load_catalog
from buildkit.sources import load_templates
from pipeline.manifests.credentials import Credentials, names
from pipeline.manifests.site import Site, services_of
from releases.bundle import BundleInputs, ImageInput, bundle
from releases.environment import Environment
from releases.release import ReleaseContent, read_content
from releases.version import ReleaseVersion
from tests.fakes.releases import image

ROOT = Path(__file__).parents[2]


@cache
def content(version: str = "2026.1.0") -> ReleaseContent:
    """Return a release of all real specs of a series."""
    parsed, blobs = ReleaseVersion.parse(version), dict[str, bytes]()
    catalog = load_catalog(ROOT)
    images = tuple(
        ImageInput(item, catalog.base_of(item), image(blobs, item.image, item.image.encode()), {"builder": "none"})
        for item in catalog.members(parsed.series)
    )
    library = load_templates(catalog)
    texts = {name: text for name, text in library.texts.items() if "/templates/" in library.places[name]}
    made = bundle(BundleInputs(parsed, catalog.series[parsed.series].spec, images, {}, texts))
    files = {item.blob.digest: item.content for item in (made.config, *made.files.values())}
    return read_content(made.manifest, lambda blob: files[blob.digest])


def site(version: str = "2026.1.0", **written: Any) -> Site:
    """Return that release in an environment."""
    given = {"name": "dev", "summary": "of the tests", "development": True, "cluster": {"namespace": "dev"}, **written}
    environment = Environment.model_validate(given)
    services = services_of(content(version), environment)
    credentials = Credentials({name: f"secret of {name}" for name in names(services.values())})
    return Site(content(version), environment, credentials, services)
