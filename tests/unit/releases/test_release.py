# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildkit.complaints import WrongContentError
from buildkit.registry import Manifest
from buildkit.store import Blob
from releases import release
from releases.bundle import CONFIG_TYPE, FILE_TYPE, TITLE, bundle, make_manifest
from releases.release import (
    ExtraFileError,
    MixedReleaseError,
    NoReleaseError,
    ReleaseContent,
    VerificationError,
    read_content,
    told,
)
from releases.signatures import MANIFEST_TYPE, Content, descriptor
from releases.version import ReleaseVersion
from stackway.files import canonical_json, digest_bytes
from tests.fakes.releases import inputs

MADE = bundle(inputs({}))
VERSION = ReleaseVersion.parse("2026.1.0")
SCAN, SBOM, VERDICT = (f"images/nova/{name}.json" for name in ("scan", "sbom", "verdict"))


def read(manifest: Manifest, *contents: Content) -> ReleaseContent:
    held = {item.blob.digest: item.content for item in (MADE.config, *MADE.files.values(), *contents)}

    def get(blob: Blob) -> bytes:
        content = held[blob.digest]
        if len(content) != blob.size:
            raise WrongContentError("another size")
        return content

    return read_content(manifest, get)


def with_manifest(**given: Any) -> Manifest:
    return Manifest(json.dumps({**MADE.manifest.data(), **given}).encode(), MANIFEST_TYPE)


def read_config(config: Any) -> ReleaseContent:
    content = Content(CONFIG_TYPE, config if isinstance(config, bytes) else json.dumps(config).encode())
    return read(make_manifest(VERSION, content, MADE.files), content)


def read_files(changed: Mapping[str, Any]) -> ReleaseContent:
    files = {
        title: Content(FILE_TYPE, value if isinstance(value, bytes) else canonical_json(value))
        for title, value in changed.items()
    }
    return read(make_manifest(VERSION, MADE.config, {**MADE.files, **files}), *files.values())


def parsed(title: str) -> Any:
    return json.loads(MADE.files[title].content)


LAYERS = MADE.manifest.data()["layers"]


def layer(title: Any, size: int = 1, kind: str = FILE_TYPE) -> dict[str, Any]:
    return {**descriptor(Blob(kind, digest_bytes(b"a"), size)), "annotations": {TITLE: title}}


def test_a_release_is_read() -> None:
    content = read(MADE.manifest)
    assert content.data("locks.json") == {"a.lock": "pin\n"}
    assert [str(item.manifest.digest) for item in content.images] == [item.manifest.digest for item in MADE.images]
    with pytest.raises(KeyError):
        content.data("other.json")


@dataclass(frozen=True)
class Odd:
    about: str
    manifest: Manifest
    error: type[VerificationError]
    told: str


