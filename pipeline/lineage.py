# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The way from what runs back to who let it run and to the lines it was made from, as a tree. Pure; given what was found.

Each step names the digest of the next, so a step that does not hold shows where the way breaks.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pipeline.ailment import is_ready
from pipeline.manifests.objects import REVISION
from pipeline.sight import Object, configuration_of, digest_of, revision_of
from pipeline.sources import Sources, source_nodes
from releases.records import MOVES, Chain, Entry
from releases.release import ReleaseContent, ReleaseImage


class State(StrEnum):
    """Whether a step holds. `differs` is no fault: the checkout has gone on since."""

    HOLDS = "holds"
    DIFFERS = "differs"
    UNKNOWN = "unknown"
    BROKEN = "broken"


_MARKS = {State.HOLDS: "", State.DIFFERS: "[differs] ", State.UNKNOWN: "[unknown] ", State.BROKEN: "[BROKEN] "}


@dataclass(frozen=True)
class Node:
    """One step: what it is, its name, digest, what is to say about it, and where it leads."""

    kind: str
    name: str
    digest: str = ""
    note: str = ""
    state: State = State.HOLDS
    children: "tuple[Node, ...]" = ()

    @property
    def is_sound(self) -> bool:
        """Whether nothing from here on is broken or unknown."""
        return self.state in {State.HOLDS, State.DIFFERS} and all(item.is_sound for item in self.children)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        said = {
            "kind": self.kind,
            "name": self.name,
            "digest": self.digest,
            "note": self.note,
            "state": str(self.state),
        }
        return {**said, "children": [item.to_dict() for item in self.children]}

    def lines(self, first: str = "", rest: str = "") -> Iterator[str]:
        """Yield the tree as text."""
        parts = [f"{_MARKS[self.state]}{self.kind} {self.name}", self.digest, self.note]
        yield first + "  ".join(part for part in parts if part)
        for index, item in enumerate(self.children):
            is_last = index == len(self.children) - 1
            yield from item.lines(rest + ("└─ " if is_last else "├─ "), rest + ("   " if is_last else "│  "))


