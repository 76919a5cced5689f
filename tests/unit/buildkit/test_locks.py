# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Locks are read as they were written, and a line that cannot be read is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name

from buildkit.locks import (
    Change,
    Pin,
    PythonLock,
    SystemLock,
    SystemPackage,
    diff_versions,
    input_digest,
    normal_name,
    parse_constraints,
    parse_python_lock,
    parse_system_lock,
)
from stackway.errors import Position, WrongInputError

NAMES = st.from_regex(r"[a-z][a-z0-9.+-]{0,20}", fullmatch=True)
DISTRIBUTIONS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
VERSIONS = st.from_regex(r"[0-9][0-9a-z.+~:-]{0,12}", fullmatch=True)
DIGESTS = st.binary(min_size=32, max_size=32).map(lambda raw: f"sha256:{raw.hex()}")
SIZES = st.integers(0, 10**12)
PACKAGES = st.builds(
    SystemPackage,
    NAMES,
    VERSIONS,
    st.sampled_from(["amd64", "all"]),
    DIGESTS,
    SIZES,
    st.sampled_from(["debian", "security"]),
    NAMES.map(lambda name: f"pool/main/{name}.deb"),
)
PINS = st.builds(Pin, DISTRIBUTIONS, VERSIONS, DIGESTS, NAMES, SIZES)
HEADERS = st.dictionaries(
    st.sampled_from(["input", "epoch", "suite"]), st.from_regex(r"[a-z0-9 :]{0,20}", fullmatch=True)
)
DIGEST = "sha256:" + "a" * 64


@given(st.lists(PACKAGES, max_size=6), HEADERS)
def test_a_system_lock_is_read_as_it_was_written(packages: list[SystemPackage], header: dict[str, str]) -> None:
    lock = SystemLock(tuple(packages), header)
    assert parse_system_lock(lock.to_text(), "x.lock") == lock


@given(st.lists(PINS, max_size=6), HEADERS)
def test_a_python_lock_is_read_as_it_was_written(pins: list[Pin], header: dict[str, str]) -> None:
    lock = parse_python_lock(PythonLock(tuple(pins), header).to_text(), "x.lock")
    assert sorted(lock.pins, key=repr) == sorted(pins, key=repr)
    assert lock.header == header
    assert [pin.name for pin in lock.pins] == sorted(pin.name for pin in pins)


@given(DISTRIBUTIONS | st.text(max_size=20))
def test_names_are_compared_as_packaging_compares_them(name: str) -> None:
    assert normal_name(name) == canonicalize_name(name)


def test_the_text_of_a_system_lock_keeps_the_unpack_order() -> None:
    packages = (
        SystemPackage("b", "1", "amd64", DIGEST, 5, "debian", "b.deb"),
        SystemPackage("a", "2", "all", DIGEST, 6, "security", "a.deb"),
    )
    assert SystemLock(packages, {"suite": "trixie"}).to_text() == (
        "# Debian packages, in unpack order. Written by `release spec lock`; do not edit.\n"
        "# suite: trixie\n"
        f"b 1 amd64 {DIGEST} 5 debian b.deb\n"
        f"a 2 all {DIGEST} 6 security a.deb\n"
    )


def test_a_line_of_a_python_lock_is_a_requirement_with_a_hash() -> None:
    text = PythonLock((Pin("requests", "2.32.5", DIGEST, "requests.whl", 7),)).to_text()
    assert text.splitlines()[1] == f"requests==2.32.5 --hash={DIGEST}  # requests.whl 7"


@pytest.mark.parametrize(
    "row",
    [
        "bash",
        f"bash 5.2 amd64 {DIGEST} 10 backports pool/bash.deb",
        f"bash 5.2 amd64 {DIGEST[:-1]} 10 debian pool/bash.deb",
        f"bash 5.2 amd64 {DIGEST} ten debian pool/bash.deb",
        f"bash 5.2 amd64 {DIGEST} 10 debian pool/bash.deb extra",
        "<<<<<<< HEAD",
    ],
)
def test_an_unreadable_line_of_a_system_lock_is_named(row: str) -> None:
    with pytest.raises(WrongInputError, match=r"os\.lock cannot be used") as caught:
        parse_system_lock(f"# suite: trixie\n\n{row}\n", "os.lock")
    assert [problem.position for problem in caught.value.problems] == [Position("os.lock", 3)]


@pytest.mark.parametrize(
    "row",
    [
        "requests==2.32.5",
        "requests>=2 --hash=" + DIGEST + "  # requests.whl 7",
        f"requests==2.32.5 --hash={DIGEST}",
        f"requests==2.32.5 --hash=md5:{'a' * 32}  # requests.whl 7",
        "-r other.txt",
        "--index-url=elsewhere",
    ],
)
def test_an_unreadable_line_of_a_python_lock_is_named(row: str) -> None:
    good = f"a==1 --hash={DIGEST}  # a.whl 7"
    with pytest.raises(WrongInputError, match=r"p\.lock cannot be used") as caught:
        parse_python_lock(f"{good}\n{row}\n{good}", "p.lock")
    assert "p.lock:2: " in caught.value.details
    assert "release spec lock" in caught.value.resolution


CONSTRAINTS = """# a comment
requests===2.32.5
Oslo.Config===10.1.0  # and another

numpy===1.26.4;python_version=='3.11'
numpy===2.3.1;python_version>='3.12'
pywin32===311;sys_platform=='win32'
loose>=1
"""


@pytest.mark.parametrize(("python", "numpy"), [("3.11", "1.26.4"), ("3.13", "2.3.1")])
def test_constraints_hold_for_one_python_on_linux(python: str, numpy: str) -> None:
    assert parse_constraints(CONSTRAINTS, python) == {"requests": "2.32.5", "oslo-config": "10.1.0", "numpy": numpy}


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"a": "1"}, {"a": "1"}, []),
        ({"a": "1"}, {"a": "2"}, ["a 1 \N{RIGHTWARDS ARROW} 2"]),
        ({}, {"a": "2"}, ["a 2 is new"]),
        ({"a": "1"}, {}, ["a 1 is gone"]),
        ({"b": "1", "c": "1"}, {"c": "2", "a": "1"}, ["a 1 is new", "b 1 is gone", "c 1 \N{RIGHTWARDS ARROW} 2"]),
    ],
)
def test_differences_are_told_in_words(before: dict[str, str], after: dict[str, str], words: list[str]) -> None:
    assert list(map(str, diff_versions(before, after))) == words


@given(st.dictionaries(NAMES, VERSIONS, max_size=5), st.dictionaries(NAMES, VERSIONS, max_size=5))
def test_applying_the_differences_gives_the_later_versions(before: dict[str, str], after: dict[str, str]) -> None:
    changes: list[Change] = diff_versions(before, after)
    merged = {**before, **{change.name: change.after for change in changes}}
    assert {name: version for name, version in merged.items() if version} == after


def test_the_digest_of_a_question_ignores_the_order_of_its_keys() -> None:
    assert input_digest({"a": 1, "b": 2}) == input_digest({"b": 2, "a": 1}) != input_digest({"a": 1, "b": 3})


@given(st.lists(PINS, max_size=6))
def test_pins_are_found_by_their_normalised_name(pins: list[Pin]) -> None:
    assert PythonLock(tuple(pins)).by_name.keys() == {canonicalize_name(pin.name) for pin in pins}
