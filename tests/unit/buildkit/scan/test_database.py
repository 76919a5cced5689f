# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
import bz2
import gzip
import io
import json
import lzma
import shutil
import struct
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from buildkit.scan import database as module
from buildkit.scan.database import Database
from stackway.errors import FailedError, StackwayError, UnavailableError, WrongInputError
from stackway.files import digest_file
from tests import advisories
from tests.advisories import Advisory
from tests.fakes.scanned import NOW

GIVEN = advisories.Database([Advisory("CVE-1-1", "bash", "debian 13")], NOW)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return GIVEN.write(tmp_path / "source")


@pytest.fixture
def kept(tmp_path: Path) -> Database:
    """A database that is there already, a day older."""
    database = Database(tmp_path / "cache")
    database.bring(replace(GIVEN, updated=NOW - timedelta(days=1)).write(tmp_path / "older"))
    return database


def archive(folder: Path, target: Path, prefix: str = "", more: int = 0) -> Path:
    with tarfile.open(target, "w:gz") as tar:
        for number in range(more):
            tar.addfile(tarfile.TarInfo(f"junk-{number}"), io.BytesIO())
        for path in sorted(folder.iterdir()):
            tar.add(path, f"{prefix}{path.name}")
    return target


def layout(folder: Path, target: Path) -> Path:
    """Write an OCI layout with the database as its one layer."""
    blobs = target / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(path: Path) -> str:
        digest = digest_file(path)
        path.rename(blobs / digest.removeprefix("sha256:"))
        return digest

    layer = blob(archive(folder, target / "layer"))
    (target / "manifest").write_text(json.dumps({"layers": [{"digest": layer}]}))
    manifest = blob(target / "manifest")
    (target / "index.json").write_text(json.dumps({"manifests": [{"digest": manifest}]}))
    return target


def test_nothing_there_says_how_to_bring_one(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="there is no vulnerability database") as caught:
        Database(tmp_path).state()
    assert "release scan db import" in caught.value.resolution


@pytest.mark.parametrize("form", ["folder", "folder above", "archive", "archive with a prefix", "layout"])
def test_a_database_is_taken_in_each_form(tmp_path: Path, source: Path, form: str) -> None:
    given = source
    if form == "folder above":
        given = tmp_path / "above"
        shutil.copytree(source, given / "db")
    elif form.startswith("archive"):
        given = archive(source, tmp_path / "db.tar.gz", "./x/" if "prefix" in form else "")
    elif form == "layout":
        given = layout(source, tmp_path / "layout")
    state = Database(tmp_path / "cache").bring(given)
    assert state.facts.updated == "2026-11-23T00:00:00Z"
    assert state.facts.digest == digest_file(source / "trivy.db")
    assert state.facts.source == f"file {given.name}"
    assert {path.name for path in state.folder.iterdir()} == {"trivy.db", "metadata.json", "stackway-source.json"}


def test_state_tells_age_and_whether_a_newer_one_is_due(tmp_path: Path, source: Path) -> None:
    state = Database(tmp_path / "cache").bring(source)
    assert state.age(NOW + timedelta(hours=5)) == "5 hours"
    assert not state.is_due(NOW + timedelta(hours=5, minutes=59))
    assert state.is_due(NOW + timedelta(hours=6))
    assert state.to_dict(NOW)["size"] == (source / "trivy.db").stat().st_size


DAMAGE: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "cut off": ("trivy.db", lambda given: given[:-100]),
    "cut off at a page": ("trivy.db", lambda given: given[:-4096]),
    "more than whole pages": ("trivy.db", lambda given: given + b"x"),
    "beginning only": ("trivy.db", lambda given: given[:8192]),
    "empty": ("trivy.db", lambda _: b""),
    "another file": ("trivy.db", lambda _: b"SQLite format 3\0" + b"x" * 4080),
    "another schema": ("metadata.json", lambda given: given.replace(b'"Version": 2', b'"Version": 1')),
    "no age": ("metadata.json", lambda given: given.replace(b"UpdatedAt", b"Updated")),
    "an age that says nothing": ("metadata.json", lambda given: given.replace(b"2026", b"0001")),
    "metadata cut off": ("metadata.json", lambda given: given[:-3]),
    "metadata of another kind": ("metadata.json", lambda _: b"[]"),
    "metadata that is no text": ("metadata.json", lambda _: b"\xff\xfe"),
}


