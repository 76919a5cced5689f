# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The registry client believes digests only, keeps credentials to itself, and tries again only what may be repeated."""

import base64
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from buildkit.bodies import DamagedBlobError
from buildkit.complaints import (
    AccessDeniedError,
    RegistryError,
    UnreachableRegistryError,
    UntrustedRegistryError,
    WrongContentError,
)
from buildkit.credentials import Credentials, choose, find_credentials
from buildkit.references import Reference, is_loopback, parse_reference
from buildkit.registry import MANIFEST_MAX, Manifest, open_registry
from buildkit.store import Blob
from buildkit.transport import parse_challenges
from stackway.errors import StackwayError, UnavailableError, WrongInputError
from tests.fakes.registry import (
    MANIFEST,
    PASSWORD,
    TOKEN,
    USER,
    Ask,
    FakeRegistry,
    Reply,
    bench,
    digest_of,
)

CONTENT = b"a layer" * 1000
BLOB = Blob("application/octet-stream", digest_of(CONTENT), len(CONTENT))
EMPTY = Manifest(json.dumps({"schemaVersion": 2, "mediaType": MANIFEST}).encode(), MANIFEST)
CREDENTIALS = Credentials(USER, PASSWORD)


def holding(fake: FakeRegistry | None = None) -> FakeRegistry:
    fake = fake or FakeRegistry()
    fake.blobs["team/app"] = {BLOB.digest: CONTENT}
    fake.manifests["team/app"] = dict.fromkeys(("1", EMPTY.digest), (MANIFEST, EMPTY.content))
    return fake


def opened() -> io.BytesIO:
    return io.BytesIO(CONTENT)


def told(error: StackwayError) -> str:
    return f"{error} {error!r} {error.brief} {error.details} {error.resolution}"


# References


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("registry.test/app", ("registry.test", "app", "", "")),
        ("oci://registry.test:5000/team/app:2026.1", ("registry.test:5000", "team/app", "2026.1", "")),
        ("localhost/app:1", ("localhost", "app", "1", "")),
        ("[::1]:5000/app", ("[::1]:5000", "app", "", "")),
        (f"r.test/a@{BLOB.digest}", ("r.test", "a", "", BLOB.digest)),
        (f"r.test/a:1@{BLOB.digest}", ("r.test", "a", "1", BLOB.digest)),
    ],
)
def test_a_reference_has_its_parts(text: str, parts: tuple[str, str, str, str]) -> None:
    found = parse_reference(text)
    assert found == Reference(*parts)
    assert parse_reference(str(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "", "keystone", "team/keystone:1", "registry.test/", "registry.test/Upper", "registry.test/a:", "registry.test/a:-x",
        "registry.test/a@sha256:12", "registry.test/a@sha512:" + "0" * 128, "registry.test/../a", "registry.test/a//b",
        "user:secret@registry.test/a", "registry.test:99999999/a", "registry.test/a\n", "-r.test/a", "registry.test/a?x=1",
    ],
)  # fmt: skip
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(WrongInputError):
        parse_reference(text)


@given(st.text(max_size=60))
def test_a_reference_that_is_taken_is_safe_in_an_address(text: str) -> None:
    try:
        found = parse_reference(f"registry.test/{text}")
    except WrongInputError:
        return
    assert not set(str(found)) & set(" \t\r\n?#%\\\"'<>")
    assert ".." not in found.repository


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1:5000", True), ("localhost", True), ("[::1]:5000", True), ("127.9.9.9", True),
        ("127.0.0.1.evil.test", False), ("localhost.evil.test", False), ("10.0.0.1", False), ("registry.test", False),
    ],
)  # fmt: skip
def test_only_this_machine_is_loopback(host: str, *, here: bool) -> None:
    assert is_loopback(host) is here


@pytest.mark.parametrize(
    ("host", "plain", "base"),
    [
        ("127.0.0.1:5000", None, "http://127.0.0.1:5000"),
        ("127.0.0.1:5000", False, "https://127.0.0.1:5000"),
        ("registry.test", None, "https://registry.test"),
        ("registry.test", True, "http://registry.test"),
        ("docker.io", None, "https://registry-1.docker.io"),
    ],
)
def test_http_without_encryption_is_for_loopback_or_asked_for(
    host: str, base: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, plain: bool | None
) -> None:
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "none"))
    assert open_registry(host, plain_http=plain).transport.base == base