@dataclass(frozen=True)
class Subject:
    """What is traced: the pod that was named, if any, the workload behind it, and what is around it in the cluster."""

    namespace: str
    image: str
    service: str = ""
    process: str = ""
    pod: Object | None = None
    workload: Object | None = None
    addresses: tuple[Object, ...] = ()
    names: Mapping[str, frozenset[str]] = field(default_factory=dict)
    users: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The digest of the image."""
        return digest_of(self.image) or self.image


@dataclass(frozen=True)
class Origin:
    """The release that an image is of, None when there is none; `signers` are empty where `trouble` says why."""

    content: ReleaseContent | None
    signers: tuple[str, ...]
    trouble: str
    chain: Chain

    def image(self, digest: str) -> ReleaseImage | None:
        """Return the image of the release that has this digest."""
        images = self.content.images if self.content else ()
        return next((item for item in images if item.manifest.digest == digest), None)


def trace(subject: Subject, origin: Origin, sources: Sources | None) -> Node:
    """Return the way from the subject to the lines it was made from."""
    node = _image(subject, origin, sources)
    if subject.workload is not None:
        node = _workload(subject, subject.workload, node)
    if subject.pod is not None:
        node = _pod(subject, subject.pod, node)
    return node


def _pod(subject: Subject, pod: Object, inner: Node) -> Node:
    runs = {digest_of(item.get("imageID", "")) for item in (pod.get("status") or {}).get("containerStatuses") or []} - {
        ""
    }
    note = f"namespace {subject.namespace}, {'ready' if is_ready(pod) else 'not ready'}"
    state = State.HOLDS
    if runs and subject.digest not in runs:
        note, state = f"{note}; its node runs {', '.join(sorted(runs))} instead", State.BROKEN
    children = (inner,) if subject.workload is not None else (*_configuration(subject, pod["spec"]), inner)
    return Node("Pod", pod["metadata"]["name"], "", note, state, children)


def _workload(subject: Subject, workload: Object, inner: Node) -> Node:
    revision = revision_of(workload)
    serving = [
        str(item["metadata"]["name"])
        for item in subject.addresses
        if (item["spec"].get("selector") or {}).get(REVISION, revision) == revision
    ]
    notes = [f"revision {revision}"] if revision else []
    notes += [f"behind Service {', '.join(serving)}"] if serving else []
    children = (*_configuration(subject, workload["spec"]["template"]["spec"]), inner)
    return Node(workload["kind"], workload["metadata"]["name"], "", ", ".join(notes), State.HOLDS, children)


def _configuration(subject: Subject, pod: Object) -> Iterator[Node]:
    for kind, names in configuration_of(pod).items():
        there = subject.names.get(kind)
        for name in sorted(names):
            if there is None:
                yield Node(kind, name, "", "nobody may list them", State.UNKNOWN)
            elif name in there:
                yield Node(kind, name)
            else:
                yield Node(kind, name, "", "it is not there; `release deploy` makes it", State.BROKEN)


def _image(subject: Subject, origin: Origin, sources: Sources | None) -> Node:
    name = subject.image.partition("@")[0] if "@" in subject.image else "of this digest"
    children = (*(Node("used by", user) for user in subject.users), _release(subject, origin, sources))
    return Node("image", name, subject.digest, "", State.HOLDS if subject.digest else State.BROKEN, children)


def _release(subject: Subject, origin: Origin, sources: Sources | None) -> Node:
    content, image = origin.content, origin.image(subject.digest)
    if content is None or image is None:
        note = "no release that is here has this image; nobody can say where it is from"
        return Node("release", "unknown", "", origin.trouble or note, State.BROKEN)
    if origin.trouble:
        note, state = f"it cannot be verified: {origin.trouble}", State.BROKEN
    else:
        note, state = f"verified, signed by {', '.join(origin.signers)}", State.HOLDS
    children = (_record(content, origin.chain), _provenance(content, image, subject, sources))
    return Node("release", str(content.version), content.digest, note, state, children)


def _record(content: ReleaseContent, chain: Chain) -> Node:
    entry = _pinned_by(chain, content.digest)
    if entry is None:
        return Node("record", f"none in {chain.environment}", "", "it was never promoted here", State.BROKEN)
    record = entry.record
    signers = ", ".join(key.name for key in entry.signers)
    is_pin = chain.pin is not None and chain.pin.digest == content.digest
    now = "pinned now" if is_pin else f"pinned now is {chain.pin.version if chain.pin else 'nothing'}"
    why = f" ({record.reason})" if record.reason else ""
    note = f"{record.kind} by {record.actor} at {record.at}{why}, signed by {signers}; {now}"
    state = State.HOLDS if is_pin else State.DIFFERS
    return Node("record", f"{record.version} of {chain.environment}", entry.digest, note, state)


def _pinned_by(chain: Chain, digest: str) -> Entry | None:
    """Return the newest record that pinned a release."""
    moves = (item for item in reversed(chain.entries) if item.record.kind in MOVES)
    return next((item for item in moves if item.record.pin and item.record.pin.digest == digest), None)


def _provenance(content: ReleaseContent, image: ReleaseImage, subject: Subject, sources: Sources | None) -> Node:
    made = content.data(f"images/{image.name}/provenance.json")["buildDefinition"]
    spec = made["externalParameters"]["spec"]
    builder, count = made["internalParameters"].get("builder", "unknown"), len(made["resolvedDependencies"])
    note = f"made by {builder} from {count} inputs with digests; this is the digest of its spec"
    children = tuple(
        Node(item.kind, item.name, item.digest, item.note, State(item.state))
        for item in source_nodes(content, image, subject.process, sources)
    )
    state = State.HOLDS if sources else State.UNKNOWN
    return Node("provenance", f"{image.name} {image.version}", spec, note, state, children)
