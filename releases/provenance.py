# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""SLSA v1 provenance of an image, from the record of its build: what it was made of, and by what. Pure, without times.

Source: slsa.dev/spec/v1.0/provenance. Equal inputs give equal provenance, so it can be part of a reproducible release.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from buildkit.models import Service

BUILD_TYPE = "urn:stackway:build:v1"
_PACKAGE = re.compile(r"(Python|system) package (\S+)\Z")
_PINNED = re.compile(r"(\S+) sha256:([0-9a-f]{64})\Z")
_DIGEST = re.compile(r"(?:.* )?sha256:([0-9a-f]{64})\Z")


def make_provenance(service: Service, spec: str, inputs: Mapping[str, str]) -> dict[str, Any]:
    """Return the predicate for a service's image; `spec` is the digest of its resolved spec, `inputs` as its build recorded."""
    others = {name: value for name, value in sorted(inputs.items()) if not _DIGEST.match(value)}
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"service": service.name, "series": service.series, "spec": spec},
            "internalParameters": others,
            "resolvedDependencies": list(_dependencies(inputs)),
        },
        "runDetails": {"builder": {"id": f"urn:stackway:builder:{quote(inputs.get('builder', 'unknown'))}"}},
    }


def _dependencies(inputs: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for name, value in sorted(inputs.items()):
        package, pinned, digest = _PACKAGE.match(name), _PINNED.match(value), _DIGEST.match(value)
        if package and pinned:
            kind = "pypi" if package[1] == "Python" else "deb/debian"
            uri = f"pkg:{kind}/{quote(package[2], safe='')}@{quote(pinned[1], safe='')}"
            yield {"uri": uri, "digest": {"sha256": pinned[2]}}
        elif digest:
            yield {"name": name, "digest": {"sha256": digest[1]}}
