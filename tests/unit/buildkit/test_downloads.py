# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A download that breaks off goes on where it stopped, and is the blob all the same or an error."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit.complaints import NotThereError, RegistryError, UnreachableRegistryError, WrongContentError
from buildkit.credentials import Credentials
from buildkit.store import Blob
from tests.fakes.registry import PASSWORD, USER, Ask, Bench, FakeRegistry, Fault, Reply, bench, digest_of

CONTENT = bytes(range(256)) * 40
BLOB = Blob("application/octet-stream", digest_of(CONTENT), len(CONTENT))
BLOBS = "(/blobs/|^/)sha256:"


def holding(fake: FakeRegistry | None = None) -> Bench:
    fake = fake or FakeRegistry()
    fake.blobs["team/app"] = {BLOB.digest: CONTENT}
    return bench(fake, Credentials(USER, PASSWORD))


def after(count: int) -> Fault:
    """Break the connection after `count` bytes of the body."""
    return lambda _, reply: replace(reply, cut=max(0, len(reply.body) - count))


def ranges(at: Bench) -> list[str]:
    return [ask.headers.get("Range", "") for ask in at.fake.asked_for("GET", BLOBS)]


def test_what_came_is_not_asked_for_again(tmp_path: Path) -> None:
    at = holding()
    at.fake.trap("GET", BLOBS, after(1000), times=2)
    at.team.download(BLOB, tmp_path / "blob")
    assert (tmp_path / "blob").read_bytes() == CONTENT
    assert ranges(at) == ["", "bytes=1000-", "bytes=2000-"]
    assert (at.fake.given, at.pauses) == (BLOB.size, [1.0, 2.0])


@given(st.lists(st.integers(0, BLOB.size), max_size=3), st.booleans())
def test_wherever_it_breaks_off_each_byte_comes_once(places: list[int], gives: bool) -> None:  # noqa: FBT001
    at = holding(FakeRegistry(ranges=gives))
    for place in places:
        at.fake.trap("GET", BLOBS, after(place))
    assert b"".join(at.team.chunks(BLOB)) == CONTENT


def test_a_registry_without_ranges_begins_anew() -> None:
    at = holding(FakeRegistry(ranges=False))
    at.fake.trap("GET", BLOBS, after(1000))
    assert at.team.read(BLOB) == CONTENT
    assert at.fake.given == 1000 + BLOB.size


def moved(start: int, whole: object = BLOB.size) -> Fault:
    """Answer a range with another one: its header says so, or its bytes only."""
    said = {"Content-Range": f"bytes {start}-{BLOB.size - 1}/{whole}"}
    return lambda ask, reply: replace(reply, headers=reply.headers | said) if "Range" in ask.headers else reply


@pytest.mark.parametrize(
    "fault",
    [
        moved(999),
        moved(1001),
        moved(1000, BLOB.size + 1),
        moved(1000, "many"),
        lambda *_: Reply(206, CONTENT),
        lambda *_: Reply(416),
        lambda *_: Reply(206, headers={"Content-Range": "bytes 1000-999/" + "9" * 5000}),
    ],
)
def test_another_range_than_the_one_asked_for_is_not_taken(fault: Fault) -> None:
    at = holding()
    at.fake.trap("GET", BLOBS, after(1000))
    at.fake.trap("GET", BLOBS, fault)
    assert at.team.read(BLOB) == CONTENT
    assert ranges(at) == ["", "bytes=1000-", ""]


def test_a_range_with_other_bytes_is_found_out(tmp_path: Path) -> None:
    at = holding()
    at.fake.trap("GET", BLOBS, after(1000))
    at.fake.trap("GET", BLOBS, lambda _, reply: replace(reply, body=reply.body[:-1] + b"x"))
    with pytest.raises(WrongContentError):
        at.team.download(BLOB, tmp_path / "blob")
    assert list(tmp_path.iterdir()) == []


def test_a_range_with_more_than_the_rest_is_found_out() -> None:
    at, sizes = holding(), list[int]()
    at.fake.trap("GET", BLOBS, after(1000))
    at.fake.trap("GET", BLOBS, lambda _, reply: replace(reply, body=reply.body * 9))
    with pytest.raises(WrongContentError, match="does not have"):
        sizes.extend(map(len, at.team.chunks(BLOB)))
    assert sum(sizes) <= BLOB.size


def test_tries_are_counted_and_told() -> None:
    at = holding()
    at.fake.trap("GET", BLOBS, after(1000), times=99)
    with pytest.raises(UnreachableRegistryError, match="breaks off") as caught:
        at.team.read(BLOB)
    assert f"after 4000 of {BLOB.size} bytes" in caught.value.details
    assert at.pauses == [1.0, 2.0, 4.0]


def test_a_break_after_the_last_byte_is_none() -> None:
    at = holding()
    longer = {"Content-Length": str(BLOB.size + 5)}
    at.fake.trap("GET", BLOBS, lambda _, reply: replace(reply, headers=reply.headers | longer))
    assert at.team.read(BLOB) == CONTENT
    assert at.pauses == []


def test_a_blob_that_is_gone_is_not_there() -> None:
    at = holding()
    at.fake.trap("GET", BLOBS, lambda ask, reply: vanish(at, after(1000)(ask, reply)))
    with pytest.raises(NotThereError, match="does not have"):
        at.team.read(BLOB)


def vanish(at: Bench, reply: Reply) -> Reply:
    at.fake.blobs.clear()
    return reply


def denied(*_: object) -> Reply:
    return Reply(403)


def broken(*_: object) -> Reply:
    return Reply(500)


@pytest.mark.parametrize(("fault", "asked"), [(denied, 2), (broken, 5)])
def test_an_error_instead_of_the_rest_is_told(fault: Callable[[Ask, Reply], Reply], asked: int) -> None:
    at = holding()
    at.fake.trap("GET", BLOBS, after(1000))
    at.fake.trap("GET", BLOBS, fault, times=99)
    with pytest.raises(RegistryError):
        at.team.read(BLOB)
    assert len(ranges(at)) == asked


def test_the_rest_from_another_host_takes_no_credentials_along() -> None:
    at = holding(FakeRegistry(auth="basic", storage="https://storage.test"))
    at.fake.trap("GET", "^/sha256:", after(1000), times=2)
    assert at.team.read(BLOB) == CONTENT
    elsewhere = [ask.headers for ask in at.fake.asked if ask.host == "storage.test"]
    assert [headers.get("Range", "") for headers in elsewhere] == ["", "bytes=1000-", "bytes=2000-"]
    assert not any("Authorization" in headers for headers in elsewhere)
    assert at.fake.given == BLOB.size
