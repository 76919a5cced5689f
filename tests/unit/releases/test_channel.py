# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Records in a place that anybody may write to: made up tags, junk under them, two writers at once, restored backups."""

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from buildkit.registry import Manifest
from releases import promotion
from releases.channel import Channels, OvertakenError
from releases.keys import FileSigner
from releases.promotion import Author
from releases.records import (
    BrokenChainError,
    ChannelError,
    ForeignRecordError,
    ForkedChannelError,
    Kind,
    Observation,
    Pin,
    Record,
    ReplayedChannelError,
    follow,
)
from releases.release import REPOSITORY
from releases.repository import opener
from releases.sign import put, write_bundle
from releases.signatures import MANIFEST_TYPE, Content, bundle_manifest, descriptor
from releases.statements import BUNDLE_TYPE, CHANNEL, make_bundle, sign_envelope
from stackway.errors import RefusedError, WrongInputError
from stackway.files import canonical_json
from tests.fakes.chains import APPROVER, OBSERVER, OWNER, RING, SECOND, STRANGER
from tests.fakes.releases import NOW, FakeReleases, FakeRepository, environment, new_release

PLACE = environment("prod", RING)


def released() -> tuple[FakeReleases, tuple[Pin, ...]]:
    store = FakeReleases()
    versions = ("2026.1.0", "2026.1.1", "2026.1.2")
    return store, tuple(Pin(version, new_release(store, version).digest) for version in versions)


RELEASED, PINS = released()


class Site:
    """A place with three releases, and a checkout that looks at it."""

    def __init__(self, state: Path) -> None:
        self.store = copy.deepcopy(RELEASED)
        self.channels = Channels(self.store, state)
        self.now = NOW

    @property
    def releases(self) -> FakeRepository:
        return self.store.repository(REPOSITORY)

    @property
    def tags(self) -> dict[str, str]:
        return self.releases.names

    def author(self) -> Author:
        self.now += timedelta(minutes=1)
        return Author("anna", self.now, "change 1")

    def next(self, kind: Kind, pin: Pin | None = None, **given: Any) -> Record:
        """Return the record that follows what is there."""
        chain, author = self.channels.read(PLACE, any_head=True), self.author()
        about = pin or chain.pin or PINS[0]
        moved = about if kind in {Kind.PROMOTION, Kind.ROLLBACK} else chain.pin
        known = {"actor": author.name, "reason": author.reason, "about": about, "pin": moved}
        return follow(chain, kind, at=author.at, expires=author.at + timedelta(days=9), **{**known, **given})

    def promote(self, number: int = 0, signer: FileSigner = OWNER) -> str:
        return self.channels.append(PLACE, self.next(Kind.PROMOTION, PINS[number]), signer).digest

    def force(self, record: Record, signer: FileSigner, tag: str = "") -> None:
        """Write a record as somebody does who asks nothing."""
        statement = record.statement()
        bundle = make_bundle(sign_envelope(statement, signer), signer.public)
        write_bundle(self.releases, statement, bundle, tag or f"channel-{record.environment}-{record.version}")

    def seen(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.channels.folder / "prod.json").read_bytes())
        return found


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_place_without_records_has_an_empty_chain_and_remembers_nothing(site: Site) -> None:
    chain = site.channels.read(PLACE)
    assert (chain.entries, chain.pin, chain.version) == ((), None, 0)
    assert not site.channels.folder.exists()


def test_record_that_was_added_is_read_by_everybody(site: Site, tmp_path: Path) -> None:
    site.promote(0)
    digest = site.promote(1)
    chain = Channels(site.store, tmp_path / "elsewhere").read(PLACE)
    assert chain.pin == PINS[1]
    assert [item.digest for item in chain.entries][-1] == digest
    assert (site.seen()["version"], site.seen()["digest"]) == (2, digest)


def test_move_can_be_found_by_other_tools_too(site: Site) -> None:
    site.promote()
    tag = f"{PINS[0].digest.replace(':', '-')}.att"
    assert tag in site.tags
    site.channels.append(PLACE, site.next(Kind.RENEWAL), OWNER)
    manifest = site.releases.manifest(tag).data()
    assert [row["annotations"]["predicateType"] for row in manifest["layers"]] == [CHANNEL]