ODD = [
    Odd("another artifact", with_manifest(artifactType="a/b"), NoReleaseError, "artifactType 'a/b'"),
    Odd("no artifact", with_manifest(artifactType=None), NoReleaseError, "artifactType None"),
    Odd("escapes", with_manifest(artifactType="\x1b[2J\ud800"), NoReleaseError, r"\x1b[2J\ud800"),
    Odd("no config", with_manifest(config=None), NoReleaseError, "artifactType"),
    Odd("config of another kind", with_manifest(config=layer("a")), NoReleaseError, "artifactType"),
    Odd("no layers", with_manifest(layers=None), NoReleaseError, "lists no files"),
    Odd("layers of another type", with_manifest(layers={}), NoReleaseError, "lists no files"),
    Odd("one file missing", with_manifest(layers=LAYERS[1:]), NoReleaseError, "not whole\ncards.json"),
    Odd("very many layers", with_manifest(layers=[{}] * 100_000), NoReleaseError, "more files than any"),
    Odd("a file of an endless size", with_manifest(layers=[layer("specs.json", 1 << 60)]), NoReleaseError, "larger"),
    Odd("a file larger than any", with_manifest(layers=[layer("specs.json", 65 << 20)]), NoReleaseError, "larger"),
    Odd("files of an endless size", with_manifest(layers=LAYERS + [layer(f"images/a{n}/vex.json", 60 << 20)
        for n in range(9)]), NoReleaseError, "larger"),
    Odd("a config of an endless size", with_manifest(config={**descriptor(MADE.config.blob), "size": 1 << 60}),
        NoReleaseError, "larger"),
    Odd("a file twice", with_manifest(layers=[*LAYERS, LAYERS[0]]), ExtraFileError, "has cards.json twice"),
    Odd("an unknown title", with_manifest(layers=[*LAYERS, layer("evil.sh")]), ExtraFileError, "'evil.sh'"),
    Odd("a path", with_manifest(layers=[*LAYERS, layer("../../etc/passwd")]), ExtraFileError, "'../../etc/passwd'"),
    Odd("an absolute path", with_manifest(layers=[*LAYERS, layer("/specs.json")]), ExtraFileError, "'/specs.json'"),
    Odd("a title of another type", with_manifest(layers=[*LAYERS, layer(["specs.json"])]), ExtraFileError, "['specs"),
    Odd("a very long title", with_manifest(layers=[*LAYERS, layer("a" * 99_999)]), ExtraFileError, "aaaa"),
    Odd("no title", with_manifest(layers=[*LAYERS, descriptor(MADE.config.blob)]), ExtraFileError, "None"),
    Odd("no descriptor", with_manifest(layers=[*LAYERS, {"annotations": {TITLE: "specs.json"}}]), ExtraFileError,
        "'specs.json'"),
    Odd("a file of another kind", with_manifest(layers=[*LAYERS[1:], layer("cards.json", 1, "text/html")]),
        ExtraFileError, "'cards.json'"),
    Odd("evidence about an image that there is not", with_manifest(layers=[*LAYERS, layer("images/evil/sbom.json")]),
        ExtraFileError, "images/evil/sbom.json"),
    Odd("no annotations", with_manifest(annotations=None), MixedReleaseError, "version None, the config 2026.1.0"),
    Odd("annotations of another type", with_manifest(annotations=[]), MixedReleaseError, "version None"),
    Odd("another version beside", with_manifest(annotations={"org.opencontainers.image.version": "2026.1.9"}),
        MixedReleaseError, "version '2026.1.9', the config 2026.1.0"),
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: str(odd.about))
def test_a_manifest_that_is_no_releases_is_refused(odd: Odd) -> None:
    with pytest.raises(odd.error) as caught:
        read(odd.manifest)
    assert odd.told in f"{caught.value.brief}\n{caught.value.details.replace(odd.manifest.digest + chr(10), '')}"
    assert odd.manifest.digest in caught.value.details
    assert len(caught.value.details) < 500
    assert caught.value.resolution


CONFIG = json.loads(MADE.config.content)
KEYSTONE, NOVA = CONFIG["images"]


def nova(**given: Any) -> dict[str, Any]:
    return {**CONFIG, "images": [KEYSTONE, {**NOVA, **given}]}