def test_a_word_is_no_registry() -> None:
    with pytest.raises(WrongInputError):
        open_registry("team")


# Blobs


def test_a_blob_is_uploaded_once_and_found() -> None:
    at = bench()
    assert not at.team.has(BLOB)
    assert at.team.upload(BLOB, opened) == BLOB.size
    assert at.team.has(BLOB)
    assert at.fake.blobs["team/app"][BLOB.digest] == CONTENT


@pytest.mark.parametrize("absolute", [True, False])
def test_the_place_to_upload_to_may_be_relative_and_keeps_its_query(*, absolute: bool) -> None:
    at = bench(FakeRegistry(absolute=absolute))
    at.team.upload(BLOB, opened)
    assert at.fake.asked_for("PUT")[0].query == {"_state": "abc", "digest": BLOB.digest}


def test_an_empty_blob_is_uploaded_with_its_length() -> None:
    at, empty = bench(), Blob("x", digest_of(b""), 0)
    assert at.team.upload(empty, io.BytesIO) == 0
    assert at.fake.blobs["team/app"] == {empty.digest: b""}


@pytest.mark.parametrize(("mounts", "sent"), [(True, 0), (False, BLOB.size)])
def test_a_blob_of_another_repository_is_mounted_where_the_registry_does_that(sent: int, *, mounts: bool) -> None:
    at = bench(FakeRegistry(mounts=mounts))
    at.registry.repository("base").upload(BLOB, opened)
    assert at.team.upload(BLOB, opened, mount_from="base") == sent
    assert at.team.has(BLOB)


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"x", CONTENT[:-1], CONTENT + b"x", b""])
def test_a_damaged_blob_of_ours_does_not_arrive(content: bytes) -> None:
    at = bench()
    with pytest.raises(DamagedBlobError, match=BLOB.digest):
        at.team.upload(BLOB, lambda: io.BytesIO(content))
    assert not at.team.has(BLOB)


def test_a_downloaded_blob_is_whole(tmp_path: Path) -> None:
    at = bench(holding())
    at.team.download(BLOB, tmp_path / "blob")
    assert (tmp_path / "blob").read_bytes() == CONTENT
    assert at.team.read(BLOB) == CONTENT


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"x", CONTENT[:-1], CONTENT + b"x", b""])
def test_another_content_under_a_digest_is_refused_and_not_kept(content: bytes, tmp_path: Path) -> None:
    at = bench(holding())
    at.fake.blobs["team/app"][BLOB.digest] = content
    with pytest.raises(WrongContentError, match="does not have what was asked for"):
        at.team.download(BLOB, tmp_path / "blob")
    assert list(tmp_path.iterdir()) == []


def test_no_more_is_read_than_the_blob_may_have() -> None:
    at, sizes = bench(holding()), list[int]()
    at.fake.blobs["team/app"][BLOB.digest] = CONTENT * 1000
    with pytest.raises(WrongContentError, match="does not have"):
        sizes.extend(map(len, at.team.chunks(BLOB)))
    assert sum(sizes) <= BLOB.size


def test_a_truncated_blob_is_asked_for_again(tmp_path: Path) -> None:
    at = bench(holding())
    at.fake.trap("GET", "/blobs/", lambda _, reply: replace(reply, cut=10))
    at.team.download(BLOB, tmp_path / "blob")
    assert (tmp_path / "blob").read_bytes() == CONTENT
    assert at.pauses == [1.0]


def test_a_blob_that_is_truncated_every_time_is_an_error(tmp_path: Path) -> None:
    at = bench(holding())
    at.fake.trap("GET", "/blobs/", lambda _, reply: replace(reply, cut=10), times=9)
    with pytest.raises(UnreachableRegistryError, match="breaks off"):
        at.team.download(BLOB, tmp_path / "blob")
    assert list(tmp_path.iterdir()) == []


def test_an_answer_that_claims_to_be_compressed_is_taken_as_it_is() -> None:
    at = bench(holding())
    at.fake.trap("GET", "/blobs/", lambda _, reply: replace(reply, headers={"Content-Encoding": "gzip"}))
    assert at.team.read(BLOB) == CONTENT
    assert at.fake.asked_for("GET")[0].headers["Accept-Encoding"] == "identity"


def test_a_large_blob_is_not_read_into_memory() -> None:
    at = bench(holding())
    with pytest.raises(WrongContentError, match="does not have"):
        at.team.read(BLOB, most=BLOB.size - 1)
    assert at.fake.asked == []


