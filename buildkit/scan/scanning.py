# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Scans images of the store and judges them. An image that cannot be scanned is an error of that image, never a pass.

Records, below the checkout's state: `scans/<image>/report.json`, `sbom.json`, `previous.json` (the report before, of
another image or database), `vex.json`, `verdict-<policy>.json`.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from buildkit.checkout import Checkout
from buildkit.context import BuildContext
from buildkit.dockerfile import slug
from buildkit.models import Service
from buildkit.prepare import load_records, make_contexts, toolset
from buildkit.scan import gate, vex
from buildkit.scan.gate import Case, Verdict
from buildkit.scan.origin import Origin, origins
from buildkit.scan.places import sources_of
from buildkit.scan.plan import ScanAction, ScanKind, ScanPlan, plan_scans
from buildkit.scan.policy import Rules
from buildkit.scan.report import DatabaseFacts, Key, Misconfiguration, ScanReport, read_report
from buildkit.scan.sbom import normalise
from buildkit.scan.trivy import QUESTIONS, Trivy
from stackway.errors import FailedError, StackwayError, WrongInputError
from stackway.files import digest_bytes, read_json, write_json


@dataclass(frozen=True)
class PreparedScan:
    """A plan, with what it was made from: the contexts of the images, and the last report of each."""

    plan: ScanPlan
    contexts: Mapping[str, BuildContext]
    last: Mapping[str, ScanReport]
    outdated: tuple[str, ...]


@dataclass(frozen=True)
class ScanResult:
    """What came of one image: its report, or the error that there is instead; `before` is the report to compare with."""

    image: str
    action: ScanKind
    report: ScanReport | None = None
    before: ScanReport | None = None
    error: StackwayError | None = None
    origins: Mapping[str, Origin] = field(default_factory=dict)


class Records:
    """Reports of a checkout, by image."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "scans"

    def of(self, service: Service) -> Path:
        """Return the folder of an image's records."""
        return self.folder / slug(service)

    def last(self, service: Service, name: str = "report.json") -> ScanReport | None:
        """Return the last report of an image; one that cannot be read counts as none."""
        try:
            return read_report(read_json(self.of(service) / name), name)
        except (StackwayError, OSError, TypeError, AttributeError):
            return None

    def keep(self, service: Service, report: ScanReport) -> None:
        """Keep a report as the last one; that before it stays for comparison when it is of something else."""
        last = self.last(service)
        if last and last.key != report.key:
            write_json(self.of(service) / "previous.json", last.to_dict())
        write_json(self.of(service) / "report.json", report.to_dict())


def prepare(
    checkout: Checkout, services: Sequence[Service], trivy: Trivy, database: DatabaseFacts, *, force: bool = False
) -> PreparedScan:
    """Return the plan for images of the store. Raises FailedError that names those which are not there or are damaged."""
    contexts = make_contexts(checkout.catalog, services, toolset(), checkout.state / "templates")
    digests = dict(_digests(checkout, services))
    records = Records(checkout.state)
    last = {service.image: report for service in services if (report := _usable(records, service))}
    wanted = {
        image: Key(digest, trivy.version, QUESTIONS, digest_bytes(contexts[image].dockerfile.encode()), database)
        for image, digest in digests.items()
    }
    plan = plan_scans(wanted, last, force=force)
    return PreparedScan(plan, contexts, last, tuple(_outdated(checkout, contexts)))


def _usable(records: Records, service: Service) -> ScanReport | None:
    """Return the last report when its SBOM, from which it would be judged anew, is there too."""
    return records.last(service) if (records.of(service) / "sbom.json").exists() else None


def _digests(checkout: Checkout, services: Sequence[Service]) -> Iterator[tuple[str, str]]:
    stored, wrong = checkout.store.images(), []
    for service in services:
        image = stored.get(service.image)
        if image is None:
            wrong.append(f"{service.image} is not in the store")
        elif damage := checkout.store.check(image):
            wrong.append(f"{service.image}: {'; '.join(damage)}")
        else:
            yield service.image, image.manifest.digest
    if wrong:
        raise FailedError(
            "there are images that cannot be scanned",
            details="\n".join(wrong),
            resolution="Build them first: `release build`.",
        )


def _outdated(checkout: Checkout, contexts: Mapping[str, BuildContext]) -> Iterator[str]:
    records = load_records(checkout.records)
    for image, context in contexts.items():
        record = records.get(image)
        if record and dict(record.inputs) != dict(context.inputs):
            yield f"{image} in the store is not what its spec says today; `release build --dry-run {image}` says why"