CONFIGS: dict[str, Any] = {
    "nothing": b"",
    "truncated": MADE.config.content[:-1],
    "a list": [],
    "deeply nested": b'{"images":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "UTF-16": json.dumps(CONFIG).encode("utf-16"),
    "a number with too many digits": b'{"images":' + b"1" * 9999 + b"}",
    "no images": {**CONFIG, "images": []},
    "images of another type": {**CONFIG, "images": {"nova": NOVA}},
    "an image twice": {**CONFIG, "images": [NOVA, NOVA]},
    "another kind": {**CONFIG, "kind": "Upgrade"},
    "a later format": {**CONFIG, "apiVersion": "stackway/v2"},
    "no version": {**CONFIG, "version": "latest"},
    "a version in another spelling": {**CONFIG, "version": "v2026.1.0"},
    "a version of another type": {**CONFIG, "version": 2026.1},
    "a version of another series": {**CONFIG, "version": "2025.1.0"},
    "earlier series of another type": {**CONFIG, "upgradesFrom": "2025.1"},
    "slurp of another type": {**CONFIG, "slurp": "no"},
    "a missing part": {key: value for key, value in CONFIG.items() if key != "slurp"},
    "a path as an image's name": nova(name="../nova"),
    "an image called like the release": nova(name="release"),
    "a size without end": nova(size=float("inf")),
    "a size of another type": nova(size=True),
    "no digest": nova(manifest={"digest": "latest"}),
    "scanned of another type": nova(scanned="yes"),
    "a verdict of another type": nova(verdict="passed"),
    "a verdict with more in it": nova(verdict={"policy": "prod", "outcome": "passed", "by": "me"}),
    "no verdict": nova(verdict=None),
    "a role of another type": nova(role=None),
    "a very long row": nova(series=["x" * 99_999]),
}


@pytest.mark.parametrize("about", CONFIGS)
def test_a_config_that_is_none_is_refused(about: str) -> None:
    with pytest.raises(NoReleaseError, match="the release's config") as caught:
        read_config(CONFIGS[about])
    assert caught.value.details.startswith("sha256:")
    assert len(caught.value.details) < 500


SPECS = parsed("specs.json")


def other(title: str, *path: Any, to: Any) -> Any:
    """Return a file in which the value at a path is another."""
    content = parsed(title)
    place = content
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = to
    return {title: content}


FOREIGN = digest_bytes(b"another image")
MIXED: dict[str, tuple[Callable[[], ReleaseContent], str]] = {
    "manifests that run another image": (
        lambda: read_files(other("manifests.json", 1, "image", to=f"nova@{FOREIGN}")),
        f"nova-api runs nova@{FOREIGN}",
    ),
    "manifests that run a tag": (
        lambda: read_files(other("manifests.json", 1, "image", to="nova:latest")),
        "nova-api runs nova:latest",
    ),
    "manifests that run a sibling's image": (
        lambda: read_files(other("manifests.json", 1, "image", to=parsed("manifests.json")[0]["image"])),
        "nova-api runs keystone@",
    ),
    "manifests of a service that there is not": (
        lambda: read_files(other("manifests.json", 1, "service", to="evil")),
        "evil-api runs",
    ),
    "no manifests": (lambda: read_files({"manifests.json": []}), "not those of the processes"),
    "a manifest twice": (
        lambda: read_files({"manifests.json": parsed("manifests.json") * 2}),
        "not those of the processes",
    ),
    "manifest of a process that there is not": (
        lambda: read_files(other("manifests.json", 1, "process", to="backdoor")),
        "not those of the processes",
    ),
    "scan of another image": (lambda: read_files(other(SCAN, "key", "digest", to=FOREIGN)), "nova: the scan is about"),
    "sbom of another image": (
        lambda: read_files(other(SBOM, "metadata", "component", "version", to=FOREIGN)),
        f"nova: the sbom is about {FOREIGN}",
    ),
    "verdict of another image": (
        lambda: read_files(other(VERDICT, "digest", to=FOREIGN)),
        f"nova: the verdict is about {FOREIGN}",
    ),
    "verdict over another scan": (
        lambda: read_files(other(VERDICT, "report", to=FOREIGN)),
        "nova: the verdict is over another scan",
    ),
    "verdict that is worse than the config says": (
        lambda: read_files(other(VERDICT, "outcome", to="failed")),
        "nova: the config tells another verdict",
    ),
    "verdict that is better than there is": (
        lambda: read_config(nova(verdict={"policy": "strict", "outcome": "passed"})),
        "nova: the config tells another verdict",
    ),
    "evidence of a sibling": (
        lambda: read_files({title: parsed(title.replace("nova", "keystone")) for title in (SCAN, SBOM, VERDICT)}),
        "nova: the scan is about",
    ),
    "provenance of a sibling": (
        lambda: read_files({"images/nova/provenance.json": parsed("images/keystone/provenance.json")}),
        "nova: the provenance is of another spec",
    ),
    "another spec": (
        lambda: read_files(other("specs.json", "services", "nova", "settings", to={"debug": True})),
        "nova: the provenance is of another spec",
    ),
    "one more spec": (
        lambda: read_files(other("specs.json", "services", "evil", to=SPECS["services"]["nova"])),
        "specs of evil, keystone, nova, images of keystone, nova",
    ),
    "cards of others": (lambda: read_files({"cards.json": parsed("cards.json")[:1]}), "cards are not about"),
    "image of another version than its spec": (
        lambda: read_config(nova(version="1.0")),
        "nova: the config describes it otherwise than its spec: version",
    ),
    "image of another role than its spec": (lambda: read_config(nova(role="other")), "than its spec: role"),
    "more series to come from": (
        lambda: read_config({**CONFIG, "upgradesFrom": ["2024.1", "2025.1"]}),
        "otherwise than the specs: upgradesFrom",
    ),
    "a longer life": (lambda: read_config({**CONFIG, "endOfLife": "2099-01-01"}), "than the specs: endOfLife"),
    "a leap that is none": (lambda: read_config({**CONFIG, "slurp": False}), "than the specs: slurp"),
    "a VEX document that is none": (lambda: read_files({"images/nova/vex.json": []}), "its VEX document is none"),
    "a truncated file": (lambda: read_files({SCAN: MADE.files[SCAN].content[:-1]}), "a file cannot be read"),
    "a file in UTF-16": (
        lambda: read_files({"images/nova/vex.json": "{}".encode("utf-16")}),
        "a file cannot be read: UnicodeDecodeError",
    ),
    "a deeply nested file": (lambda: read_files({SCAN: b"[" * 100_000}), "cannot be read: RecursionError"),
    "a file of another type": (lambda: read_files({"specs.json": []}), "cannot be read: TypeError"),
    "half a character": (
        lambda: read_files({"specs.json": MADE.files["specs.json"].content.replace(b'"nova"', b'"\\ud800"')}),
        "\\ud800",
    ),
}


