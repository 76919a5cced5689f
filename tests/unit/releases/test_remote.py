# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A registry below a prefix is a place for releases whose repositories do not know of the prefix; addresses lead to places."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from buildkit.complaints import NotThereError, WrongContentError
from releases.layout import LayoutStore
from releases.places import open_store
from releases.remote import RegistryStore
from releases.repository import REFERRERS_MAX, opener
from stackway.errors import WrongInputError
from tests.fakes.registry import INDEX, Ask, FakeRegistry, Reply, bench
from tests.fakes.repositories import LAYER, as_blob, blob_of, filled, manifest_of

MADE = manifest_of()


@pytest.fixture
def fake() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def store(fake: FakeRegistry) -> RegistryStore:
    return RegistryStore(bench(fake).registry, "team/releases")


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "none"))


def test_all_that_is_put_lies_below_the_prefix(store: RegistryStore, fake: FakeRegistry) -> None:
    repository = filled(store.repository("keystone"), {"1": MADE})
    assert (repository.name, store.address) == ("keystone", "oci://registry.test/team/releases")
    assert repository.put_manifest(manifest_of(MADE))
    assert repository.referrers(MADE.digest) == [as_blob(manifest_of(MADE))]
    assert {*fake.blobs, *fake.manifests} == {"team/releases/keystone"}
    assert RegistryStore(store.registry).address == "oci://registry.test"


def test_a_blob_is_mounted_from_below_the_prefix(store: RegistryStore, fake: FakeRegistry) -> None:
    store.repository("keystone").upload(blob_of(LAYER), opener(LAYER))
    assert store.repository("glance").upload(blob_of(LAYER), opener(LAYER), mount_from="keystone") == 0
    assert fake.asked_for("POST")[-1].query["from"] == "team/releases/keystone"


def test_what_can_be_no_name_is_not_even_asked_for(store: RegistryStore, fake: FakeRegistry) -> None:
    repository = store.repository("keystone")
    for text in ("", "../../other/manifests/1", "1?x=y", "sha256:123", "a b"):
        assert repository.manifest_digest(text) is None
        assert repository.referrers(text) == []
        with pytest.raises(NotThereError):
            repository.manifest(text)
    with pytest.raises(WrongInputError):
        repository.put_manifest(MADE, "../../other/manifests/1")
    with pytest.raises(WrongInputError):
        store.repository("x" * 250)
    assert fake.asked == []


def other_bytes(_: Ask, reply: Reply) -> Reply:
    return replace(reply, body=b"{}")


def cut_short(_: Ask, reply: Reply) -> Reply:
    return replace(reply, body=reply.body[:-1])


def oversized(_: Ask, reply: Reply) -> Reply:
    return replace(reply, body=b'{"a": "' + b"x" * (4 << 20) + b'"}')


def other_kind(_: Ask, reply: Reply) -> Reply:
    return replace(reply, headers=reply.headers | {"Content-Type": INDEX})


@pytest.mark.parametrize("fault", [other_bytes, cut_short, oversized, other_kind])
def test_a_manifest_that_is_another_one_is_refused(
    store: RegistryStore, fake: FakeRegistry, fault: Callable[[Ask, Reply], Reply]
) -> None:
    repository = filled(store.repository("keystone"), {"1": MADE})
    fake.trap("GET", "/manifests/", fault)
    with pytest.raises(WrongContentError):
        repository.manifest(MADE.digest)


@pytest.mark.parametrize("fault", [other_bytes, cut_short])
def test_a_blob_that_is_another_one_is_refused(
    store: RegistryStore, fake: FakeRegistry, fault: Callable[[Ask, Reply], Reply]
) -> None:
    repository = filled(store.repository("keystone"), {})
    fake.trap("GET", "/blobs/", fault)
    with pytest.raises(WrongContentError):
        repository.read(blob_of(LAYER))


def test_referrers_of_two_writers_are_all_there(store: RegistryStore, fake: FakeRegistry) -> None:
    """Two jobs sign at once: each reads the index before the other one writes, and the one that loses sees it."""
    filled(store.repository("keystone"), {"1": MADE})
    meeting, path = threading.Barrier(2, timeout=10), f"/manifests/{MADE.digest.replace(':', '-')}$"

    def meet(_: Ask, reply: Reply) -> Reply:
        meeting.wait()
        return reply

    fake.trap("GET", path, meet, times=2)
    fake.trap("PUT", path, meet, times=2)
    made = [manifest_of(MADE, number=str(number)) for number in range(2)]
    writers = [threading.Thread(target=store.repository("keystone").put_manifest, args=(item,)) for item in made]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert {blob.digest for blob in store.repository("keystone").referrers(MADE.digest)} == {
        item.digest for item in made
    }


def test_a_place_lists_as_many_as_the_protocol_says() -> None:
    from buildkit import referrers

    assert referrers.REFERRERS_MAX == REFERRERS_MAX


@pytest.mark.parametrize(
    ("address", "prefix", "base"),
    [
        ("oci://registry.test", "", "https://registry.test"),
        ("oci://registry.test:5000/team/releases/", "team/releases", "https://registry.test:5000"),
        ("oci://127.0.0.1:5000/a", "a", "http://127.0.0.1:5000"),
    ],
)
def test_an_address_with_a_scheme_is_a_registry(address: str, prefix: str, base: str) -> None:
    store = open_store(address)
    assert isinstance(store, RegistryStore)
    assert (store.prefix, store.registry.transport.base) == (prefix, base)
    assert store.address == address.rstrip("/")


def test_plain_http_is_spoken_where_it_is_asked_for() -> None:
    store = open_store("oci://registry.test/a", plain_http=True)
    assert isinstance(store, RegistryStore)
    assert store.registry.transport.base == "http://registry.test"


def test_any_other_address_is_a_folder(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    assert isinstance(store, LayoutStore)
    assert store.address == str(tmp_path)


@pytest.mark.parametrize(
    "address",
    ["", "oci://", "oci://team", "oci://registry.test/A", "oci://registry.test/a:1", "oci://registry.test//a",
     "oci://user:canary@registry.test/a", "https://registry.test/a", "a\0b"],
)  # fmt: skip
def test_what_is_no_place_is_refused(address: str) -> None:
    with pytest.raises(WrongInputError) as caught:
        open_store(address)
    assert "canary" not in str(caught.value.to_dict())
