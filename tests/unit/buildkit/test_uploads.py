# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Large blobs go out in parts; after a break the registry says what it has, and only the rest is sent."""

import io
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit import uploads
from buildkit.bodies import DamagedBlobError
from buildkit.complaints import AccessDeniedError, RegistryError, UnreachableRegistryError, UntrustedRegistryError
from buildkit.credentials import Credentials
from buildkit.store import Blob
from tests.fakes.registry import PASSWORD, USER, Ask, Bench, FakeRegistry, Fault, Reply, bench, digest_of

PART = 1000
CONTENT = bytes(range(256)) * 16
BLOB = Blob("application/octet-stream", digest_of(CONTENT), len(CONTENT))
STARTS = ["0-999", "1000-1999", "2000-2999", "3000-3999", "4000-4095"]
RESET = Reply(0, reset=True)


@pytest.fixture(autouse=True, scope="module")
def small_parts() -> Iterator[None]:
    """Make a few kilobytes large enough to go out in parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uploads, "PART", PART)
        patch.setattr(uploads, "LARGE", 2 * PART)
        yield


def opened() -> io.BytesIO:
    return io.BytesIO(CONTENT)


def arrives(at: Bench) -> bool:
    return at.fake.blobs["team/app"].get(BLOB.digest) == CONTENT


def parts(at: Bench) -> list[str]:
    return [ask.headers["Content-Range"] for ask in at.fake.asked_for("PATCH")]


def sent(at: Bench) -> int:
    return sum(len(ask.body) for ask in at.fake.asked)


def losing(at: Bench, count: int) -> Fault:
    """Break the connection when all but the last `count` bytes of a part have arrived."""

    def fault(ask: Ask, _: Reply) -> Reply:
        name = ask.path.rpartition("/")[2]
        at.fake.uploads[name] = at.fake.uploads[name][: len(at.fake.uploads[name]) - count]
        return RESET

    return fault


def test_a_large_blob_goes_out_in_parts() -> None:
    at = bench()
    assert at.team.upload(BLOB, opened) == BLOB.size
    assert arrives(at)
    assert parts(at) == STARTS
    assert [ask.body for ask in at.fake.asked_for("PUT")] == [b""]
    assert sent(at) == BLOB.size


def test_a_blob_that_is_not_large_goes_out_whole() -> None:
    at, small = bench(), CONTENT[: 2 * PART]
    at.team.upload(Blob("x/y", digest_of(small), len(small)), lambda: io.BytesIO(small))
    assert parts(at) == []


def test_a_blob_that_is_there_is_not_even_opened() -> None:
    at = bench()
    at.team.upload(BLOB, opened)

    def closed() -> io.BytesIO:
        raise AssertionError

    assert at.team.upload(BLOB, closed, mount_from="base") == 0


@pytest.mark.parametrize(
    ("lost", "second"), [(PART, "1000-1999"), (400, "1600-1999"), (1, "1999-1999"), (0, "2000-2999")]
)
def test_after_a_break_only_the_rest_is_sent(lost: int, second: str) -> None:
    at = bench()
    at.fake.trap("PATCH", "", lambda _, reply: reply)
    at.fake.trap("PATCH", "", losing(at, lost))
    assert at.team.upload(BLOB, opened) == BLOB.size
    assert arrives(at)
    assert parts(at)[2] == second
    assert sent(at) == BLOB.size + lost
    assert at.pauses == [1.0]


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, PART)), max_size=3))
def test_wherever_it_breaks_the_blob_arrives(breaks: list[tuple[int, int]]) -> None:
    at = bench()
    for after, lost in breaks:
        at.fake.trap("PATCH", "", lambda _, reply: reply, times=after - 1)
        at.fake.trap("PATCH", "", losing(at, lost))
    at.team.upload(BLOB, opened)
    assert arrives(at)


@pytest.mark.parametrize("status", [500, 502, 504])
def test_an_error_that_may_pass_is_a_break(status: int) -> None:
    at = bench()
    at.fake.trap("PATCH", "", lambda *_: Reply(status))
    at.team.upload(BLOB, opened)
    assert arrives(at)
    assert sent(at) == BLOB.size


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_registry_gets_the_same_part_again(status: int) -> None:
    at = bench()
    at.fake.trap("PATCH", "", lambda ask, _: replace(losing(at, PART)(ask, RESET), status=status, reset=False))
    at.team.upload(BLOB, opened)
    assert arrives(at)
    assert parts(at)[:2] == ["0-999", "0-999"]


def forgets(at: Bench) -> Fault:
    def fault(*_: object) -> Reply:
        at.fake.uploads.clear()
        return RESET

    return fault


def test_an_upload_that_the_registry_forgot_begins_anew_whole() -> None:
    at = bench()
    at.fake.trap("PATCH", "", lambda _, reply: reply, times=2)
    at.fake.trap("PATCH", "", forgets(at))
    assert at.team.upload(BLOB, opened) == BLOB.size
    assert arrives(at)
    assert sent(at) == 3 * PART + BLOB.size
    assert len(at.fake.asked_for("PUT")[-1].body) == BLOB.size


def test_a_registry_that_takes_no_parts_gets_all_at_once() -> None:
    at = bench(FakeRegistry(parts=False))
    at.team.upload(BLOB, opened)
    assert arrives(at)
    assert len(parts(at)) == 1


@pytest.mark.parametrize("said", ["", "0-x", "5-9", "0-99999", "0-" + "9" * 5000])
def test_a_progress_that_cannot_be_means_beginning_anew(said: str) -> None:
    at = bench()
    at.fake.trap("PATCH", "", losing(at, 0))
    at.fake.trap("GET", "/uploads/", lambda _, reply: replace(reply, headers=reply.headers | {"Range": said}))
    at.team.upload(BLOB, opened)
    assert arrives(at)
    assert len(at.fake.asked_for("PUT")[-1].body) == BLOB.size


def test_a_registry_that_breaks_off_for_ever_is_told() -> None:
    at = bench()
    at.fake.trap("PATCH", "", losing(at, PART), times=999)
    with pytest.raises(UnreachableRegistryError):
        at.team.upload(BLOB, opened)
    assert len(parts(at)) <= 16
    assert sum(at.pauses) < 60


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"x", CONTENT[:-1], CONTENT + b"x", CONTENT[: 3 * PART], b""])
def test_a_damaged_blob_is_never_finished(content: bytes) -> None:
    at = bench()
    with pytest.raises(DamagedBlobError, match=BLOB.digest):
        at.team.upload(BLOB, lambda: io.BytesIO(content))
    assert at.fake.asked_for("PUT") == []
    assert not arrives(at)


def test_a_source_that_gives_little_at_a_time_is_sent_whole() -> None:
    class Slow(io.BytesIO):
        def read(self, count: int | None = -1, /) -> bytes:
            return super().read(min(count or 0, 300))

    at = bench()
    at.team.upload(BLOB, lambda: Slow(CONTENT))
    assert arrives(at)


def test_an_answer_lost_at_the_end_is_not_sent_twice() -> None:
    at = bench()
    at.fake.trap("PUT", "", lambda *_: RESET)
    assert at.team.upload(BLOB, opened) == BLOB.size
    assert sent(at) == BLOB.size


def test_a_registry_that_changes_what_it_gets_is_told() -> None:
    at = bench()
    at.fake.trap("PATCH", "", lambda ask, reply: damaged(at, ask, reply))
    with pytest.raises(RegistryError, match="400"):
        at.team.upload(BLOB, opened)
    assert not arrives(at)


def damaged(at: Bench, ask: Ask, reply: Reply) -> Reply:
    at.fake.uploads[ask.path.rpartition("/")[2]] = b"x" * PART
    return reply


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_parts_on_another_host_get_no_credentials(method: str) -> None:
    at = bench(FakeRegistry(auth="basic"), Credentials(USER, PASSWORD))
    place = {"Location": "https://storage.test/v2/team/app/blobs/uploads/1"}
    at.fake.trap(
        method, "", lambda _, reply: replace(reply, headers=reply.headers | place) if reply.status == 202 else reply, 2
    )
    with pytest.raises(AccessDeniedError):
        at.team.upload(BLOB, opened)
    told = {ask.host for ask in at.fake.asked if "Authorization" in ask.headers}
    assert told == {"registry.test"}
    assert any(ask.host == "storage.test" for ask in at.fake.asked)


@pytest.mark.parametrize(
    ("place", "problem"),
    [("http://registry.test/v2/x", UntrustedRegistryError), ("https://[", RegistryError)],
)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_the_next_part_goes_to_no_bad_address(method: str, place: str, problem: type[Exception]) -> None:
    at = bench()
    at.fake.trap(method, "", lambda _, reply: replace(reply, headers={"Location": place}))
    with pytest.raises(problem):
        at.team.upload(BLOB, opened)
    assert len(parts(at)) <= 1
