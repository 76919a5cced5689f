# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What a release holds, read from its manifest and files. Pure: whether anybody may use it is `releases.verify`'s to say."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from buildkit.registry import Manifest
from buildkit.store import HOST, Blob
from releases import bundle
from releases.signatures import Content, read_descriptor
from releases.version import ReleaseVersion, is_version
from stackway.console import printable
from stackway.errors import RefusedError

REPOSITORY = "release"
FILE_MAX = 64 << 20
_FILES_MAX = 2_000
_TOTAL_MAX = 512 << 20


class VerificationError(RefusedError):
    """A release may not be used; the class says which rule it breaks."""


class NoReleaseError(VerificationError):
    """The artifact is no release, or not a whole one."""


class ExtraFileError(VerificationError):
    """The artifact has a file that a release does not have."""


class MixedReleaseError(VerificationError):
    """Parts of the release are about something else than the rest of it."""


@dataclass(frozen=True)
class ReleaseImage:
    """One image of a release, as its config lists it; `verdict` is policy and outcome, None when it was not scanned."""

    name: str
    series: str
    version: str
    role: str
    manifest: Blob
    size: int
    scanned: bool
    verdict: Mapping[str, str] | None

    @property
    def identity(self) -> str:
        """The name that signatures over the image give, wherever it is kept."""
        return identity(self.name)


@dataclass(frozen=True)
class ReleaseContent:
    """A release's config and files. Nobody has checked any signature."""

    blob: Blob
    config: Mapping[str, Any] = field(repr=False)
    files: Mapping[str, Content] = field(repr=False)
    _parsed: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def digest(self) -> str:
        """The digest of the release."""
        return self.blob.digest

    @property
    def version(self) -> ReleaseVersion:
        """The release's version."""
        return ReleaseVersion.parse(self.config["version"])

    @property
    def series(self) -> str:
        """The OpenStack series."""
        return str(self.config["series"])

    @cached_property
    def images(self) -> tuple[ReleaseImage, ...]:
        """The images, in the order of their names."""
        return tuple(_image(row) for row in self.config["images"])

    def data(self, title: str) -> Any:
        """Return the content of one file, not to be changed. Raises KeyError for a file that is not there."""
        if title not in self._parsed:
            # As text: from bytes other encodings would be guessed, and these bytes go into statements.
            self._parsed[title] = json.loads(self.files[title].content.decode())
        return self._parsed[title]


def identity(repository: str) -> str:
    """Return the name that signatures give, wherever the repository is kept: it does not change when a release moves."""
    return f"{HOST}/{repository}"


def told(text: str) -> str:
    """Return text from a place as a message may carry it: printable, in UTF-8, and not long."""
    return printable(text[:1000]).encode(errors="backslashreplace").decode()[:300]


def read_content(manifest: Manifest, read: Callable[[Blob], bytes]) -> ReleaseContent:
    """Return the release that a manifest describes; `read` gets each blob, checked against its digest.

    Raises NoReleaseError, ExtraFileError or MixedReleaseError.
    """
    data = manifest.data()
    blob = Blob(manifest.media_type, manifest.digest, len(manifest.content))
    config_blob = read_descriptor(data.get("config"))
    if (
        data.get("artifactType") != bundle.ARTIFACT_TYPE
        or not config_blob
        or config_blob.media_type != bundle.CONFIG_TYPE
    ):
        raise NoReleaseError(
            "this is no release",
            details=told(f"{blob.digest}: artifactType {data.get('artifactType')!r}"),
            resolution="`release list` names those that there are.",
        )
    rows = dict(_titled(blob, data.get("layers")))
    _refuse_large((config_blob, *rows.values()), blob.digest)
    config = _config(blob, read(config_blob))
    wanted = bundle.expected_titles(config["images"])
    if extra := sorted(rows.keys() - wanted):
        raise ExtraFileError(
            "the release has files that it does not list", details=_about(blob, extra), resolution=_HINT
        )
    if missing := sorted(wanted - rows.keys()):
        raise NoReleaseError("the release is not whole", details=_about(blob, missing), resolution=_HINT)
    files = {title: Content(item.media_type, read(item)) for title, item in rows.items()}
    content = ReleaseContent(blob, config, files)
    _check(content, manifest)
    return content


