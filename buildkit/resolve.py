# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Answers `release spec lock`: asks apt and uv for exact packages. Writes no lock; the caller shows and writes them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

from buildkit.index import IndexFile, IndexRelease, index_files
from buildkit.locks import Pin, PythonLock, SystemLock, SystemPackage
from stackway.errors import FailedError
from stackway.files import write_atomic
from stackway.process import Command, run

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_ESSENTIAL = "?and(?essential,?not(?name(^apt$)))"  # `?essential` counts apt in; no image carries it
_NEWEST_GLIBC = 28  # manylinux_2_28: both bases are newer


@dataclass(frozen=True)
class Suite:
    """A Debian suite and where its two archives are."""

    name: str
    mirrors: Mapping[str, str]


class Apt:
    """apt-get with a root of its own: resolves for a suite that this machine need not run. Needs no privileges."""

    def __init__(self, folder: Path, suite: Suite) -> None:
        self._folder = folder / suite.name
        self._suite = suite
        self._environment = {"APT_CONFIG": str(self._folder / "apt.conf"), "LC_ALL": "C"}

    def update(self) -> None:
        """Fetch the package lists. Raises FailedError when the archive does not answer or is not signed."""
        for name in ("etc/apt.conf.d", "etc/preferences.d", "lists/partial", "cache/archives/partial"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / "status").touch()
        write_atomic(self._folder / "etc/sources.list", self._sources().encode())
        write_atomic(self._folder / "apt.conf", self._configuration().encode())
        self._run("apt-get", "-q", "update", "-o", "APT::Update::Error-Mode=any")

    def resolve(self, packages: Sequence[str], below: Iterable[SystemLock], header: Mapping[str, str]) -> SystemLock:
        """Return the packages that `packages` need beyond the locks `below`, in apt's unpack order."""
        there = frozenset[str]().union(*(lock.names for lock in below))
        plan = self._run("apt-get", "-s", "-y", "install", _ESSENTIAL, *packages)
        order = [
            (name.split(":")[0], version) for name, version in re.findall(r"^Inst (\S+) \((\S+)", plan, re.MULTILINE)
        ]
        wanted = [(name, version) for name, version in order if name not in there]
        return SystemLock(tuple(self._describe(wanted)), header)

    def _describe(self, wanted: Sequence[tuple[str, str]]) -> list[SystemPackage]:
        if not wanted:
            return []
        shown = self._run("apt-cache", "show", *(f"{name}={version}" for name, version in wanted))
        fields = [dict(re.findall(r"^(\S+): (.*)$", block, re.MULTILINE)) for block in shown.split("\n\n")]
        known = {(item["Package"], item["Version"]): item for item in reversed(fields) if item}
        return [_package(known[item]) for item in wanted]

    def _run(self, *arguments: str) -> str:
        return run(Command(arguments, self._environment, timeout=600)).stdout

    def _sources(self) -> str:
        debian, security, name = self._suite.mirrors["debian"], self._suite.mirrors["security"], self._suite.name
        places = ((debian, name), (debian, f"{name}-updates"), (security, f"{name}-security"))
        return "".join(f"deb [signed-by={_KEYRING}] {address} {suite} main\n" for address, suite in places)

    def _configuration(self) -> str:
        folder = self._folder
        return f"""Dir "{folder}"; Dir::Etc "{folder}/etc"; Dir::State "{folder}"; Dir::State::Lists "{folder}/lists";
Dir::State::status "{folder}/status"; Dir::Cache "{folder}/cache"; Dir::Log "{folder}";
APT::Architecture "amd64"; APT::Architectures {{ "amd64"; }}; APT::Install-Recommends "false"; APT::Sandbox::User "root";
Acquire::Languages "none"; Acquire::PDiffs "false"; Debug::NoLocking "true";
"""


def _package(fields: Mapping[str, str]) -> SystemPackage:
    path = fields["Filename"]
    # The security archive is the one whose pool has a folder for updates.
    archive = "security" if path.startswith("pool/updates/") else "debian"
    return SystemPackage(
        fields["Package"],
        fields["Version"],
        fields["Architecture"],
        f"sha256:{fields['SHA256']}",
        int(fields["Size"]),
        archive,
        path,
    )


def resolve_python(
    requirements: Mapping[str, str], constraints: Mapping[str, str], python: str, header: Mapping[str, str]
) -> PythonLock:
    """Return the environment that `requirements` (name → version, empty: the constraints decide) come to.

    Raises FailedError when there is no solution or a distribution has no file that fits the images' platform.
    """
    asked = "".join(f"{name}=={version}\n" if version else f"{name}\n" for name, version in requirements.items())
    fixed = {name: version for name, version in constraints.items() if not requirements.get(name)}
    lines = "".join(f"{name}=={version}\n" for name, version in fixed.items())
    releases = _with_constraints(asked, lines, python)
    order = {tag: rank for rank, tag in enumerate(target_tags(python))}
    return PythonLock(tuple(_pin(release, order) for _, release in sorted(releases.items())), header)


def _with_constraints(asked: str, constraints: str, python: str) -> dict[str, IndexRelease]:
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".txt", prefix="constraints-") as file:
        file.write(constraints)
        file.flush()
        return index_files(asked, python, ("-c", file.name))


def target_tags(python: str) -> list[Tag]:
    """Return the wheel tags that the images can use, best first."""
    version = tuple(int(part) for part in python.split("."))
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(_NEWEST_GLIBC, 4, -1)]
    platforms += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"]
    return [*cpython_tags(version, platforms=platforms), *compatible_tags(version, platforms=platforms)]


def _pin(release: IndexRelease, order: Mapping[Tag, int]) -> Pin:
    best: tuple[int, IndexFile] | None = None
    for file in release.files:
        rank = _rank(file.filename, order)
        if rank is not None and (best is None or (rank, file.filename) < (best[0], best[1].filename)):
            best = (rank, file)
    if best is None:
        raise FailedError(
            f"{release.name} {release.version} has no file for the images' platform",
            details=", ".join(file.filename for file in release.files) or "the index lists no files",
            resolution="Choose another version by an override.",
        )
    file = best[1]
    return Pin(canonicalize_name(release.name), release.version, file.digest, file.filename, file.size)


def _rank(filename: str, order: Mapping[Tag, int]) -> int | None:
    """Return how good a file is (0 best): the first fitting wheel tag; a source archive comes last."""
    if not filename.endswith(".whl"):
        return len(order) if filename.endswith((".tar.gz", ".zip")) else None
    _, _, _, tags = parse_wheel_filename(filename)
    ranks = [order[tag] for tag in tags if tag in order]
    return min(ranks) if ranks else None
