# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What lies around in an environment: volumes that are not bound, and what nothing of the release uses. Pure."""

import re
from collections.abc import Iterator

from pipeline.condition import Remark, Verdict
from pipeline.sight import Sight, configuration_of, is_ours, key_of

# Names that change with their content end so; all others hold what was drawn once.
_HASHED = re.compile(r"-[0-9a-f]{10}\Z")
_TEMPLATED = ("Deployment", "StatefulSet", "Job")


def claims(sight: Sight) -> Iterator[Remark]:
    """Yield what is wrong with volumes; one that waits for its first pod is well."""
    for item in sight.all("PersistentVolumeClaim"):
        phase = (item.get("status") or {}).get("phase", "")
        if phase == "Lost":
            text = f"volume {item['metadata']['name']} is lost: the disk behind it is gone"
            yield Remark(Verdict.DEGRADED, text, "Bring the data back from a copy; the claim must be made anew.")


def leftovers(sight: Sight) -> Iterator[str]:
    """Yield what belongs to us and that nothing uses, as `Kind name`; `release deploy` removes it."""
    if sight.expected is None:
        return
    for kind in ("Deployment", "StatefulSet", "Service", "HorizontalPodAutoscaler"):
        for item in sight.all(kind):
            if (
                is_ours(item)
                and key_of(item)[0] in sight.expected.images
                and key_of(item) not in sight.expected.processes
            ):
                yield f"{kind} {item['metadata']['name']}"
    used = _used(sight)
    for kind in ("ConfigMap", "Secret"):
        for name in sorted(sight.names.get(kind, frozenset()) - used[kind]):
            if _HASHED.search(name):
                yield f"{kind} {name}"


def _used(sight: Sight) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {"ConfigMap": set(), "Secret": set()}
    for item in (item for kind in _TEMPLATED for item in sight.all(kind)):
        for kind, names in configuration_of(item["spec"]["template"]["spec"]).items():
            found[kind] |= names
    return found