_OF_SERIES = ("name", "codename", "slurp", "endOfLife", "upgradesFrom")
_OF_IMAGE = ("name", "series", "version", "role")
_HINT = "Do not use it. Get the release anew from whoever made it."


def _about(release: Blob, titles: list[str]) -> str:
    return "\n".join([release.digest, *titles[:10]])


def _titled(release: Blob, layers: Any) -> Iterator[tuple[str, Blob]]:
    seen = set()
    if not isinstance(layers, list) or not layers:
        raise NoReleaseError("the release lists no files", details=release.digest, resolution=_HINT)
    if len(layers) > _FILES_MAX:
        about = f"{release.digest}: {len(layers)} files, {_FILES_MAX} at most"
        raise NoReleaseError("the release lists more files than any release has", details=about, resolution=_HINT)
    for row in layers:
        found = read_descriptor(row)
        annotations = row.get("annotations") if isinstance(row, dict) else None
        title = annotations.get(bundle.TITLE) if isinstance(annotations, dict) else None
        if (
            found is None
            or not isinstance(title, str)
            or not bundle.is_title(title)
            or found.media_type != bundle.FILE_TYPE
        ):
            raise ExtraFileError(
                "the release has a file of a kind that no release has",
                details=told(f"{release.digest}: {title!r}"),
                resolution=_HINT,
            )
        if title in seen:
            raise ExtraFileError(f"the release has {title} twice", details=release.digest, resolution=_HINT)
        seen.add(title)
        yield title, found


def _refuse_large(blobs: tuple[Blob, ...], digest: str) -> None:
    too_large = [blob.digest for blob in blobs if blob.size > FILE_MAX]
    if too_large or sum(blob.size for blob in blobs) > _TOTAL_MAX:
        raise NoReleaseError(
            "the release is larger than any release", details=f"{digest}: {too_large[:3]}", resolution=_HINT
        )


def _config(blob: Blob, content: bytes) -> dict[str, Any]:
    try:
        config = json.loads(content.decode())
        images = config["images"]
        is_right = config["apiVersion"] == bundle.API_VERSION and config["kind"] == bundle.KIND
        names = [_image(row).name for row in images]
        is_right = is_right and is_version(config["version"]) and len(set(names)) == len(names) > 0
        is_right = is_right and str(ReleaseVersion.parse(config["version"])) == config["version"]
        is_right = is_right and ReleaseVersion.parse(config["version"]).series == config["series"]
        earlier = config["upgradesFrom"]
        is_right = is_right and isinstance(earlier, list) and all(isinstance(item, str) for item in earlier)
        is_right = is_right and isinstance(config["slurp"], bool)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NoReleaseError(
            "the release's config cannot be read",
            details=told(f"{blob.digest}: {type(error).__name__}: {error}"),
            resolution=_HINT,
        ) from error
    if not is_right:
        raise NoReleaseError("the release's config is not one", details=blob.digest, resolution=_HINT)
    return dict(config)


def _image(row: Mapping[str, Any]) -> ReleaseImage:
    manifest = read_descriptor(row["manifest"])
    texts = [row[name] for name in ("name", "series", "version", "role")]
    size, scanned, verdict = row["size"], row["scanned"], row["verdict"]
    is_right = all(isinstance(text, str) for text in texts) and type(size) is int and isinstance(scanned, bool)
    if manifest is None or not is_right or not _is_verdict(verdict, scanned=scanned):
        raise ValueError(f"an image is not described: {str(row)[:200]}")
    name, series, version, role = texts
    # Its repository is the release's own.
    if not bundle.is_title(f"images/{name}/sbom.json") or name == REPOSITORY:
        raise ValueError(f"{name[:100]!r} is no name of an image")
    return ReleaseImage(name, series, version, role, manifest, size, scanned, verdict)


