# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What refers to a manifest is found in the registry's list and in the index that stands for it, among whatever junk."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit import referrers
from buildkit.complaints import RegistryError, UntrustedRegistryError, WrongContentError
from buildkit.manifests import INDEX_TYPE, Manifest
from buildkit.referrers import fallback_tag
from buildkit.store import Blob
from stackway.errors import StackwayError
from tests.fakes.registry import MANIFEST, Ask, Bench, FakeRegistry, Reply, bench, digest_of

SUBJECT = Manifest(json.dumps({"schemaVersion": 2, "mediaType": MANIFEST}).encode(), MANIFEST)
TAG = fallback_tag(SUBJECT.digest)
NOTES = {"predicate": "sbom", "odd": "\ud800"}


def referrer(number: int = 0, **more: Any) -> Manifest:
    subject = {"mediaType": MANIFEST, "digest": SUBJECT.digest, "size": len(SUBJECT.content)}
    data = {"schemaVersion": 2, "mediaType": MANIFEST, "subject": subject, "number": number, **more}
    return Manifest(json.dumps(data).encode(), MANIFEST)


def entry(manifest: Manifest, **more: Any) -> dict[str, Any]:
    return {"mediaType": MANIFEST, "digest": manifest.digest, "size": len(manifest.content), **more}


def blob(manifest: Manifest) -> Blob:
    return Blob(MANIFEST, manifest.digest, len(manifest.content))


def kept(at: Bench) -> list[Any]:
    """The entries of the index that stands for the list."""
    kind, content = at.fake.manifests["team/app"][TAG]
    data = json.loads(content)
    assert (kind, data["mediaType"], data["schemaVersion"]) == (INDEX_TYPE, INDEX_TYPE, 2)
    return list(data["manifests"])


def keep(at: Bench, content: bytes | list[Any], kind: str = INDEX_TYPE) -> None:
    """Put an index there as anybody may."""
    if isinstance(content, list):
        content = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": content}).encode()
    at.fake.manifests.setdefault("team/app", {})[TAG] = (kind, content)


def test_a_registry_that_lists_needs_no_index() -> None:
    at = bench(FakeRegistry(referrers=True, page=2))
    made = [referrer(number) for number in range(5)]
    for manifest in made:
        at.team.put_manifest(manifest)
    assert TAG not in at.fake.manifests["team/app"]
    assert at.team.referrers(SUBJECT.digest) == sorted(map(blob, made), key=lambda item: item.digest)
    assert len(at.fake.asked_for("GET", "/referrers/")) == 3


def test_an_index_stands_for_the_list_where_there_is_none() -> None:
    at, empty = bench(), {"mediaType": "c/d", "digest": digest_of(b"{}"), "size": 2}
    at.fake.blobs["team/app"] = {digest_of(b"{}"): b"{}"}
    foreign = entry(referrer(), artifactType="a/b", foreign=[1])
    first, second = referrer(1, artifactType="x/y", annotations=NOTES), referrer(2, config=empty, layers=[])
    keep(at, [foreign])
    for manifest in (first, second, second):
        at.team.put_manifest(manifest)
    assert kept(at) == [
        foreign,
        entry(first, artifactType="x/y", annotations=NOTES),
        entry(second, artifactType="c/d"),
    ]
    assert set(at.team.referrers(SUBJECT.digest)) == {blob(referrer()), blob(first), blob(second)}


def test_both_lists_count_where_there_are_two() -> None:
    at, old, new = bench(), referrer(1), referrer(2)
    at.team.put_manifest(old)
    at.fake.referrers = True
    at.team.put_manifest(new)
    at.fake.manifests["team/app"].pop(old.digest)
    assert set(at.team.referrers(SUBJECT.digest)) == {blob(old), blob(new)}


def test_a_kind_that_an_entry_claims_does_not_matter() -> None:
    at = bench()
    keep(at, [entry(referrer(), artifactType="application/vnd.oci.empty.v1+json")])
    assert at.team.referrers(SUBJECT.digest) == [blob(referrer())]


def test_a_manifest_that_refers_to_nothing_needs_no_index() -> None:
    at = bench()
    subjects: list[Any] = [None, [], {"digest": 3}, {"digest": "sha512:1"}]
    for subject in subjects:
        at.team.put_manifest(referrer(subject=subject))
    assert [ask.method for ask in at.fake.asked] == ["PUT"] * 4


# Races


def overwriting(at: Bench, *manifests: Manifest) -> Callable[[Ask, Reply], Reply]:
    """Let another writer win: its index is there right after ours."""

    def fault(_: Ask, reply: Reply) -> Reply:
        keep(at, [entry(manifest) for manifest in manifests])
        return reply

    return fault


@pytest.mark.parametrize(("times", "pauses"), [(1, []), (2, [1.0]), (4, [1.0, 2.0, 4.0])])
def test_an_entry_that_got_lost_is_written_again(times: int, pauses: list[float]) -> None:
    at = bench()
    at.fake.trap("PUT", TAG, overwriting(at, referrer(9)), times=times)
    at.team.put_manifest(referrer())
    assert [row["digest"] for row in kept(at)] == [referrer(9).digest, referrer().digest]
    assert at.pauses[: len(pauses)] == pauses


def test_an_entry_that_gets_lost_every_time_is_told() -> None:
    at = bench()
    at.fake.trap("PUT", TAG, overwriting(at, referrer(9)), times=99)
    with pytest.raises(RegistryError, match="loses our entry"):
        at.team.put_manifest(referrer())
    assert len(at.fake.asked_for("PUT", TAG)) == 5


