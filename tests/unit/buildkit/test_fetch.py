# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What is fetched is what was locked, or an error that says what to do; what is there is not asked for."""

import errno
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from buildkit import fetch
from buildkit.fetch import ArtifactCache, HashMismatchError, MissingArtifactError, fetch_python, fetch_system
from buildkit.index import IndexFile, IndexRelease, NoNetworkError
from buildkit.locks import Artifact, Pin, SystemPackage
from stackway import clock
from stackway.console import PlainReporter, SilentReporter
from stackway.errors import FailedError
from stackway.files import digest_bytes
from stackway.settings import Settings, load_settings
from tests.fakes.archive import FakeArchive

BASH = b"the shell"
CONTENT = {"/debian/pool/bash.deb": BASH, "/security/pool/updates/ssl.deb": b"the fix"}
SILENT = SilentReporter()


def package(name: str, content: bytes, path: str, archive: str = "debian") -> SystemPackage:
    return SystemPackage(name, "1", "amd64", digest_bytes(content), len(content), archive, path)


PACKAGE = package("bash", BASH, "pool/bash.deb")
FIX = package("ssl", b"the fix", "pool/updates/ssl.deb", "security")


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> FakeArchive:
    """Return the server that every session of the test talks to; waiting takes no time."""
    server = FakeArchive(CONTENT)

    def session() -> requests.Session:
        made = requests.Session()
        made.mount("http://", server)
        return made

    monkeypatch.setattr(fetch, "_session", session)
    monkeypatch.setattr(clock, "sleep", lambda _: None)
    return server


@pytest.fixture
def cache(tmp_path: Path) -> ArtifactCache:
    return ArtifactCache(tmp_path / "artifacts")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    mirrors = {
        "debian_mirror": "http://mirror.example/debian/",
        "debian_security_mirror": "http://mirror.example/security",
    }
    return load_settings(tmp_path, mirrors)


def files(cache: ArtifactCache) -> list[str]:
    return sorted(f"sha256:{path.name}" for path in cache.folder.rglob("*") if path.is_file())


def test_packages_come_from_the_archive_that_the_lock_names(
    archive: FakeArchive, cache: ArtifactCache, settings: Settings
) -> None:
    assert fetch_system([PACKAGE, FIX, PACKAGE], cache, settings, SILENT) == 2
    assert sorted(archive.asked) == sorted(CONTENT)
    assert files(cache) == sorted([PACKAGE.digest, FIX.digest])
    assert cache.path(PACKAGE.digest).read_bytes() == BASH
    assert cache.path(PACKAGE.digest).stat().st_mode & 0o777 == 0o444


def test_what_is_in_the_cache_is_not_asked_for(archive: FakeArchive, cache: ArtifactCache, settings: Settings) -> None:
    fetch_system([PACKAGE], cache, settings, SILENT)
    archive.asked.clear()
    assert fetch_system([PACKAGE], cache, settings, SILENT) == 0
    assert fetch_system([], cache, settings, SILENT) == 0
    assert archive.asked == []


def test_python_files_in_the_cache_need_no_index(cache: ArtifactCache) -> None:
    pin = Pin("bash", "1", PACKAGE.digest, "bash-1.whl", len(BASH))
    cache.put(pin.artifact, [BASH])
    assert fetch_python([pin, pin], cache, "3.13", SILENT) == 0


def test_a_file_of_another_size_in_the_cache_counts_as_missing(
    archive: FakeArchive, cache: ArtifactCache, settings: Settings
) -> None:
    path = cache.path(PACKAGE.digest)
    path.parent.mkdir(parents=True)
    path.write_bytes(BASH[:3])
    assert fetch_system([PACKAGE], cache, settings, SILENT) == 1
    assert path.read_bytes() == BASH
    assert archive.asked == ["/debian/pool/bash.deb"]


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"The shell", f"9 bytes, {digest_bytes(b'The shell')}"),
        (b"the", f"3 bytes, {digest_bytes(b'the')}"),
        (b"", f"0 bytes, {digest_bytes(b'')}"),
        (b"the shell and more", "more than 9 bytes"),
    ],
)
def test_another_file_than_the_locked_one_is_refused(
    archive: FakeArchive, cache: ArtifactCache, settings: Settings, content: bytes, got: str
) -> None:
    archive.files = {"/debian/pool/bash.deb": content}
    with pytest.raises(HashMismatchError, match="bash 1 is not the file that was locked") as caught:
        fetch_system([PACKAGE], cache, settings, SILENT)
    assert caught.value.details.splitlines()[1] == f"got: {got}"
    assert "Do not build from it" in caught.value.resolution
    assert (files(cache), len(archive.asked)) == ([], 1)


@pytest.mark.parametrize("status", [404, 410])
def test_a_file_that_is_gone_is_asked_for_once(
    archive: FakeArchive, cache: ArtifactCache, settings: Settings, status: int
) -> None:
    archive.troubles.append(status)
    with pytest.raises(MissingArtifactError, match="bash 1 is no longer in the archive") as caught:
        fetch_system([PACKAGE], cache, settings, SILENT)
    assert "snapshots" in caught.value.resolution
    assert len(archive.asked) == 1


