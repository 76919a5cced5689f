# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Pushes images of the store: only blobs the registry lacks, then all manifests, then reads each back.

Tags move only when every blob of every image is there, so a push that breaks off leaves the registry's tags as they were.
"""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from buildkit.bodies import CheckedBody, open_blob
from buildkit.complaints import WrongContentError
from buildkit.references import parse_reference
from buildkit.registry import Manifest, Registry, Repository, open_registry
from buildkit.store import Blob, Store, StoredImage
from stackway import clock
from stackway.console import Reporter, Table

_PARALLEL = 4


class BlobAction(StrEnum):
    """What happens to one blob."""

    UPLOAD = "upload"
    THERE = "there"
    MOUNT = "mount"


@dataclass(frozen=True)
class BlobStep:
    """One blob, what happens to it and why; `source` is the repository that a mount takes it from."""

    blob: Blob
    action: BlobAction
    reason: str
    source: str = ""


@dataclass(frozen=True)
class PushPlan:
    """What has to be sent so that an image is there; the manifest's step is the last."""

    image: StoredImage
    repository: str
    tag: str
    steps: tuple[BlobStep, ...]

    @property
    def size(self) -> int:
        """Bytes of the blobs to upload, the manifest not counted."""
        return sum(step.blob.size for step in self.steps[:-1] if step.action is BlobAction.UPLOAD)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON-ready data."""
        steps = [
            {"digest": step.blob.digest, "size": step.blob.size, "action": str(step.action), "reason": step.reason}
            for step in self.steps
        ]
        return {"image": self.image.name, "repository": self.repository, "tag": self.tag, "steps": steps}


@dataclass(frozen=True)
class PushResult:
    """How one image ended: `sent` bytes of blobs uploaded, how many blobs were there or mounted, the tag's old digest."""

    image: str
    reference: str
    digest: str
    sent: int
    there: int
    mounted: int
    replaced: str = ""


