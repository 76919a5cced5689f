# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
import io
import json
import shutil
import tarfile
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

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


def spoil(source: Path, how: str) -> None:
    path = source / "trivy.db"
    metadata = json.loads((source / "metadata.json").read_text())
    match how:
        case "no database":
            path.unlink()
        case "no metadata":
            (source / "metadata.json").unlink()
        case "cut off":
            path.write_bytes(path.read_bytes()[:-100])
        case "empty":
            path.write_bytes(b"")
        case "another file":
            path.write_bytes(b"SQLite format 3\0" + b"x" * 4080)
        case "another schema":
            (source / "metadata.json").write_text(json.dumps({**metadata, "Version": 1}))
        case "no age":
            (source / "metadata.json").write_text(json.dumps({**metadata, "UpdatedAt": "0001-01-01T00:00:00Z"}))
        case "metadata cut off":
            (source / "metadata.json").write_text(json.dumps(metadata)[:-3])
        case "metadata of another kind":
            (source / "metadata.json").write_text("[]")


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "archive"])
@pytest.mark.parametrize(
    "how",
    [
        "no database",
        "no metadata",
        "cut off",
        "empty",
        "another file",
        "another schema",
        "no age",
        "metadata cut off",
        "metadata of another kind",
    ],
)
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


@pytest.mark.parametrize("what", ["blob", "index"])
def test_a_damaged_layout_is_refused(tmp_path: Path, source: Path, kept: Database, what: str) -> None:
    given = layout(source, tmp_path / "layout")
    if what == "blob":
        blob = max((given / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
        blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    else:
        (given / "index.json").write_text('{"manifests": []}')
    with pytest.raises(FailedError, match="cannot be used"):
        kept.bring(given)


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
    """A scanner that gets this database, or fails."""

    given: advisories.Database | None

    def download(self, repository: str, cache: Path, timeout: float) -> None:
        assert timeout
        if self.given is None:
            raise FailedError("trivy ended with exit code 1", details=f"no such host: {repository}")
        self.given.write(cache / "db")


def test_update_replaces_the_database_and_names_its_source(kept: Database) -> None:
    state = kept.update(Downloads(GIVEN), "registry.example/trivy-db", 5.0)
    assert (state.facts.updated, state.facts.source) == ("2026-11-23T00:00:00Z", "registry.example/trivy-db")
    assert kept.update(Downloads(GIVEN), "", 5.0).facts.source == "Trivy's own registries"


def test_update_that_fails_leaves_the_database_that_is_there(kept: Database) -> None:
    before = kept.state()
    with pytest.raises(UnavailableError, match="no newer vulnerability database can be fetched") as caught:
        kept.update(Downloads(None), "registry.example", 5.0)
    assert "no such host: registry.example" in caught.value.details
    broken = replace(GIVEN, updated=NOW.replace(year=1))
    with pytest.raises(StackwayError, match="cannot be used"):
        kept.update(Downloads(broken), "", 5.0)
    assert kept.state() == before
