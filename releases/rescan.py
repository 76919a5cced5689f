# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Judges a release's images by the database of today: its own lists of parts are asked about again, its layers are not read."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from buildkit.scan import gate, vex
from buildkit.scan.gate import Case, Outcome
from buildkit.scan.policy import Rules
from buildkit.scan.report import DatabaseFacts, read_report
from buildkit.scan.trivy import Trivy
from releases import bundle
from releases.facts import ImageVerdict, ScanFacts
from releases.release import ReleaseContent, ReleaseImage
from stackway.errors import StackwayError
from stackway.files import scratch_directory

_PARALLEL = 3
_NAMED = 20


@dataclass(frozen=True)
class Scanner:
    """What judges today: the scanner with its database, the rules, and the time."""

    trivy: Trivy
    database: DatabaseFacts
    rules: Rules
    now: datetime


def rescan(content: ReleaseContent, scanner: Scanner) -> ScanFacts:
    """Return the verdicts over all images of a release. What cannot be judged is an error of that image, never a pass."""
    with scratch_directory(scanner.trivy.cache, "rescan") as folder, ThreadPoolExecutor(_PARALLEL) as pool:
        verdicts = tuple(pool.map(lambda image: _judge(content, image, scanner, folder), content.images))
    rules, database = scanner.rules, scanner.database
    return ScanFacts(rules.policy.name, rules.digest, database.digest, database.updated, verdicts)


def _judge(content: ReleaseContent, image: ReleaseImage, scanner: Scanner, folder: Path) -> ImageVerdict:
    digest = image.manifest.digest
    if not image.scanned:
        return ImageVerdict(
            image.name, digest, "", {}, error="the release has no list of its parts: it was made unscanned"
        )
    try:
        report = read_report(content.data(f"images/{image.name}/scan.json"), f"{image.name}'s report in the release")
        listed = folder / f"{image.name}.json"
        listed.write_bytes(json.dumps(content.data(f"images/{image.name}/sbom.json")).encode())
        holes = scanner.trivy.rejudge(listed, image.name, report.packages)
    except StackwayError as error:
        return ImageVerdict(image.name, digest, "", {}, error=f"{error.brief}: {error.details}"[:300])
    key = replace(report.key, database=scanner.database, scanner=scanner.trivy.version)
    report = replace(report, key=key, vulnerabilities=holes).sorted()
    own = content.data(bundle.SPECS)["services"][image.name]["distribution"] or ""
    verdict = gate.judge(Case(report, scanner.rules, {}, vex.calendar_noise(report, own), scanner.now))
    counts = Counter(str(item.outcome) for item in verdict.judgements)
    failed = tuple(f"{item.id} in {item.subject}" for item in verdict.judgements if item.outcome is Outcome.FAILED)
    why = verdict.reasons[0] if verdict.outcome is Outcome.ERRORED else ""
    return ImageVerdict(image.name, digest, report.digest, dict(sorted(counts.items())), failed[:_NAMED], why)