@dataclass(frozen=True)
class PushReport:
    """All results of a push."""

    results: tuple[PushResult, ...]
    seconds: float

    @property
    def sent(self) -> int:
        """Bytes of all blobs uploaded."""
        return sum(result.sent for result in self.results)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready data."""
        images = [vars(result) for result in self.results]
        return {"apiVersion": "stackway/v1", "kind": "PushReport", "images": images, "seconds": round(self.seconds, 3)}

    def to_table(self) -> Table:
        """Return the report for people."""
        rows = [
            (
                result.reference,
                result.digest[:19],
                f"{result.sent / 1e6:.1f} MB",
                str(result.there),
                str(result.mounted),
            )
            for result in self.results
        ]
        columns = ("IMAGE", "DIGEST", "SENT", "THERE", "MOUNTED")
        return Table(columns, rows, right=columns[2:])


@dataclass(frozen=True)
class Target:
    """Where images go: `prefix` is what stands before `keystone:2026.1` in the registry, empty for nothing."""

    registry: Registry
    prefix: str = ""

    def place(self, image: StoredImage) -> tuple[Repository, str]:
        """Return repository and tag of an image. Raises WrongInputError when they make no reference."""
        path = f"{self.prefix}/{image.name}" if self.prefix else image.name
        reference = parse_reference(f"{self.registry.host}/{path}")
        return self.registry.repository(reference.repository), reference.tag or "latest"


def open_target(prefix: str, *, plain_http: bool | None = None) -> Target:
    """Return the target `HOST[:PORT][/PATH]`. Raises WrongInputError for what is none and for unreadable credentials."""
    host, _, path = prefix.removeprefix("oci://").strip("/").partition("/")
    return Target(open_registry(host, plain_http=plain_http), path)


def plan_push(
    image: StoredImage,
    place: tuple[str, str],
    present: Collection[str],
    elsewhere: Mapping[str, str] | None = None,
) -> PushPlan:
    """Return what to send for one image, pure.

    `place` is repository and tag, `present` the digests that are there (the manifest's only when the tag stands for it),
    `elsewhere` digest → another repository of the same registry that has it.
    """
    repository, tag = place
    steps = {}
    for blob in (image.config, *image.layers, image.manifest):
        source = (elsewhere or {}).get(blob.digest, "")
        if blob.digest in present:
            step = BlobStep(blob, BlobAction.THERE, f"{repository} has it")
        elif source and source != repository and blob != image.manifest:
            step = BlobStep(blob, BlobAction.MOUNT, f"{source} has it", source)
        elif blob == image.manifest:
            step = BlobStep(blob, BlobAction.UPLOAD, f"{tag} is not this manifest yet")
        else:
            step = BlobStep(blob, BlobAction.UPLOAD, "the registry does not have it")
        steps[blob.digest] = step
    return PushPlan(image, repository, tag, tuple(steps.values()))


def examine(images: Sequence[StoredImage], target: Target) -> list[PushPlan]:
    """Ask the registry what it has and return the plans, in the images' order. Changes nothing."""
    plans: list[PushPlan] = []
    elsewhere: dict[str, str] = {}
    with ThreadPoolExecutor(_PARALLEL) as pool:
        for image in images:
            repository, tag = target.place(image)
            blobs = {blob.digest: blob for blob in (image.config, *image.layers)}
            there = pool.map(repository.has, blobs.values())
            present = {digest for digest, has in zip(blobs, there, strict=True) if has}
            if repository.manifest_digest(tag) == image.manifest.digest:
                present.add(image.manifest.digest)
            plans.append(plan_push(image, (repository.name, tag), present, elsewhere))
            elsewhere = dict.fromkeys(blobs, repository.name) | elsewhere
    return plans


def push(store: Store, images: Sequence[StoredImage], prefix: str | Target, reporter: Reporter) -> PushReport:
    """Make the registry have the images under `prefix` (`registry.example:5000/team`) and return what was sent.

    Raises DamagedBlobError for a blob of ours that is not what its name says, WrongContentError when the registry does not
    give back what it got, and what `Transport.ask` raises. No tag moves before all blobs are there.
    """
    started = clock.monotonic()
    target = open_target(prefix) if isinstance(prefix, str) else prefix
    plans = examine(images, target)
    sent = {plan.image.name: _send_blobs(store, plan, target, reporter) for plan in plans}
    results = []
    for plan in plans:
        replaced = _put_manifest(store, plan, target)
        results.append(_result(plan, target, sent[plan.image.name], replaced))
        reporter.finish(f"push {plan.image.name}", f"{results[-1].reference}, {results[-1].sent / 1e6:.1f} MB sent")
    return PushReport(tuple(results), clock.monotonic() - started)


def _send_blobs(store: Store, plan: PushPlan, target: Target, reporter: Reporter) -> dict[str, int]:
    """Upload or mount what is missing; return digest → bytes sent. The first error stops what has not begun."""
    steps = [step for step in plan.steps[:-1] if step.action is not BlobAction.THERE]
    repository = target.registry.repository(plan.repository)
    sent: dict[str, int] = {}
    name, total = f"push {plan.image.name}", plan.size or 1

    def send(step: BlobStep) -> None:
        path = store.path(step.blob.digest)
        size = repository.upload(step.blob, lambda: open_blob(path, step.blob), mount_from=step.source)
        sent[step.blob.digest] = size
        reporter.task(name, f"{plan.size / 1e6:.1f} MB to send", min(1.0, sum(sent.values()) / total))

    with ThreadPoolExecutor(_PARALLEL) as pool:
        futures = [pool.submit(send, step) for step in steps]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            reporter.finish(name, "not all blobs could be sent", good=False)
            raise
    return sent


def _put_manifest(store: Store, plan: PushPlan, target: Target) -> str:
    """Put the manifest where it is not yet, read it back, and return what its tag stood for before, if something else."""
    repository, blob = target.registry.repository(plan.repository), plan.image.manifest
    replaced = ""
    if plan.steps[-1].action is BlobAction.UPLOAD:
        with open_blob(store.path(blob.digest), blob) as file:
            content = b"".join(CheckedBody(file, blob))
        replaced = repository.manifest_digest(plan.tag) or ""
        repository.put_manifest(Manifest(content, blob.media_type), plan.tag)
    kept = repository.manifest(plan.tag).digest
    if kept != blob.digest:
        raise WrongContentError(
            f"{repository}:{plan.tag} is not what was pushed",
            details=f"pushed: {blob.digest}\nread back: {kept}",
            resolution="Somebody else pushes to this tag, or the registry changes what it gets. Use the digest instead.",
        )
    return replaced


def _result(plan: PushPlan, target: Target, sent: Mapping[str, int], replaced: str) -> PushResult:
    repository = target.registry.repository(plan.repository)
    return PushResult(
        plan.image.name,
        str(repository.reference(plan.tag)),
        plan.image.manifest.digest,
        sum(sent.values()),
        sum(step.action is BlobAction.THERE for step in plan.steps[:-1]),
        sum(step.action is BlobAction.MOUNT and not sent[step.blob.digest] for step in plan.steps[:-1]),
        replaced,
    )