# Tags.


@pytest.mark.parametrize(
    "tag",
    [
        "channel-prod-0",
        "channel-prod-01",
        "channel-prod-",
        "channel-prod-1x",
        "channel-prod-9999999999",
        "channel-prod-eu-7",
        "channel-Prod-7",
        "channel-pro-7",
        "channel-prodx-7",
        "xchannel-prod-7",
        "channel-prod-\u0667",
    ],
)
def test_tag_that_is_not_of_this_chain_changes_nothing(site: Site, tag: str) -> None:
    site.promote()
    site.tags[tag] = PINS[0].digest
    assert site.channels.read(PLACE).version == 1


@pytest.mark.parametrize("number", [3, 999_999_999])
def test_number_far_ahead_is_told_with_both_tags(site: Site, number: int) -> None:
    site.promote()
    site.force(replace(site.next(Kind.RENEWAL), version=number), OWNER)
    with pytest.raises(BrokenChainError, match="a record of prod is missing") as caught:
        site.channels.read(PLACE)
    assert caught.value.details == f"memory: there is no channel-prod-2, and there is channel-prod-{number}"
    assert "made up" in caught.value.resolution


def test_number_that_its_record_does_not_have_is_refused(site: Site) -> None:
    site.promote()
    site.force(replace(site.next(Kind.RENEWAL), version=2**63), OWNER, "channel-prod-2")
    with pytest.raises(BrokenChainError):
        site.channels.read(PLACE)


def test_record_of_another_environment_under_our_tag_is_refused(site: Site) -> None:
    site.promote()
    site.tags["channel-staging-1"] = site.tags["channel-prod-1"]
    with pytest.raises(ForeignRecordError):
        site.channels.read(environment("staging", RING))


# Junk.


def as_manifest(**content: Any) -> Manifest:
    return Manifest(canonical_json(content), MANIFEST_TYPE)


def bundled(site: Site, content: bytes) -> Manifest:
    statement = site.next(Kind.RENEWAL).statement()
    subject = site.releases.manifest(PINS[0].digest)
    blob, manifest = bundle_manifest(content, statement, Content(subject.media_type, subject.content).blob)
    put(site.releases, blob)
    return manifest


def missing(site: Site) -> Manifest:
    manifest = bundled(site, b"{}")
    del site.store.blobs[manifest.data()["layers"][0]["digest"]]
    return manifest


def large(site: Site) -> Manifest:
    content = Content(BUNDLE_TYPE, b" " * ((8 << 20) + 1))
    site.releases.upload(content.blob, opener(content.content))
    data = bundled(site, b"{}").data()
    return as_manifest(**{**data, "layers": [descriptor(content.blob)]})


JUNK: dict[str, Callable[[Site], Manifest]] = {
    "no JSON": lambda _: Manifest(b"{", MANIFEST_TYPE),
    "a list": lambda _: Manifest(b"[]", MANIFEST_TYPE),
    "no subject": lambda _: as_manifest(artifactType=BUNDLE_TYPE),
    "odd subject": lambda _: as_manifest(artifactType=BUNDLE_TYPE, subject={"digest": 1}),
    "the release": lambda site: site.releases.manifest(PINS[0].digest),
    "empty bundle": lambda site: bundled(site, b""),
    "no bundle": lambda site: bundled(site, b"{}"),
    "odd envelope": lambda site: bundled(site, b'{"mediaType":"%s","dsseEnvelope":{}}' % BUNDLE_TYPE.encode()),
    "nested": lambda site: bundled(site, b"[" * 100_000),
    "blob that is gone": missing,
    "too large": large,
}


@pytest.mark.parametrize("kind", JUNK)
def test_junk_under_the_next_tag_is_told_with_its_place(site: Site, kind: str) -> None:
    site.promote()
    site.releases.put_manifest(JUNK[kind](site), "channel-prod-2")
    with pytest.raises(ForeignRecordError, match="a record of prod is none") as caught:
        site.channels.read(PLACE)
    assert caught.value.details.startswith("memory: channel-prod-2: ")
    assert "Bring the store back" in caught.value.resolution
    assert site.seen()["version"] == 1


