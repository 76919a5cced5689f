# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases.version import ReleaseVersion, is_newer, is_version, next_version
from stackway.errors import WrongInputError

VERSIONS = st.builds(
    "{}.{}.{}{}".format,
    st.integers(0, 3000),
    st.integers(1, 2),
    st.integers(0, 99),
    st.sampled_from(["", "-rc.1", "-rc.2", "-rc.10", "-alpha"]),
)


def parse(text: str) -> ReleaseVersion:
    return ReleaseVersion.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "2026.1", "2026.1.x", "2026.01.0", "2026.1.0.0", "latest", "sha256:00", "channel-prod-1"),
        *("2026.1.0 ", "2026.1.0\n", "vv2026.1.0", "\uff12026.1.0", "-1.2.3", "2026.1.0-", "2026.1.0-rc.01"),
        f"{'9' * 5000}.1.0",
    ],
)
def test_what_is_no_version_is_refused_with_an_example(text: str) -> None:
    assert not is_version(text)
    with pytest.raises(WrongInputError, match="is not the version of a release") as caught:
        parse(text)
    assert "2026.1.3" in caught.value.resolution


def test_build_metadata_is_refused_because_two_builds_would_be_equal() -> None:
    with pytest.raises(WrongInputError) as caught:
        parse("2026.1.0+build")
    assert "build metadata" in caught.value.details


def test_a_leading_v_is_read_and_never_written() -> None:
    assert str(parse("v2026.1.3")) == "2026.1.3"
    assert repr(parse("v2026.1.3")) == "ReleaseVersion('2026.1.3')"


def test_versions_are_in_the_order_of_semver() -> None:
    ordered = ["2025.2.9", "2026.1.0-rc.2", "2026.1.0-rc.10", "2026.1.0", "2026.1.9", "2026.1.10", "2026.2.0-rc.1"]
    assert [str(item) for item in sorted(map(parse, reversed(ordered)))] == ordered


@given(VERSIONS, VERSIONS)
def test_two_versions_are_equal_when_they_are_written_equally(one: str, other: str) -> None:
    assert (parse(one) == parse(other)) is (one == other)
    assert (parse(one) < parse(other)) + (parse(other) < parse(one)) + (one == other) == 1
    assert len({parse(one), parse(other)}) == len({one, other})
    assert str(parse(one)) == one
    assert parse(one).series == ".".join(one.split(".")[:2])


@given(VERSIONS)
def test_what_follows_is_final_newer_and_of_the_same_series(text: str) -> None:
    following = parse(text).following()
    assert following > parse(text)
    assert following.is_final
    assert following.series == parse(text).series


@pytest.mark.parametrize(
    ("known", "following"),
    [
        ([], "2026.1.0"),
        (["2025.2.7", "2026.2.1"], "2026.1.0"),
        (["2026.1.9", "2026.1.10"], "2026.1.11"),
        (["2026.1.2", "2026.1.3-rc.1"], "2026.1.3"),
        (["2026.1.3-rc.1", "2026.1.3"], "2026.1.4"),
        (["2026.1.0-rc.1"], "2026.1.0"),
    ],
    ids=["none", "other series", "numbers, not text", "after a candidate", "candidate and final", "first candidate"],
)
def test_the_next_version_follows_the_newest_of_its_series(known: list[str], following: str) -> None:
    assert str(next_version("2026.1", map(parse, known))) == following


def test_candidates_are_not_final() -> None:
    assert [parse(text).is_final for text in ("2026.1.0", "2026.1.0-rc.1")] == [True, False]
    assert parse("2026.1.0") != "2026.1.0"


def test_series_are_compared_as_numbers() -> None:
    assert is_newer("2026.1", "2025.2")
    assert is_newer("2026.10", "2026.9")
    assert not is_newer("2026.1", "2026.1")