def test_an_index_that_cannot_be_read_is_not_replaced() -> None:
    at = bench()
    keep(at, b"[]")
    with pytest.raises(WrongContentError):
        at.team.put_manifest(referrer())
    assert at.fake.manifests["team/app"][TAG] == (INDEX_TYPE, b"[]")
    assert at.team.referrers(SUBJECT.digest) == []


# Junk


@pytest.mark.parametrize(
    "row",
    [
        3, None, [], {},
        {"mediaType": MANIFEST, "digest": SUBJECT.digest},
        {"mediaType": MANIFEST, "digest": SUBJECT.digest, "size": "3"},
        {"mediaType": MANIFEST, "digest": SUBJECT.digest, "size": True},
        {"mediaType": MANIFEST, "digest": SUBJECT.digest, "size": -1},
        {"mediaType": MANIFEST, "digest": "sha256:../../x", "size": 1},
        {"mediaType": MANIFEST, "digest": "sha512:" + "0" * 128, "size": 1},
        {"mediaType": 3, "digest": SUBJECT.digest, "size": 1},
    ],
)  # fmt: skip
@pytest.mark.parametrize("lists", [True, False])
def test_what_is_no_entry_is_left_out(row: Any, *, lists: bool) -> None:
    at = bench(FakeRegistry(referrers=lists))
    keep(at, [row, entry(referrer())])
    body = json.dumps({"manifests": [row, entry(referrer())]}).encode()
    at.fake.trap("GET", "/referrers/", lambda _, reply: replace(reply, body=body) if lists else reply)
    assert at.team.referrers(SUBJECT.digest) == [blob(referrer())]


def test_no_more_are_taken_than_allowed() -> None:
    at = bench(FakeRegistry(referrers=True))
    digests = [digest_of(b"%d" % number) for number in range(1500)]
    rows = [{"mediaType": MANIFEST, "digest": digest, "size": 1} for digest in digests]
    at.fake.trap("GET", "/referrers/", lambda *_: Reply(200, json.dumps({"manifests": rows}).encode()))
    found = [item.digest for item in at.team.referrers(SUBJECT.digest)]
    assert found == sorted(digests[:1000])


def test_an_endless_list_ends() -> None:
    at = bench(FakeRegistry(referrers=True))
    circle = {"Link": f'</v2/team/app/referrers/{SUBJECT.digest}?n=1>; rel="next"'}
    at.fake.trap("GET", "/referrers/", lambda _, reply: replace(reply, headers=circle), times=9999)
    assert at.team.referrers(SUBJECT.digest) == []
    assert len(at.fake.asked_for("GET", "/referrers/")) == 100


def test_a_huge_list_is_not_read_to_its_end() -> None:
    at = bench(FakeRegistry(referrers=True))
    page = Reply(200, b" " * (5 << 20), {"Link": '<?n=1>; rel="next"'})
    at.fake.trap("GET", "/referrers/", lambda *_: page, times=9999)
    assert at.team.referrers(SUBJECT.digest) == []
    assert len(at.fake.asked_for("GET", "/referrers/")) <= 5


def test_a_list_that_leads_away_from_encryption_is_not_followed() -> None:
    at = bench(FakeRegistry(referrers=True))
    away = {"Link": '<http://registry.test/more>; rel="next"'}
    at.fake.trap("GET", "/referrers/", lambda _, reply: replace(reply, headers=away))
    with pytest.raises(UntrustedRegistryError):
        at.team.referrers(SUBJECT.digest)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ROW = st.fixed_dictionaries(
    {},
    optional={
        "mediaType": st.just(MANIFEST) | JSON,
        "digest": st.just(SUBJECT.digest) | JSON,
        "size": st.just(3) | JSON,
    },
)
ANSWER = st.binary(max_size=50) | (JSON | st.fixed_dictionaries({"manifests": st.lists(ROW) | JSON})).map(
    lambda data: json.dumps(data).encode()
)


@given(ANSWER, ANSWER)
def test_any_answer_is_a_list_of_what_may_be_looked_at(listed: bytes, index: bytes) -> None:
    at = bench(FakeRegistry(referrers=True))
    keep(at, index)
    at.fake.trap("GET", "/referrers/", lambda *_: Reply(200, listed))
    for found in at.team.referrers(SUBJECT.digest):
        assert (found.digest, found.size >= 0) == (SUBJECT.digest, True)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30))
def test_any_link_is_followed_within_limits_or_refused(link: str) -> None:
    at = bench(FakeRegistry(referrers=True))
    more = Reply(200, b"{}", {"Link": f"<{link}>; rel=next"})
    at.fake.trap("GET", "", lambda *_: more, times=9999)
    with suppress(StackwayError):
        assert at.team.referrers(SUBJECT.digest) == []
    assert len(at.fake.asked) <= 110


@given(JSON | st.lists(ROW).map(lambda rows: {"manifests": rows}))
def test_any_index_lets_our_entry_in(content: Mapping[str, Any] | Any) -> None:
    at = bench()
    data = content if isinstance(content, dict) else {"manifests": content}
    keep(at, json.dumps({**data, "mediaType": INDEX_TYPE}).encode())
    at.team.put_manifest(referrer())
    assert blob(referrer()) in at.team.referrers(SUBJECT.digest)
    assert referrers.read_row(kept(at)[-1]) == blob(referrer())