def test_bytes_that_are_not_the_manifest_are_refused(site: Site) -> None:
    site.promote()
    digest = site.tags["channel-prod-1"]
    site.releases.manifests[digest] = site.releases.manifest(PINS[0].digest)
    with pytest.raises(ForeignRecordError):
        site.channels.read(PLACE)


# What was seen.


def test_state_from_yesterday_is_a_replay_until_it_is_whole_again(site: Site) -> None:
    site.promote(0)
    backup = dict(site.tags)
    site.promote(1)
    newest = dict(site.tags)
    site.tags.clear()
    site.tags.update(backup)
    with pytest.raises(ReplayedChannelError, match="older than those seen before"):
        site.channels.read(PLACE)
    with pytest.raises(ReplayedChannelError):
        site.channels.read(PLACE, any_head=True)
    assert site.seen()["version"] == 2
    site.tags.update(newest)
    assert site.channels.read(PLACE).pin == PINS[1]


def test_all_records_gone_is_a_replay_and_no_new_beginning(site: Site) -> None:
    site.promote()
    for tag in [tag for tag in site.tags if tag.startswith("channel-")]:
        del site.tags[tag]
    with pytest.raises(ReplayedChannelError):
        site.channels.read(PLACE)


def test_second_history_after_a_restored_backup_is_a_fork_for_who_saw_the_first(site: Site, tmp_path: Path) -> None:
    site.promote(0)
    backup = dict(site.tags)
    site.promote(1)
    site.tags.clear()
    site.tags.update(backup)
    other = Channels(site.store, tmp_path / "elsewhere")
    record = promotion.renewal(PLACE, other.read(PLACE), site.author())
    other.append(PLACE, record, OWNER)
    with pytest.raises(ForkedChannelError, match="contradict"):
        site.channels.read(PLACE)


def test_checkout_restored_from_a_backup_goes_on(site: Site) -> None:
    site.promote(0)
    old = site.seen()
    site.promote(1)
    (site.channels.folder / "prod.json").write_text(json.dumps(old))
    assert site.channels.read(PLACE).version == 2
    assert site.seen()["version"] == 2


def test_what_a_revoked_key_did_can_be_undone_and_what_others_did_cannot(site: Site) -> None:
    site.promote(0)
    site.promote(1)
    site.promote(2, SECOND)
    ring = replace(RING, promoters=(OWNER.public,), release=(), revoked={SECOND.public: "stolen"})
    place = environment("prod", ring)
    with pytest.raises(ForeignRecordError, match="not signed by a key that may"):
        site.channels.read(place)
    del site.tags["channel-prod-3"]
    assert site.channels.read(place).pin == PINS[1]
    del site.tags["channel-prod-2"]
    with pytest.raises(ReplayedChannelError):
        site.channels.read(place)


def test_seen_file_of_an_earlier_version_is_read(site: Site) -> None:
    site.promote(0)
    site.promote(1)
    seen = {name: value for name, value in site.seen().items() if name != "earlier"}
    (site.channels.folder / "prod.json").write_text(json.dumps(seen))
    assert site.channels.read(PLACE).version == 2
    del site.tags["channel-prod-2"]
    (site.channels.folder / "prod.json").write_text(json.dumps(seen))
    with pytest.raises(ReplayedChannelError):
        site.channels.read(PLACE)


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{}",
        "null",
        '{"version": "x", "digest": "", "signers": []}',
        '{"version": 0, "digest": "", "signers": []}',
    ],
)
def test_seen_file_that_is_damaged_stops_and_says_what_it_is_for(site: Site, content: str) -> None:
    site.promote()
    (site.channels.folder / "prod.json").write_text(content)
    with pytest.raises(RefusedError, match="what was seen of prod cannot be read") as caught:
        site.channels.read(PLACE)
    assert "prod.json" in caught.value.details
    assert "protects from old records" in caught.value.resolution


def test_seen_file_that_is_cut_off_stops(site: Site) -> None:
    site.promote()
    (site.channels.folder / "prod.json").write_text('{"version": 1')
    with pytest.raises(WrongInputError, match=r"prod\.json is not JSON"):
        site.channels.read(PLACE)