def test_another_size_under_a_digest_is_refused() -> None:
    at = bench(holding())
    with pytest.raises(WrongContentError):
        at.team.has(replace(BLOB, size=BLOB.size + 1))


# Manifests and tags


def test_a_manifest_comes_back_as_the_same_bytes() -> None:
    at = bench()
    assert at.team.put_manifest(EMPTY, "1") == EMPTY.digest
    assert at.team.manifest("1") == at.team.manifest(EMPTY.digest) == EMPTY
    assert at.team.manifest_digest("1") == EMPTY.digest
    assert at.team.manifest_digest("2") is None


def other_manifest(_: Ask, reply: Reply) -> Reply:
    return replace(reply, body=b'{"schemaVersion": 2}', headers={"Content-Type": MANIFEST})


def lying_header(_: Ask, reply: Reply) -> Reply:
    return replace(reply, headers=reply.headers | {"Docker-Content-Digest": BLOB.digest})


def other_kind(_: Ask, reply: Reply) -> Reply:
    return replace(reply, headers=reply.headers | {"Content-Type": "application/vnd.oci.image.index.v1+json"})


def nested(_: Ask, reply: Reply) -> Reply:
    return replace(reply, body=b"[" * 100_000, headers={"Content-Type": MANIFEST})


@pytest.mark.parametrize("fault", [other_manifest, lying_header, other_kind, nested])
def test_a_manifest_that_is_not_what_it_should_be_is_refused(fault: Callable[[Ask, Reply], Reply]) -> None:
    at = bench(holding())
    at.fake.trap("GET", "/manifests/", fault)
    with pytest.raises(WrongContentError):
        at.team.manifest(EMPTY.digest)


@pytest.mark.parametrize(("more", "refused"), [(0, False), (1, True)])
def test_a_manifest_may_have_four_mebibytes(more: int, *, refused: bool) -> None:
    at = bench(holding())
    content = b'{"a": "' + b"x" * (MANIFEST_MAX - 9 + more) + b'"}'
    at.fake.manifests["team/app"]["1"] = (MANIFEST, content)
    if refused:
        with pytest.raises(WrongContentError):
            at.team.manifest("1")
    else:
        assert at.team.manifest("1").content == content


def test_a_registry_that_stores_something_else_is_refused() -> None:
    at = bench()
    at.fake.trap("PUT", "/manifests/", lying_header)
    with pytest.raises(WrongContentError, match="does not have"):
        at.team.put_manifest(EMPTY, "1")


def test_a_manifest_that_no_registry_takes_is_not_sent() -> None:
    at = bench()
    with pytest.raises(WrongInputError):
        at.team.put_manifest(Manifest(b" " * (MANIFEST_MAX + 1), MANIFEST), "1")
    assert at.fake.asked == []


def test_all_pages_of_tags_are_read() -> None:
    at = bench(FakeRegistry(page=2))
    assert at.team.tags() == []
    for tag in ("5", "1", "3", "2", "4"):
        at.team.put_manifest(EMPTY, tag)
    assert at.team.tags() == ["1", "2", "3", "4", "5"]


def test_an_endless_list_of_tags_ends() -> None:
    at = bench(holding())
    circle = {"Link": '</v2/team/app/tags/list>; rel="next"'}
    at.fake.trap("GET", "/tags/", lambda _, reply: replace(reply, headers=circle), times=99)
    assert at.team.tags() == ["1"]
    assert len(at.fake.asked) == 2


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"tags": 3}', b"[" * 100_000])
def test_a_list_of_tags_that_is_none_is_refused(body: bytes) -> None:
    at = bench()
    at.fake.trap("GET", "/tags/", lambda *_: Reply(200, body))
    with pytest.raises(WrongContentError):
        at.team.tags()


def test_a_registry_without_a_header_is_asked_for_the_manifest_itself() -> None:
    at = bench(holding())
    at.fake.trap("HEAD", "/manifests/", lambda *_: Reply(200, headers={"Docker-Content-Digest": "md5:1"}))
    assert at.team.manifest_digest("1") == EMPTY.digest


def test_a_registry_that_does_not_say_where_to_upload_to_is_told() -> None:
    at = bench()
    at.fake.trap("POST", "", lambda *_: Reply(202))
    with pytest.raises(RegistryError, match="where to upload"):
        at.team.upload(BLOB, opened)


