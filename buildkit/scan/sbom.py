# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Trivy's CycloneDX list of an image's parts, without what changes from run to run. Pure.

Random identifiers become names of what they stand for, the path of this machine becomes the image's name, and there is no
time: two scans of an image give the same bytes. Which holes the parts have is not in it; that changes with every database.
"""

import re
from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from stackway.errors import FailedError

_RANDOM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def normalise(bom: Mapping[str, Any], image: str, digest: str) -> dict[str, Any]:
    """Return the list for the image `image` with this digest. Raises FailedError when `bom` is no CycloneDX list."""
    try:
        root = bom["metadata"]["component"]
        components = bom.get("components") or []
        names = {root["bom-ref"]: f"pkg:oci/{image.partition(':')[0]}@{digest.replace(':', '%3A')}"}
        names |= _names(components)
        dependencies = [
            {"ref": names[item["ref"]], "dependsOn": sorted(names[ref] for ref in item.get("dependsOn") or [])}
            for item in bom.get("dependencies") or []
        ]
        own = {**root, "bom-ref": names[root["bom-ref"]], "name": image, "version": digest}
        listed = [{**item, "bom-ref": names[item["bom-ref"]]} for item in components]
    except (KeyError, TypeError, AttributeError) as error:
        raise FailedError(
            f"the scanner's list of the parts of {image} cannot be used",
            details=f"{type(error).__name__}: {error}",
            resolution="Scan again; when it stays so, `release doctor` shows which Trivy is used.",
        ) from error
    return {
        **{key: bom[key] for key in ("$schema", "bomFormat", "specVersion") if key in bom},
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, f'stackway:{digest}')}",
        "version": 1,
        "metadata": {"tools": bom["metadata"].get("tools", {}), "component": own},
        "components": sorted(listed, key=lambda item: str(item["bom-ref"])),
        "dependencies": sorted(dependencies, key=lambda item: str(item["ref"])),
    }


def _names(components: list[dict[str, Any]]) -> dict[str, str]:
    """Return reference → lasting reference; one that is random is named after what it refers to and where that lies."""
    found = {}
    for item in components:
        given = item["bom-ref"]
        if _RANDOM.fullmatch(given):
            path = next(
                (entry["value"] for entry in item.get("properties", []) if entry["name"].endswith(":FilePath")), ""
            )
            base = item.get("purl") or f"{item['type']}:{item['name']}@{item.get('version', '')}"
            found[given] = f"{base}#{path}" if path else base
        else:
            found[given] = given
    return found