@pytest.mark.parametrize(
    "message",
    [
        "Failed to establish a new connection: [Errno 111] Connection refused",
        "Failed to resolve 'mirror.example'",
        "[Errno 101] Network is unreachable",
    ],
)
def test_a_network_that_is_not_there_is_said_at_once(
    archive: FakeArchive, cache: ArtifactCache, settings: Settings, message: str
) -> None:
    archive.troubles.append(requests.ConnectionError(message))
    with pytest.raises(NoNetworkError, match="bash 1 is not in the cache and cannot be fetched") as caught:
        fetch_system([PACKAGE], cache, settings, SILENT)
    assert (len(archive.asked), caught.value.details) == (1, message)


@pytest.mark.parametrize(
    "trouble", [b"the sh", 500, 503, requests.Timeout("slow"), requests.ConnectionError("reset by peer")]
)
@pytest.mark.parametrize("times", [1, 2])
def test_a_passing_trouble_is_tried_again(
    archive: FakeArchive,
    cache: ArtifactCache,
    settings: Settings,
    trouble: bytes | int | requests.RequestException,
    times: int,
) -> None:
    archive.troubles.extend([trouble] * times)
    assert fetch_system([PACKAGE], cache, settings, SILENT) == 1
    assert len(archive.asked) == times + 1
    assert files(cache) == [PACKAGE.digest]


def test_a_lasting_trouble_ends_after_the_third_try(
    archive: FakeArchive, cache: ArtifactCache, settings: Settings
) -> None:
    archive.troubles.extend([500] * 9)
    with pytest.raises(NoNetworkError, match="cannot be fetched"):
        fetch_system([PACKAGE], cache, settings, SILENT)
    assert (len(archive.asked), files(cache)) == (3, [])


def test_what_was_fetched_before_an_error_stays(archive: FakeArchive, cache: ArtifactCache, settings: Settings) -> None:
    fetch_system([FIX], cache, settings, SILENT)
    archive.files = {}
    said = io.StringIO()
    with pytest.raises(MissingArtifactError):
        fetch_system([FIX, PACKAGE], cache, settings, PlainReporter(said))
    assert files(cache) == [FIX.digest]
    assert "not all could be fetched" in said.getvalue()


def full_disk(code: int) -> Iterator[bytes]:
    yield b"the"
    raise OSError(code, "")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_is_said_and_leaves_nothing(cache: ArtifactCache, code: int) -> None:
    with pytest.raises(FailedError, match="cannot store bash 1: ") as caught:
        cache.put(PACKAGE.artifact, full_disk(code))
    assert "Free some space" in caught.value.resolution
    assert files(cache) == []


def test_a_file_of_unknown_size_is_taken_up_to_a_limit(cache: ArtifactCache, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = Artifact("x.whl", digest_bytes(b"12345"), 0)
    cache.put(unknown, [b"123", b"45"])
    assert cache.missing([unknown]) == []
    monkeypatch.setattr(fetch, "MAX_BYTES", 4)
    with pytest.raises(HashMismatchError) as caught:
        cache.put(unknown, [b"123", b"45"])
    assert "got: more than 4 bytes" in caught.value.details


WHEEL = b"a wheel"
PIN = Pin("x", "1", digest_bytes(WHEEL), "x-1-py3-none-any.whl", len(WHEEL))
OLDER = Pin("x", "0", digest_bytes(b"an older wheel"), "x-0-py3-none-any.whl", 14)


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, archive: FakeArchive) -> list[str]:
    """Let uv's answer name the archive's files; return what was asked."""
    asked: list[str] = []

    def answer(requirements: str, python: str, options: tuple[str, ...]) -> dict[str, IndexRelease]:
        asked.append(f"{python} {requirements.strip()} {' '.join(options)}")
        name, version = requirements.strip().split("==")
        content = archive.files[f"/index/{version}"]
        file = IndexFile("x.whl", f"http://index.example/index/{version}", digest_bytes(content), 0)
        return {name: IndexRelease(name, version, (file,))}

    archive.files = {"/index/1": WHEEL, "/index/0": b"an older wheel"}
    monkeypatch.setattr(fetch, "index_files", answer)
    return asked


def test_python_files_come_from_where_the_index_says(index: list[str], cache: ArtifactCache) -> None:
    assert fetch_python([PIN, OLDER, PIN], cache, "3.13", SILENT) == 2
    assert sorted(index) == ["3.13 x==0 --no-deps", "3.13 x==1 --no-deps"]
    assert cache.path(PIN.digest).read_bytes() == WHEEL


def test_a_python_file_that_the_index_no_longer_has_is_named(
    index: list[str], archive: FakeArchive, cache: ArtifactCache
) -> None:
    archive.files = {"/index/1": b"another wheel"}
    with pytest.raises(MissingArtifactError, match=r"x-1-py3-none-any\.whl is no longer") as caught:
        fetch_python([PIN], cache, "3.13", SILENT)
    assert (caught.value.details, len(index), archive.asked) == (f"locked: {PIN.digest}", 1, [])


PINS = st.builds(
    lambda name, version: Pin(name, version, digest_bytes(f"{name}{version}".encode()), f"{name}-{version}.whl", 1),
    st.sampled_from("abc"),
    st.sampled_from("123"),
)


@given(st.lists(PINS, unique=True))
def test_the_index_is_asked_about_one_version_of_each_name_at_a_time(pins: list[Pin]) -> None:
    batches = list(fetch._without_conflicts(pins))
    assert all(len({pin.name for pin in batch}) == len(batch) for batch in batches)
    assert sorted([pin for batch in batches for pin in batch], key=repr) == sorted(pins, key=repr)