def apply(checkout: Checkout, prepared: PreparedScan, trivy: Trivy) -> list[ScanResult]:
    """Do what the plan says, and return a result for each image, in order. What failed is in its result."""
    texts = {
        action.image: prepared.contexts[action.image].dockerfile
        for action in prepared.plan.pending
        if _is_dockerfile_new(action, prepared.last.get(action.image))
    }
    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 1) + 1) as pool:
        # All Dockerfiles at once, beside the first images.
        broken = pool.submit(trivy.check_dockerfiles, texts) if texts else None
        run = _Run(checkout, prepared, trivy, lambda image: broken.result().get(image) if broken else None)
        return list(pool.map(run.scan, prepared.plan.actions))


def _is_dockerfile_new(action: ScanAction, last: ScanReport | None) -> bool:
    return action.kind is ScanKind.SCAN or last is None or last.key.dockerfile != action.key.dockerfile


@dataclass(frozen=True)
class _Run:
    """One scan of many images; `broken` says which rules an image's Dockerfile breaks, if that was asked."""

    checkout: Checkout
    prepared: PreparedScan
    trivy: Trivy
    broken: Callable[[str], tuple[Misconfiguration, ...] | None]

    def scan(self, action: ScanAction) -> ScanResult:
        checkout, context = self.checkout, self.prepared.contexts[action.image]
        records = Records(checkout.state)
        try:
            report = self._report(action, context.service, records)
        except StackwayError as error:
            checkout.reporter.finish(action.image, error.brief, good=False)
            return ScanResult(action.image, action.kind, error=error)
        sources = sources_of(checkout.catalog, context.service, context.locks)
        before = records.last(context.service, "previous.json")
        return ScanResult(action.image, action.kind, report, before, origins=origins(sources, report))

    def _report(self, action: ScanAction, service: Service, records: Records) -> ScanReport:
        last = self.prepared.last.get(action.image)
        if action.kind is ScanKind.KEEP and last:
            return last
        self.checkout.reporter.task(action.image, f"{action.kind}: {action.reason}")
        report = _look(self.checkout, self.trivy, service, action, last)
        broken = self.broken(action.image)
        report = replace(report, misconfigurations=broken).sorted() if broken is not None else report.sorted()
        records.keep(service, report)
        self.checkout.reporter.finish(action.image, f"{len(report.vulnerabilities)} known holes")
        return report


def _look(
    checkout: Checkout, trivy: Trivy, service: Service, action: ScanAction, last: ScanReport | None
) -> ScanReport:
    """Return the report of an image: of all its bytes, or of its SBOM when only the database is another."""
    listed = Records(checkout.state).of(service) / "sbom.json"
    if action.kind is ScanKind.REJUDGE and last:
        holes = trivy.rejudge(listed, action.image, last.packages)
        return replace(last, key=action.key, vulnerabilities=holes)
    found, holes, bom = trivy.scan(checkout.store.folder, action.image, action.key.digest)
    write_json(listed, normalise(bom, action.image, action.key.digest))
    return ScanReport(
        action.image,
        action.key,
        found.system,
        found.layers,
        found.packages,
        holes,
        found.secrets,
        found.licences,
        (),
    )


def judge_all(
    checkout: Checkout, contexts: Mapping[str, BuildContext], results: Sequence[ScanResult], rules: Rules, now: datetime
) -> dict[str, Verdict]:
    """Return image → verdict for those that were scanned; writes each, and the VEX it rests on, to the records."""
    verdicts = {}
    for result in results:
        folder = Records(checkout.state).of(contexts[result.image].service)
        written = folder / f"verdict-{rules.policy.name}.json"
        if result.report is None:
            written.unlink(missing_ok=True)
            continue
        service = contexts[result.image].service
        noise = vex.calendar_noise(result.report, service.distribution or "")
        verdict = gate.judge(Case(result.report, rules, result.origins, noise, now))
        exemptions = [item for item, _ in rules.exceptions if item.covers(result.image, rules.policy.name)]
        write_json(folder / "vex.json", vex.make_vex(result.report, noise, exemptions))
        write_json(written, verdict.to_dict())
        verdicts[result.image] = verdict
    return verdicts


def stored_report(checkout: Checkout, name: str) -> ScanReport:
    """Return the report that `name` stands for: an image that was scanned here, or a report's file."""
    path = Path(name)
    if path.is_file():
        return read_report(read_json(path), name)
    service = checkout.catalog.select([name], None)
    if len(service) != 1:
        raise WrongInputError(
            f"{name} stands for {len(service)} images",
            details=", ".join(item.image for item in service),
            resolution="Name one, with its series: `nova:2026.1`.",
        )
    report = Records(checkout.state).last(service[0])
    if report is None:
        raise FailedError(f"{name} was not scanned here", details="", resolution=f"Run `release scan {name}` first.")
    return report
