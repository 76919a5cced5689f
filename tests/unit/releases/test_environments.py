# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Environment files and the keys they name, with every slip of a pen that could give somebody a right he should not have."""

import stat
from pathlib import Path

import pytest

from releases import keys
from releases.environments import Environments
from releases.keyring import Place
from stackway.errors import WrongInputError
from tests.fakes.releases import new_signer

HEAD = "name: prod\nsummary: what serves users\n"
A, B, C = (new_signer(name) for name in "abc")


@pytest.fixture
def checkout(tmp_path: Path) -> Environments:
    """Return a checkout with the keys a, b and c."""
    for name, signer in (("a", A), ("b", B), ("c", C)):
        put(tmp_path / f"keys/{name}.pub", signer.public.pem)
    return Environments(tmp_path, tmp_path / "state")


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def read(checkout: Environments, text: str, name: str = "prod") -> Place:
    put(checkout.root / f"environments/{name}.yaml", HEAD + text)
    return checkout.read(name)


def refused(checkout: Environments, text: str) -> str:
    with pytest.raises(WrongInputError) as caught:
        read(checkout, text)
    return f"{caught.value.brief}\n{caught.value.details}\n{caught.value.resolution}"


def ids(*signers: keys.FileSigner) -> set[str]:
    return {signer.public.id for signer in signers}


def test_keys_go_to_the_parts_that_name_them(checkout: Environments) -> None:
    ring = read(
        checkout,
        "trust:\n  keys: [keys/a.pub, keys/b.pub]\n  threshold: 2\n  promoters: [keys/b.pub]\n"
        "  observers: [keys/c.pub]\n  former: [keys/a.pub]\ngates: {approvals: {by: [keys/*.pub], atLeast: 3}}\n",
    ).keyring
    parts = (ring.release, ring.promoters, ring.observers, ring.former, ring.approvers)
    assert [{key.id for key in part} for part in parts] == [ids(A, B), ids(B), ids(C), ids(A), ids(A, B, C)]
    assert (ring.threshold, ring.revoked, ring.allow_development) == (2, {}, False)
    assert [key.name for key in ring.approvers] == ["keys/a.pub", "keys/b.pub", "keys/c.pub"]


def test_parts_that_are_not_written_fall_to_the_keys_before_them(checkout: Environments) -> None:
    ring = read(checkout, "trust: {keys: [keys/a.pub]}\n").keyring
    assert ring.release == ring.promoters == ring.observers
    assert ring.approvers == ()
    ring = read(checkout, "trust: {keys: [keys/a.pub], promoters: [keys/b.pub]}\n").keyring
    assert {key.id for key in ring.observers} == ids(B)


def test_same_key_under_two_names_counts_once(checkout: Environments) -> None:
    put(checkout.root / "keys/copy.pub", f"# by Anna\n{A.public.pem}")
    ring = read(checkout, "trust: {keys: [keys/a.pub, keys/a.pub, keys/copy.pub, keys/*.pub]}\n").keyring
    assert [key.name for key in ring.release] == ["keys/a.pub", "keys/b.pub", "keys/c.pub"]
    text = "trust: {keys: [keys/a.pub, keys/copy.pub], threshold: 2}\n"
    assert "environments/prod.yaml:3: 2 signatures are needed, and there are 1 keys that count" in refused(
        checkout, text
    )


def test_revoked_key_is_taken_out_of_every_part_by_whatever_name(checkout: Environments) -> None:
    put(checkout.root / "stolen/anna.pub", A.public.pem)
    ring = read(
        checkout,
        "trust:\n  keys: [keys/*.pub]\n  promoters: [keys/*.pub]\n  observers: [keys/*.pub]\n  former: [keys/*.pub]\n"
        "  revoked: [{key: stolen/anna.pub, reason: laptop stolen}]\ngates: {approvals: {by: [keys/*.pub]}}\n",
    ).keyring
    for part in (ring.release, ring.promoters, ring.observers, ring.former, ring.approvers):
        assert {key.id for key in part} == ids(B, C)
    assert {key.id: reason for key, reason in ring.revoked.items()} == {A.public.id: "laptop stolen"}