# Credentials


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_credentials_open_the_registry(auth: str) -> None:
    at = bench(FakeRegistry(auth=auth), CREDENTIALS)
    at.registry.check()
    at.team.upload(BLOB, opened)
    assert at.team.has(BLOB)


def test_a_token_is_asked_for_once_in_a_repository() -> None:
    at = bench(FakeRegistry(auth="bearer"), CREDENTIALS)
    for _ in range(3):
        at.team.has(BLOB)
    assert len(at.fake.asked_for("GET", "^/token$")) == 1
    assert at.fake.asked_for("GET", "^/token$")[0].query["scope"] == "repository:team:pull,push"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"token": "a\\r\\nX-Evil: 1"}', b'{"token": ""}', b'{"token": 3}']
)
def test_a_token_service_that_gives_no_token_is_told(body: bytes) -> None:
    at = bench(FakeRegistry(auth="bearer"), CREDENTIALS)
    at.fake.trap("GET", "^/token$", lambda *_: Reply(200, body))
    with pytest.raises(RegistryError, match="no token"):
        at.team.has(BLOB)


def test_an_identity_token_is_never_sent_to_the_registry_itself() -> None:
    at = bench(FakeRegistry(auth="bearer"), Credentials("", PASSWORD))
    assert not at.team.has(BLOB)
    sent = [ask.host for ask in at.fake.asked if PASSWORD in ask.body.decode() + str(ask.headers)]
    assert sent == ["tokens.test"]


@pytest.mark.parametrize("auth", ["basic", "bearer"])
@pytest.mark.parametrize("credentials", [None, Credentials(USER, "wrong-canary")])
def test_without_the_right_credentials_access_is_denied(auth: str, credentials: Credentials | None) -> None:
    at = bench(FakeRegistry(auth=auth), credentials)
    with pytest.raises(AccessDeniedError) as caught:
        at.team.has(BLOB)
    assert "REGISTRY_AUTH_FILE" in caught.value.resolution
    assert "canary" not in told(caught.value)


@pytest.mark.parametrize(
    "realm", ["http://tokens.test/token", "ftp://tokens.test/token", "https://a:b@tokens.test/token", ""]
)
def test_a_token_service_that_is_not_safe_is_not_asked(realm: str) -> None:
    at = bench(FakeRegistry(auth="bearer", realm=realm), CREDENTIALS)
    with pytest.raises(UntrustedRegistryError):
        at.team.has(BLOB)
    assert {ask.host for ask in at.fake.asked} == {"registry.test"}


def test_a_token_service_on_loopback_needs_no_encryption() -> None:
    at = bench(FakeRegistry(auth="bearer", realm="http://127.0.0.1:1/token"), CREDENTIALS, base="http://127.0.0.1:2")
    assert not at.team.has(BLOB)


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_credentials_are_not_sent_without_encryption(auth: str) -> None:
    at = bench(FakeRegistry(auth=auth), CREDENTIALS, base="http://registry.test")
    with pytest.raises(UntrustedRegistryError):
        at.team.has(BLOB)
    assert not any("Authorization" in ask.headers for ask in at.fake.asked)


def test_a_redirect_to_another_host_drops_the_credentials() -> None:
    at = bench(holding(FakeRegistry(auth="basic", storage="https://storage.test")), CREDENTIALS)
    assert at.team.read(BLOB) == CONTENT
    headers = {ask.host: ask.headers for ask in at.fake.asked}
    assert "Authorization" in headers["registry.test"]
    assert "Authorization" not in headers["storage.test"]


def test_an_upload_on_another_host_gets_no_credentials() -> None:
    at = bench(FakeRegistry(auth="bearer"), CREDENTIALS)
    place = {"Location": "https://storage.test/v2/team/app/blobs/uploads/1"}
    at.fake.trap("POST", "", lambda _, reply: replace(reply, headers=place) if reply.status == 202 else reply, times=2)
    with pytest.raises(AccessDeniedError):
        at.team.upload(BLOB, opened)
    assert [ask.host for ask in at.fake.asked if TOKEN in str(ask.headers)] == ["registry.test"] * 2
    assert len(at.fake.asked_for("GET", "^/token$")) == 1


