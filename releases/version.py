# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Release versions: SemVer whose first two numbers are an OpenStack series, `2026.1.3`. Pure.

OpenStack's own versions (`29.0.2`, `2026.1`) are not SemVer; where they are compared, `packaging` does it.
"""

from collections.abc import Iterable
from functools import total_ordering
from typing import Self

from packaging.version import Version as OpenStackVersion
from semver import Version

from stackway.errors import WrongInputError


@total_ordering
class ReleaseVersion:
    """The version of a release: series and patch."""

    __slots__ = ("_version",)

    def __init__(self, version: Version) -> None:
        self._version = version

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the version in `text`. Raises WrongInputError for any that is not series.patch."""
        try:
            version = Version.parse(text.removeprefix("v"))
        except (ValueError, TypeError) as error:
            raise _wrong(text, "it is not SemVer") from error
        # Two builds that differ only in build metadata would compare equal.
        if version.build:
            raise _wrong(text, "build metadata (`+…`) is not allowed")
        return cls(version)

    @classmethod
    def first(cls, series: str) -> Self:
        """Return the first version of a series."""
        return cls.parse(f"{series}.0")

    @property
    def series(self) -> str:
        """The OpenStack series: `2026.1`."""
        return f"{self._version.major}.{self._version.minor}"

    @property
    def is_final(self) -> bool:
        """Whether it is no release candidate (`2026.1.3-rc.1`)."""
        return not self._version.prerelease

    def following(self) -> "ReleaseVersion":
        """Return the version of the next release of the series; what follows a candidate is what it is a candidate for."""
        return ReleaseVersion(self._version.bump_patch() if self.is_final else self._version.finalize_version())

    def __str__(self) -> str:
        return str(self._version)

    def __repr__(self) -> str:
        return f"ReleaseVersion({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ReleaseVersion) and self._version == other._version

    def __lt__(self, other: "ReleaseVersion") -> bool:
        return self._version < other._version

    def __hash__(self) -> int:
        return hash(str(self._version))


def next_version(series: str, known: Iterable[ReleaseVersion]) -> ReleaseVersion:
    """Return the version that follows the newest one of `series` among `known`."""
    newest = max((item for item in known if item.series == series), default=None)
    return newest.following() if newest else ReleaseVersion.first(series)


def is_version(text: str) -> bool:
    """Tell whether `text` is a release version."""
    try:
        ReleaseVersion.parse(text)
    except WrongInputError:
        return False
    return True


def is_newer(series: str, than: str) -> bool:
    """Tell whether one OpenStack series is newer than another."""
    return OpenStackVersion(series) > OpenStackVersion(than)


def _wrong(text: str, why: str) -> WrongInputError:
    return WrongInputError(
        f"{text!r} is not the version of a release",
        details=why,
        resolution="Write series and patch, like 2026.1.3; a candidate is 2026.1.3-rc.1.",
    )