def spoil(source: Path, how: str) -> None:
    if how.startswith("no file "):
        (source / how.removeprefix("no file ")).unlink()
        return
    name, change = DAMAGE[how]
    (source / name).write_bytes(change((source / name).read_bytes()))


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "archive"])
@pytest.mark.parametrize("how", ["no file trivy.db", "no file metadata.json", *DAMAGE])
def test_what_is_no_whole_database_is_refused_and_the_old_one_stays(
    tmp_path: Path, source: Path, kept: Database, how: str, *, packed: bool
) -> None:
    before = kept.state()
    spoil(source, how)
    given = archive(source, tmp_path / "db.tar.gz") if packed else source
    with pytest.raises(FailedError, match="the vulnerability database cannot be used"):
        kept.bring(given)
    assert kept.state() == before
    assert {path.name for path in kept.cache.iterdir()} == {"db", "db.lock"}


def test_archives_that_are_none_or_far_too_much_are_refused(
    tmp_path: Path, source: Path, kept: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WrongInputError, match="there is no "):
        kept.bring(tmp_path / "nothing")
    (tmp_path / "text").write_text("no archive")
    cut = archive(source, tmp_path / "cut.tar.gz")
    cut.write_bytes(cut.read_bytes()[:-60])
    for given in (tmp_path / "text", cut, archive(source, tmp_path / "many.tar.gz", more=100)):
        with pytest.raises(FailedError, match="cannot be used"):
            kept.bring(given)
    monkeypatch.setattr(module, "_MAX_BYTES", 4096)
    with pytest.raises(FailedError, match="cannot be used") as caught:
        kept.bring(archive(source, tmp_path / "large.tar.gz"))
    assert "trivy.db is larger than 4096 bytes" in caught.value.details


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("where", [0.4, 0.8, None], ids=["middle", "later", "checksum cut off"])
def test_an_archive_with_damage_anywhere_is_refused(
    tmp_path: Path, source: Path, kept: Database, compress: Callable[[bytes], bytes], where: float | None
) -> None:
    before = kept.state()
    with (source / "trivy.db").open("ab") as file:
        file.write(Random(1).randbytes(1 << 18))
    given = archive(source, tmp_path / "db.tar")
    content = compress(gzip.decompress(given.read_bytes()))
    at = int(len(content) * (where or 0))
    given.write_bytes(content[:at] + b"\xff" * 16 + content[at + 16 :] if where else content[:-4])
    with pytest.raises(FailedError, match="the vulnerability database cannot be used"):
        kept.bring(given)
    assert kept.state() == before


def test_as_many_pages_are_wanted_as_the_later_transaction_has(tmp_path: Path, source: Path) -> None:
    path = source / "trivy.db"
    content = bytearray(path.read_bytes())
    pages = len(content) // 4096
    # The first page tells of an older transaction, in which the file was to be larger.
    content[16 + 40 : 16 + 48] = struct.pack("<Q", pages + 9)
    path.write_bytes(content)
    assert Database(tmp_path / "cache").bring(source).size == len(content)
    content[4096 + 16 + 40 : 4096 + 16 + 48] = struct.pack("<Q", pages + 1)
    path.write_bytes(content)
    with pytest.raises(FailedError, match="cannot be used") as caught:
        Database(tmp_path / "cache").bring(source)
    assert caught.value.details == f"trivy.db ({len(content)} bytes) is no whole bbolt file"


def test_metadata_that_never_ends_is_refused(source: Path, kept: Database) -> None:
    (source / "metadata.json").write_text(json.dumps({"Version": 2, "UpdatedAt": "x" * (1 << 16)}))
    with pytest.raises(FailedError, match="cannot be used") as caught:
        kept.bring(source)
    assert caught.value.details == "metadata.json is larger than 65536 bytes"