def test_another_host_cannot_name_a_token_service() -> None:
    at = bench(holding(FakeRegistry(auth="bearer", storage="https://storage.test")), CREDENTIALS)
    thief = {"WWW-Authenticate": 'Bearer realm="https://thief.test/token"'}
    at.fake.trap("GET", "^/sha256", lambda *_: Reply(401, headers=thief))
    with pytest.raises(AccessDeniedError):
        at.team.read(BLOB)
    assert {ask.host for ask in at.fake.asked} == {"registry.test", "tokens.test", "storage.test"}


def test_a_redirect_that_gives_up_encryption_is_not_followed() -> None:
    at = bench(holding(FakeRegistry(storage="http://storage.test")))
    with pytest.raises(UntrustedRegistryError):
        at.team.read(BLOB)
    assert {ask.host for ask in at.fake.asked} == {"registry.test"}


def test_redirects_in_circles_end() -> None:
    at = bench(holding())
    circle = Reply(307, headers={"Location": "/v2/team/app/blobs/" + BLOB.digest})
    at.fake.trap("GET", "/blobs/", lambda *_: circle, times=99)
    with pytest.raises(RegistryError, match="circles"):
        at.team.read(BLOB)


def test_a_redirect_to_what_is_no_address_is_told() -> None:
    at = bench(holding())
    at.fake.trap("GET", "/blobs/", lambda *_: Reply(307, headers={"Location": "https://[half"}))
    with pytest.raises(RegistryError, match="no address"):
        at.team.read(BLOB)


def test_nothing_of_an_error_shows_a_secret_or_a_signature() -> None:
    at = bench(holding(FakeRegistry(auth="basic", storage="https://storage.test")), CREDENTIALS)
    at.fake.trap("GET", "^/sha256", lambda *_: Reply(403, b"\x1b[31mdenied\x1b[0m\r\x00"))
    with pytest.raises(AccessDeniedError) as caught:
        at.team.read(BLOB)
    assert "403" in caught.value.details
    assert "denied" in caught.value.details
    assert "\x1b" not in told(caught.value)
    assert "canary" not in told(caught.value) + repr(at.registry)


@pytest.mark.parametrize(
    ("text", "challenges"),
    [
        ("", {}),
        ("Basic", {"basic": {}}),
        (
            'Bearer realm="https://t/x",scope="a:b:pull,push"',
            {"bearer": {"realm": "https://t/x", "scope": "a:b:pull,push"}},
        ),
        ('Basic realm="a\\"b", Bearer realm=c', {"basic": {"realm": 'a"b'}, "bearer": {"realm": "c"}}),
    ],
)
def test_a_challenge_has_its_parameters(text: str, challenges: dict[str, Any]) -> None:
    assert parse_challenges(text) == challenges


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({}, None),
        ({"auths": {"r.test": {"auth": encoded("u:p:q")}}}, ("u", "p:q")),
        ({"auths": {"https://r.test/v2/": {"username": "u", "password": "p"}}}, ("u", "p")),
        ({"auths": {"r.test/team": {"auth": encoded("u:p")}}}, None),
        ({"auths": {"r.test": {"identitytoken": "t"}}}, ("", "t")),
        ({"auths": {"r.test": {}}}, None),
        ({"auths": {"other.test": {"auth": encoded("u:p")}}}, None),
        ({"credHelpers": {"r.test": "one"}, "credsStore": "two"}, ("one", "r.test")),
        ({"credsStore": "two"}, ("two", "r.test")),
        ({"credsStore": "empty", "auths": {"r.test": {"auth": encoded("u:p")}}}, ("u", "p")),
        ({"auths": [], "credHelpers": 3}, None),
    ],
)
def test_credentials_are_chosen_as_docker_does(content: dict[str, Any], found: tuple[str, str] | None) -> None:
    def ask(helper: str, host: str) -> Credentials | None:
        return None if helper == "empty" else Credentials(helper, host)

    assert choose(content, "r.test", ask, origin="x") == (Credentials(*found) if found else None)


def test_credentials_come_from_the_file_that_is_named(tmp_path: Path) -> None:
    file = tmp_path / "auth.json"
    file.write_text(json.dumps({"auths": {"r.test": {"auth": encoded("u:canary")}}}))
    found = find_credentials("r.test", {"REGISTRY_AUTH_FILE": str(file), "HOME": "/nowhere"})
    assert found == Credentials("u", "canary")
    assert "canary" not in repr(found)