@pytest.mark.parametrize("part", ["promoters", "observers"])
@pytest.mark.parametrize("pattern", ["keys/a.pub", "ops/*.pub"])
def test_part_whose_keys_are_all_gone_falls_to_nobody_else(checkout: Environments, part: str, pattern: str) -> None:
    text = f"trust:\n  keys: [keys/b.pub]\n  {part}: [{pattern}]\n  revoked: [{{key: keys/a.pub, reason: stolen}}]\n"
    told = refused(checkout, text)
    assert "environments/prod.yaml cannot be used" in told
    assert "environments/prod.yaml:5: none of these keys is there, or all are revoked" in told


@pytest.mark.parametrize("key", ["keys/d.pub", "keys/d*.pub"])
def test_revocation_that_finds_no_key_is_an_error(checkout: Environments, key: str) -> None:
    told = refused(checkout, f"trust:\n  keys: [keys/a.pub]\n  revoked:\n    - {{key: {key}, reason: stolen}}\n")
    assert "a key is missing\nenvironments/prod.yaml:6: " in told
    assert key in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("trust: {keys: [keys/d.pub]}\n", "environments/prod.yaml:3: there is no key keys/d.pub"),
        (
            "trust:\n  keys:\n    - keys/a.pub\n    - keys/d.pub\n",
            "environments/prod.yaml:6: there is no key keys/d.pub",
        ),
        ("trust: {keys: [keys/a?.pub]}\n", "there is no key keys/a?.pub"),
        ("trust: {keys: [keys/../../a.pub]}\n", "keys/../../a.pub leads out of its folder"),
        ("trust: {keys: [keys/a.pub, keys/../../*.pub]}\n", "keys/../../*.pub leads out of its folder"),
        ("trust: {keys: [keys/a.pub], former: [x/*/../*.pub]}\n", "write no `..`"),
        ("trust: {keys: [none/*.pub]}\n", "1 signatures are needed, and there are 0 keys that count"),
        ("", "1 signatures are needed, and there are 0 keys that count"),
        (
            "trust: {keys: [keys/a.pub]}\ngates:\n  approvals: {by: [keys/b.pub], atLeast: 2}\n",
            "environments/prod.yaml:5: 2 approvals are needed, and 1 keys may give one",
        ),
        (
            "trust:\n  keys: [keys/*.pub]\n  threshold: 3\n  revoked: [{key: keys/a.pub, reason: x}]\n",
            "3 signatures are needed, and there are 2 keys that count",
        ),
    ],
)
def test_keys_that_are_missing_or_too_few_are_told_with_file_and_line(
    checkout: Environments, text: str, told: str
) -> None:
    assert told in refused(checkout, text)


def test_thresholds_out_of_reach_are_told_all_at_once(checkout: Environments) -> None:
    told = refused(checkout, "trust: {keys: [keys/a.pub], threshold: 2}\ngates: {approvals: {by: [x*.pub]}}\n")
    assert "prod.yaml:3: 2 signatures" in told
    assert "prod.yaml:4: 1 approvals" in told


@pytest.mark.parametrize("content", ["", "not a key", A.public.pem[:80]], ids=["empty", "words", "cut"])
def test_key_file_that_is_none_is_named(checkout: Environments, content: str) -> None:
    put(checkout.root / "keys/bad.pub", content)
    assert "bad.pub cannot be used as a key" in refused(checkout, "trust: {keys: [keys/*.pub]}\n")


