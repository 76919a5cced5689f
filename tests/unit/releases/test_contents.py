# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What an archive says about itself is checked against what it holds, and is never too much to read."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit.store import REF_NAME
from releases.archive import Limits
from releases.contents import BASE
from releases.entries import REPOSITORY
from releases.ustar import BrokenArchiveError
from stackway.files import canonical_json, digest_bytes
from tests.fakes.airgap import (
    CONTENTS,
    ELSEWHERE,
    IMAGE,
    INDEX,
    LAYER,
    LAYERS,
    LISTING,
    MANIFEST,
    SIGNATURE,
    WHOLE,
    entry,
    files_of,
    holding,
    index_of,
    manifest,
    nested,
    peak_of,
    read_in,
    refusal,
    row,
    taken_or_refused,
    tar,
)


def nested_json(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keys = st.sampled_from(["mediaType", "digest", "size", "annotations", "a"])
    return st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4)


def test_what_is_missing_is_listed_but_not_without_end() -> None:
    layers = [b"layer %d" % number for number in range(25)]
    image = manifest(*layers)
    error = refusal(tar(files_of(index_of(entry(image, "a:1")), holding(image, b"{}"))))
    lines = error.details.splitlines()
    assert lines == [*sorted(map(digest_bytes, layers))[:10], "and 15 more"]


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (b"", "JSON|Expecting"),
        (b"[]", "not a JSON object"),
        (b"\xff\xfe{}", "utf-8"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"a":' * 100_000, "nested too deep"),
        (b"[" + b"0," * 300_000 + b"0]", "more than 250000 values"),
        (b'{"schemaVersion":' + b"9" * 5000 + b"}", "integer"),
        (b'{"schemaVersion":2,"manifests":[],"manifests":[]}', "a key is there twice"),
        (b'{"schemaVersion":NaN,"manifests":[]}', "NaN is not JSON"),
        (b"{}", "not an image index"),
        (index_of(schemaVersion=1), "not an image index"),
        (index_of(schemaVersion=2.0), "not an image index"),
        (index_of(schemaVersion=True), "not an image index"),
        (index_of(mediaType=MANIFEST), "not an image index"),
        (index_of(manifests={}), "not an image index"),
        (index_of(annotations=[]), "annotations are not texts"),
        (index_of(annotations={BASE: 1}), "annotations are not texts"),
        (index_of(annotations={BASE: "sha256:../../x"}), "is not a digest"),
        (index_of("x"), r"manifests\[0\]: it has no right media type, sha256 digest and size"),  # type: ignore[arg-type]
        (index_of(entry(IMAGE, "a:1"), {}), r"manifests\[1\]: it has no right"),
        (index_of(entry(IMAGE, "a:1", digest="sha512:" + "a" * 128)), "no right"),
        (index_of(entry(IMAGE, "a:1", digest=digest_bytes(b"").upper())), "no right"),
        (index_of(entry(IMAGE, "a:1", digest=7)), "no right"),
        (index_of(entry(IMAGE, "a:1", size=-1)), "no right"),
        (index_of(entry(IMAGE, "a:1", size=1.5)), "no right"),
        (index_of(entry(IMAGE, "a:1", size="1")), "no right"),
        (index_of(entry(IMAGE, "a:1", mediaType=None)), "no right"),
        (index_of(entry(IMAGE, "a:1", "a\x1b[2J/b")), "no right"),
        (index_of(entry(IMAGE, "a:1", LAYER)), "is no type of a manifest"),
        (index_of(entry(IMAGE, "a:1", annotations=None)), "annotations are not texts"),
        (index_of(entry(IMAGE, "a:1", annotations={"a": {}})), "annotations are not texts"),
        (index_of(row(IMAGE, MANIFEST)), "are not a repository"),
        (index_of(entry(IMAGE, "../a:1")), "are not a repository"),
        (index_of(entry(IMAGE, "A:1")), "are not a repository"),
        (index_of(entry(IMAGE, "a:.1")), "are not a repository"),
        (index_of(entry(IMAGE, "a:b:c")), "are not a repository"),
        (index_of(entry(IMAGE, "", annotations={REPOSITORY: "a", REF_NAME: "b:1"})), "are not a repository"),
        (index_of(entry(IMAGE, "a:1"), entry(ELSEWHERE, "a:1")), "a:1 is there twice"),
        (index_of(entry(IMAGE, "a"), entry(IMAGE, "a")), "is there twice"),
        (LISTING.replace(b'"keystone"', b'"\\ud800"'), "surrogates"),
    ],
)
def test_an_index_that_is_not_ours_is_refused_with_the_place(index: bytes, message: str) -> None:
    with pytest.raises(BrokenArchiveError, match=r"index\.json cannot be used") as caught:
        read_in(tar(files_of(index)))
    assert re.search(message, caught.value.details)