@pytest.mark.parametrize("text", ["{", '{"auths": {"r.test": {"auth": "canary"}}}'])
def test_credentials_that_cannot_be_read_are_named_and_not_shown(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(WrongInputError) as caught:
        find_credentials("r.test", {"DOCKER_CONFIG": str(tmp_path)})
    assert str(tmp_path) in caught.value.details
    assert "canary" not in told(caught.value)


# Bad days of the network


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_registry_is_given_the_time_it_asks_for(status: int) -> None:
    at = bench()
    at.fake.trap("POST", "", lambda *_: Reply(status, headers={"Retry-After": "7"}), times=2)
    at.team.upload(BLOB, opened)
    assert at.pauses == [7.0, 7.0]


def test_a_body_begins_anew_when_it_is_sent_again() -> None:
    at = bench()
    at.fake.trap("PUT", "", lambda *_: forget(at.fake, Reply(429)))
    at.team.upload(BLOB, opened)
    assert at.fake.blobs["team/app"] == {BLOB.digest: CONTENT}


@pytest.mark.parametrize("wait", ["3600", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_a_registry_that_asks_for_too_much_time_is_an_error(wait: str) -> None:
    at = bench()
    at.fake.trap("HEAD", "", lambda *_: Reply(429, headers={"Retry-After": wait}))
    with pytest.raises(RegistryError, match="too busy") as caught:
        at.team.has(BLOB)
    assert wait in caught.value.details
    assert at.pauses == []


@pytest.mark.parametrize("wait", ["soon", "", "Fri, 01 Jan 1999 00:00:00 GMT", "²"])
def test_a_wait_that_says_nothing_is_our_own(wait: str) -> None:
    at = bench()
    at.fake.trap("HEAD", "", lambda *_: Reply(429, headers={"Retry-After": wait}), times=3)
    assert not at.team.has(BLOB)
    assert at.pauses == [1.0, 2.0, 4.0]


@pytest.mark.parametrize("fault", [Reply(500), Reply(502), Reply(0, reset=True)])
def test_what_may_be_repeated_is_tried_again_and_not_for_ever(fault: Reply) -> None:
    at = bench(holding())
    at.fake.trap("GET", "/manifests/", lambda *_: fault, times=3)
    assert at.team.manifest("1") == EMPTY
    at.fake.trap("GET", "/manifests/", lambda *_: fault, times=4)
    with pytest.raises(RegistryError if fault.status else UnreachableRegistryError):
        at.team.manifest("1")


def test_the_start_of_an_upload_is_not_repeated_after_an_error() -> None:
    at = bench()
    at.fake.trap("POST", "", lambda *_: Reply(500))
    with pytest.raises(RegistryError, match="500"):
        at.team.upload(BLOB, opened)
    assert [ask.method for ask in at.fake.asked] == ["HEAD", "POST"]


def test_a_broken_upload_begins_anew() -> None:
    at = bench()
    at.fake.trap("PUT", "", lambda *_: forget(at.fake, Reply(0, reset=True)), times=2)
    assert at.team.upload(BLOB, opened) == BLOB.size
    assert [ask.method for ask in at.fake.asked] == ["HEAD", "POST", "PUT"] * 3


def forget(fake: FakeRegistry, reply: Reply) -> Reply:
    fake.blobs["team/app"].clear()
    return reply


def test_an_error_of_an_upload_does_not_show_its_address_as_a_whole() -> None:
    at = bench()
    at.fake.trap("PUT", "", lambda *_: Reply(400))
    with pytest.raises(RegistryError) as caught:
        at.team.upload(BLOB, opened)
    assert "/v2/team/app/blobs/uploads/1" in caught.value.details
    assert "_state" not in told(caught.value)


def test_an_upload_whose_answer_was_lost_is_not_sent_twice() -> None:
    at = bench()
    at.fake.trap("PUT", "", lambda _, reply: replace(reply, reset=True))
    assert at.team.upload(BLOB, opened) == BLOB.size
    assert len(at.fake.asked_for("PUT")) == 1


def test_a_registry_that_is_not_there_is_not_waited_for() -> None:
    at = bench()

    def refuse(*_: object) -> Reply:
        raise requests.ConnectionError("[Errno 111] Connection refused")

    at.fake.trap("HEAD", "", refuse, times=9)
    with pytest.raises(UnavailableError, match=r"registry\.test does not answer"):
        at.team.has(BLOB)
    assert at.pauses == []