def test_private_key_beside_is_never_a_public_one(checkout: Environments) -> None:
    put(checkout.root / "keys/a.key", "a secret")
    assert "keys" in refused(checkout, "trust: {keys: [keys/a.key]}\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("trst: {keys: [keys/a.pub]}\n", "Did you mean 'trust'?"),
        ("trust: {key: [keys/a.pub]}\n", "Did you mean 'keys'?"),
        ("gates: {aprovals: {by: [keys/a.pub]}}\n", "Did you mean 'approvals'?"),
        ("trust: {keys: [keys/a.pub]}\nsource: satging\n", "Did you mean 'staging'?"),
        ("trust: {keys: [keys/a.pub]}\nsource: moon\n", "There are: prod, staging"),
        ("trust: {keys: [keys/a.pub]}\nsource: staging\ngates: {lineage: [stagng]}\n", "prod.yaml:5: there is no"),
    ],
)
def test_misspelt_word_is_told_with_the_right_one(checkout: Environments, text: str, told: str) -> None:
    put(checkout.root / "environments/staging.yaml", "name: staging\nsummary: x\n")
    found = refused(checkout, text)
    assert told in found
    assert "environments/prod.yaml:" in found


def test_file_of_another_name_is_told(checkout: Environments) -> None:
    put(checkout.root / "environments/live.yaml", HEAD + "trust: {keys: [keys/a.pub]}\n")
    with pytest.raises(WrongInputError) as caught:
        checkout.read("live")
    assert caught.value.details == "environments/live.yaml:1: name is 'prod', but the file is 'live''s"


@pytest.mark.parametrize("name", ["prd", "../prod", "", "prod.yaml", "schema"])
def test_environment_that_is_not_there_is_told_with_those_that_are(checkout: Environments, name: str) -> None:
    read(checkout, "trust: {keys: [keys/a.pub]}\n")
    put(checkout.root / "environments/schema/environment.json", "{}")
    with pytest.raises(WrongInputError, match="there is no environment") as caught:
        checkout.read(name)
    assert "there are: prod" in caught.value.details
    assert caught.value.resolution == ("Did you mean 'prod'?" if name in {"prd", "prod.yaml", "../prod"} else HINT)


HINT = "An environment is a file environments/NAME.yaml."


def test_checkout_without_environments_says_so(tmp_path: Path) -> None:
    found = Environments(tmp_path, tmp_path / "state")
    assert found.names() == []
    with pytest.raises(WrongInputError) as caught:
        found.read("prod")
    assert "there are: none" in caught.value.details


# The key of this machine.


def test_development_key_is_made_once_and_only_its_owner_may_read_it(checkout: Environments) -> None:
    first = read(checkout, "development: true\n").keyring
    path = checkout.state / "keys/development.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = path.read_bytes()
    assert read(checkout, "development: true\n").keyring == first
    assert path.read_bytes() == content
    assert first.allow_development
    assert [key.id for key in first.release] == [checkout.development_signer().public.id]
    assert checkout.development_signer().is_development


def test_no_development_key_is_made_where_none_counts(checkout: Environments) -> None:
    read(checkout, "trust: {keys: [keys/a.pub]}\n")
    assert not checkout.state.exists()


def test_lost_public_half_is_made_from_the_private_one(checkout: Environments) -> None:
    before = read(checkout, "development: true\n").keyring
    (checkout.state / "keys/development.pub").unlink()
    assert read(checkout, "development: true\n").keyring == before
    assert checkout.development_signer().public.id == before.release[0].id


def test_lost_private_half_makes_a_new_pair(checkout: Environments) -> None:
    before = read(checkout, "development: true\n").keyring
    (checkout.state / "keys/development.key").unlink()
    assert read(checkout, "development: true\n").keyring.release != before.release


def test_development_key_stands_beside_others_and_can_be_revoked(checkout: Environments) -> None:
    ring = read(checkout, "development: true\ntrust: {keys: [keys/a.pub], threshold: 2}\n").keyring
    assert {key.id for key in ring.release} == {*ids(A), checkout.development_signer().public.id}
    put(checkout.root / "keys/gone.pub", (checkout.state / "keys/development.pub").read_text())
    text = "development: true\ntrust: {keys: [keys/a.pub], revoked: [{key: keys/gone.pub, reason: old}]}\n"
    assert {key.id for key in read(checkout, text).keyring.release} == ids(A)