def _is_verdict(verdict: Any, *, scanned: bool) -> bool:
    """Tell whether the row of an image has policy and outcome, which it has when it was scanned."""
    if not scanned:
        return verdict is None
    return (
        isinstance(verdict, dict)
        and verdict.keys() == {"policy", "outcome"}
        and all(isinstance(value, str) for value in verdict.values())
    )


def _check(content: ReleaseContent, manifest: Manifest) -> None:
    """Refuse a release whose files are about other images or another version than its config."""
    annotations = manifest.data().get("annotations")
    said = annotations.get(bundle.VERSION) if isinstance(annotations, dict) else None
    wrong = (
        [] if said == str(content.version) else [f"the manifest says version {said!r}, the config {content.version}"]
    )
    try:
        wrong += list(_mixed(content))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        wrong.append(f"a file cannot be read: {type(error).__name__}: {error}")
    if wrong:
        raise MixedReleaseError(
            "the release's parts do not belong together",
            details="\n".join([content.digest, *(told(line) for line in wrong[:10])]),
            resolution=_HINT,
        )


def _mixed(content: ReleaseContent) -> Iterator[str]:
    digests = {image.name: image.manifest.digest for image in content.images}
    specs, series = content.data(bundle.SPECS)["services"], content.data(bundle.SPECS)["series"]
    said = {**content.config, "name": content.series}
    series = {**series, "upgradesFrom": sorted(series["upgradesFrom"])}
    if other := [name for name in _OF_SERIES if said[name] != series[name]]:
        yield f"the config describes the series otherwise than the specs: {', '.join(other)}"
    if specs.keys() != digests.keys():
        yield f"specs of {', '.join(sorted(specs))}, images of {', '.join(sorted(digests))}"
    processes = sorted((name, process) for name, spec in specs.items() for process in spec["processes"])
    if [(row["service"], row["process"]) for row in content.data(bundle.MANIFESTS)] != processes:
        yield "the manifests are not those of the processes in the specs"
    for row in content.data(bundle.MANIFESTS):
        if row["image"] != f"{row['service']}@{digests.get(row['service'])}":
            yield f"{row['service']}-{row['process']} runs {row['image']}"
    if [row["service"] for row in content.data(bundle.CARDS)] != sorted(digests):
        yield "cards are not about these services"
    for image in content.images:
        yield from _mixed_spec(content, image, specs.get(image.name))
        if image.scanned:
            yield from _mixed_evidence(content, image)


def _mixed_spec(content: ReleaseContent, image: ReleaseImage, spec: Any) -> Iterator[str]:
    from stackway.files import digest_json

    made = content.data(f"images/{image.name}/provenance.json")["buildDefinition"]["externalParameters"]
    if made != {"service": image.name, "series": image.series, "spec": digest_json(spec)}:
        yield f"{image.name}: the provenance is of another spec"
    if spec and (other := [name for name in _OF_IMAGE if spec[name] != getattr(image, name)]):
        yield f"{image.name}: the config describes it otherwise than its spec: {', '.join(other)}"


def _mixed_evidence(content: ReleaseContent, image: ReleaseImage) -> Iterator[str]:
    verdict, report = (content.data(f"images/{image.name}/{name}.json") for name in ("verdict", "scan"))
    if not isinstance(content.data(f"images/{image.name}/vex.json"), dict):
        yield f"{image.name}: its VEX document is none"
    if {name: verdict[name] for name in ("policy", "outcome")} != image.verdict:
        yield f"{image.name}: the config tells another verdict than there is"
    if verdict["report"] != content.files[f"images/{image.name}/scan.json"].blob.digest:
        yield f"{image.name}: the verdict is over another scan"
    about = {
        "scan": report["key"]["digest"],
        "verdict": verdict["digest"],
        "sbom": content.data(f"images/{image.name}/sbom.json")["metadata"]["component"]["version"],
    }
    for name, digest in about.items():
        if digest != image.manifest.digest:
            yield f"{image.name}: the {name} is about {digest}"