@pytest.mark.parametrize("about", MIXED)
def test_parts_that_do_not_belong_together_are_refused(about: str) -> None:
    make, expected = MIXED[about]
    with pytest.raises(MixedReleaseError, match="parts do not belong together") as caught:
        make()
    assert expected in caught.value.details
    caught.value.details.encode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(sorted(CONFIG)), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(sorted(CONFIG)), JSON, max_size=2),
    st.dictionaries(st.sampled_from(sorted(NOVA)), JSON),
)
@settings(max_examples=150)
def test_any_json_in_a_config_is_read_as_before_or_refused(fields: dict[str, Any], row: dict[str, Any]) -> None:
    try:
        content = read_config({**nova(**row), **fields})
    except VerificationError:
        return
    assert [item.name for item in content.images] == ["keystone", "nova"]
    assert str(content.version) == "2026.1.0"


@given(st.sampled_from(["config", "layers", "annotations", "artifactType"]), JSON)
@settings(max_examples=150)
def test_any_json_in_a_manifest_raises_only_refusals(key: str, value: Any) -> None:
    with pytest.raises(VerificationError):
        read(with_manifest(**{key: value}))


@given(st.sampled_from(sorted(MADE.files)), JSON)
@settings(max_examples=150)
def test_any_json_as_a_file_is_refused_unless_nothing_else_depends_on_it(title: str, value: Any) -> None:
    try:
        read_files({title: value})
    except MixedReleaseError:
        return
    assert title in {"locks.json", "configuration.json"} or title.endswith("/vex.json")


def test_text_from_a_place_is_made_fit_for_messages() -> None:
    assert told("a\x1b[2Jb\u202e\ud800") == "ab\\ud800"
    assert len(told("a" * 10**6)) == 300
    assert release.identity("nova") == "stackway.local/nova"