@pytest.mark.parametrize(
    "content",
    [
        b"no manifest",
        b"{}",
        b"{",
        b"{" + b'"a":' * 3 + b"[" * 50_000,
        manifest(schemaVersion=1),
        manifest(mediaType=INDEX),
        manifest(mediaType=7),
        manifest(layers=None),
        manifest(layers=[{}]),
        manifest(layers=["x"]),
        manifest(layers=[row(b"", size=-1)]),
        manifest(layers=[row(b"", digest="sha256:../../../x")]),
        manifest(config=b"{}", layers=[], manifests=[]),
        canonical_json({"schemaVersion": 2, "layers": []}),
        nested(IMAGE),
    ],
)
def test_a_manifest_that_is_none_is_refused(content: bytes) -> None:
    blobs = CONTENTS | holding(content)
    listing = json.loads(LISTING)
    listing["manifests"].append(entry(content, "bad:1"))
    error = refusal(tar(files_of(canonical_json(listing), blobs)))
    assert error.brief == "a manifest is not what it is called"
    assert digest_bytes(content) in error.details


@pytest.mark.parametrize("content", [nested(b"x", media_type=LAYER), IMAGE])
def test_a_nested_index_that_is_none_is_refused(content: bytes) -> None:
    blobs = holding(content, b"x")
    assert "not what it is called" in refusal(tar(files_of(index_of(entry(content, "a:1", INDEX)), blobs))).brief


def test_nested_indexes_are_followed_to_the_end() -> None:
    content, chain = IMAGE, [IMAGE]
    for _ in range(3000):
        content = nested(content, media_type=INDEX if len(chain) > 1 else MANIFEST)
        chain.append(content)
    whole = holding(*chain, *LAYERS, b"{}")
    read_in(tar(files_of(index_of(entry(content, "a:1", INDEX)), whole)))
    del whole[digest_bytes(LAYERS[1])]
    error = refusal(tar(files_of(index_of(entry(content, "a:1", INDEX)), whole)))
    assert (error.brief, error.details) == ("the archive lacks blobs that it names", digest_bytes(LAYERS[1]))


def test_nested_indexes_that_double_at_each_level_are_followed_once() -> None:
    chain = [nested(IMAGE, IMAGE)]
    for _ in range(60):
        chain.append(nested(chain[-1], chain[-1], media_type=INDEX))
    whole = holding(*chain, IMAGE, *LAYERS, b"{}")
    assert taken_or_refused(tar(files_of(index_of(entry(chain[-1], "a:1", INDEX)), whole))) == whole


@pytest.mark.parametrize("wrong", [0, 12, 1 << 62])
def test_a_size_that_is_not_the_blobs_is_refused(wrong: int) -> None:
    image = manifest(layers=[row(b"first layer", size=wrong)])
    error = refusal(tar(files_of(index_of(entry(image, "a:1")), holding(image, b"first layer", b"{}"))))
    assert (error.brief, error.details) == (
        "the archive gives wrong sizes for its blobs",
        digest_bytes(b"first layer"),
    )


def test_what_a_manifest_refers_to_need_not_be_there() -> None:
    signature = index_of(entry(SIGNATURE, "keystone"))
    assert read_in(tar(files_of(signature, holding(SIGNATURE, b"signed", b"{}")))).manifests[0].tag == ""


@pytest.mark.parametrize(
    "content",
    [
        b'{"schemaVersion":2,"manifests":[' + b'{"":0},' * 124_000 + b"{}]}",
        b'{"schemaVersion":2,"layers":[' + b"[]," * 124_000 + b"[]]}",
        canonical_json({"schemaVersion": 2, "config": row(b"{}"), "layers": [row(b"%d" % i) for i in range(24_000)]}),
    ],
    ids=["objects", "lists", "layers"],
)
def test_small_texts_of_many_values_do_not_fill_the_memory(content: bytes) -> None:
    archive = tar(files_of(LISTING, holding(content)))
    assert peak_of(lambda: read_in(archive)) < 64 << 20


def test_links_in_all_members_are_counted_together() -> None:
    images = holding(*(manifest(*LAYERS, annotations={"a": str(number)}) for number in range(100)))
    assert "name too many blobs" in refusal(tar(files_of(LISTING, images)), Limits(links=399)).brief


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) // 8 - 1), st.integers(0, 255)), max_size=20))
def test_damage_in_the_index_is_refused_or_changes_no_blob(changes: list[tuple[int, int]]) -> None:
    index = bytearray(LISTING)
    for offset, value in changes:
        index[offset % len(index)] = value
    assert taken_or_refused(tar(files_of(bytes(index)))) in (CONTENTS, None)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3), nested_json, max_leaves=8))
def test_any_json_as_index_or_manifest_is_refused_or_empty(value: Any) -> None:
    listing = canonical_json({"schemaVersion": 2, "manifests": value})
    content = canonical_json({"schemaVersion": 2, "config": row(b"{}"), "layers": value})
    assert taken_or_refused(tar(files_of(listing, {}))) in ({}, None)
    blobs = holding(content, b"{}")
    assert taken_or_refused(tar(files_of(index_of(entry(content, "a:1")), blobs))) in (blobs, None)