def test_a_bomb_behind_the_last_member_is_refused(
    tmp_path: Path, source: Path, kept: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = archive(source, tmp_path / "db.tar.gz")
    with gzip.open(given, "ab") as file:
        file.write(b"\0" * (1 << 20))
    monkeypatch.setattr(module, "_MAX_BYTES", 1 << 19)
    with pytest.raises(FailedError, match="cannot be used") as caught:
        kept.bring(given)
    assert caught.value.details.endswith("goes on for more than 524288 bytes behind its last member")


@pytest.mark.parametrize(
    "index",
    ["{", "[]", '{"manifests": []}', '{"manifests": [{"digest": "sha256:"}]}', '{"manifests": [{"digest": ".."}]}'],
)
def test_an_odd_layout_is_refused(tmp_path: Path, source: Path, kept: Database, index: str) -> None:
    given, before = layout(source, tmp_path / "layout"), kept.state()
    (given / "index.json").write_text(index)
    with pytest.raises(StackwayError):
        kept.bring(given)
    assert kept.state() == before


def test_a_layout_with_a_damaged_layer_is_refused(tmp_path: Path, source: Path, kept: Database) -> None:
    given = layout(source, tmp_path / "layout")
    blob = max((given / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    with pytest.raises(FailedError, match="cannot be used") as caught:
        kept.bring(given)
    assert f"the blob sha256:{blob.name} is missing or damaged" in caught.value.details


def test_a_folder_in_place_of_the_file_is_refused(source: Path, kept: Database) -> None:
    (source / "trivy.db").unlink()
    (source / "trivy.db").mkdir()
    with pytest.raises(FailedError, match="cannot be used"):
        kept.bring(source)


@pytest.mark.parametrize("left", [None, "", "{", "[]", '{"digest": "sha256:0"}'])
def test_a_database_that_trivy_itself_fetched_can_be_used(tmp_path: Path, source: Path, left: str | None) -> None:
    database = Database(tmp_path / "cache")
    shutil.copytree(source, database.folder)
    if left is not None:
        (database.folder / "stackway-source.json").write_text(left)
    facts = database.state().facts
    assert (facts.source, facts.digest) == ("put here by other means", digest_file(source / "trivy.db"))
    assert database.state().facts == facts


def test_a_file_put_there_by_other_means_is_noticed(kept: Database, source: Path) -> None:
    before = kept.state().facts
    shutil.copy(source / "trivy.db", kept.folder / "trivy.db.new")
    with (kept.folder / "trivy.db.new").open("ab") as file:
        file.write(b"\0" * 4096)
    (kept.folder / "trivy.db.new").rename(kept.folder / "trivy.db")
    after = kept.state().facts
    assert after.source == "put here by other means"
    assert after.digest not in {before.digest, ""}


@dataclass(frozen=True)
class Downloads:
    """A scanner that gets this database; without one it fails, or says nothing and brings nothing."""

    given: advisories.Database | None
    is_silent: bool = False

    def download(self, repository: str, cache: Path, timeout: float) -> None:
        assert timeout
        if self.is_silent:
            return
        if self.given is None:
            raise FailedError("trivy ended with exit code 1", details=f"no such host: {repository}")
        self.given.write(cache / "db")


def test_update_replaces_the_database_and_names_its_source(kept: Database) -> None:
    state = kept.update(Downloads(GIVEN), "registry.example/trivy-db", 5.0)
    assert (state.facts.updated, state.facts.source) == ("2026-11-23T00:00:00Z", "registry.example/trivy-db")
    assert kept.update(Downloads(GIVEN), "", 5.0).facts.source == "Trivy's own registries"
    assert {path.name for path in kept.cache.iterdir()} == {"db", "db.lock"}


def test_update_that_fails_leaves_the_database_that_is_there(kept: Database) -> None:
    before = kept.state()
    with pytest.raises(UnavailableError, match="no newer vulnerability database can be fetched") as caught:
        kept.update(Downloads(None), "registry.example", 5.0)
    assert "no such host: registry.example" in caught.value.details
    with pytest.raises(FailedError, match="cannot be used"):
        kept.update(Downloads(None, is_silent=True), "", 5.0)
    broken = replace(GIVEN, updated=NOW.replace(year=1))
    with pytest.raises(StackwayError, match="cannot be used"):
        kept.update(Downloads(broken), "", 5.0)
    assert kept.state() == before