def test_chain_that_cannot_be_believed_is_not_remembered(site: Site) -> None:
    site.promote(0)
    site.force(site.next(Kind.PROMOTION, PINS[2]), OBSERVER)
    for _ in range(2):
        with pytest.raises(ChannelError):
            site.channels.read(PLACE)
    assert site.seen()["version"] == 1
    del site.tags["channel-prod-2"]
    assert site.channels.read(PLACE).pin == PINS[0]


# Two at once.


def test_second_of_two_promotions_is_told_and_leaves_no_record(site: Site) -> None:
    site.promote(0)
    mine, theirs = site.next(Kind.PROMOTION, PINS[1]), site.next(Kind.PROMOTION, PINS[2])
    site.channels.append(PLACE, theirs, OWNER)
    before = dict(site.tags)
    with pytest.raises(OvertakenError, match="somebody else wrote record 2 of prod meanwhile") as caught:
        site.channels.append(PLACE, mine, SECOND)
    assert "`release history prod`" in caught.value.resolution
    assert dict(site.tags) == before
    assert site.channels.read(PLACE).pin == PINS[2]


class Race(FakeReleases):
    """A registry where somebody else writes, at the moment when we have written."""

    def __init__(self, site: Site, then: Callable[[], object]) -> None:
        super().__init__()
        self.blobs, self.repositories, self._then = site.store.blobs, site.store.repositories, then

    @contextmanager
    def writing(self, wait: float = 0.0) -> Iterator[None]:
        with super().writing(wait):
            yield
        self._then()


@pytest.mark.parametrize("kind", [Kind.PROMOTION, Kind.APPROVAL, Kind.OBSERVATION])
def test_writer_whose_record_was_replaced_is_told_and_none_of_his_is_believed(site: Site, kind: Kind) -> None:
    site.promote(0)
    seen = Observation(healthy=True) if kind is Kind.OBSERVATION else None
    mine = site.next(kind, PINS[0] if seen else PINS[1], observation=seen)
    theirs = site.next(Kind.PROMOTION, PINS[2])
    race = Channels(Race(site, lambda: site.force(theirs, SECOND)), site.channels.folder.parent)
    with pytest.raises(OvertakenError) as caught:
        race.append(PLACE, mine, {Kind.APPROVAL: APPROVER, Kind.OBSERVATION: OBSERVER}.get(kind, OWNER))
    assert caught.value.resolution.startswith("Yours does not count.")
    chain = site.channels.read(PLACE)
    assert (chain.pin, chain.version) == (PINS[2], 2)
    assert mine.statement().digest not in {item.digest for item in chain.entries}


def test_writer_whose_record_vanished_is_told(site: Site) -> None:
    site.promote(0)
    mine = site.next(Kind.RENEWAL)
    race = Channels(Race(site, lambda: site.tags.pop("channel-prod-2")), site.channels.folder.parent)
    with pytest.raises(OvertakenError):
        race.append(PLACE, mine, OWNER)


def test_writer_who_is_followed_at_once_gets_his_own_record(site: Site) -> None:
    site.promote(0)
    mine = site.next(Kind.RENEWAL)
    race = Channels(Race(site, lambda: site.promote(1)), site.channels.folder.parent)
    entry = race.append(PLACE, mine, OWNER)
    assert (entry.record, entry.record.version) == (mine, 2)
    assert site.channels.read(PLACE).version == 3


def test_renewal_takes_over_what_a_former_key_pinned(site: Site) -> None:
    site.promote(0)
    place = environment("prod", replace(RING, promoters=(SECOND.public,), former=(OWNER.public,)))
    with pytest.raises(ForeignRecordError):
        site.channels.read(place)
    chain = site.channels.read(place, any_head=True)
    record = promotion.renewal(place, chain, site.author())
    assert site.channels.append(place, record, SECOND).note == ""
    found = site.channels.read(place)
    assert (found.pin, [item.note != "" for item in found.entries]) == (PINS[0], [True, False])


def test_stranger_with_the_right_to_write_stops_readers_and_moves_nothing(site: Site) -> None:
    site.promote(0)
    site.force(site.next(Kind.PROMOTION, PINS[2]), STRANGER)
    with pytest.raises(ForeignRecordError, match="a record of prod is none") as caught:
        site.channels.read(PLACE)
    assert "record 2 is signed by none of the known keys" in caught.value.details
