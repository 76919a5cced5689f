# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The first tar of a base: the packages' files, merged where asked, the same bytes each time."""

import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from buildkit.rootfs import write_bootstrap
from stackway.errors import FailedError
from tests.fakes.debs import TIME, write_deb

Content = Mapping[str, bytes | str | None]
SHELL: Content = {"": None, "bin": None, "bin/dash": b"dash", "bin/sh": "dash", "usr/share/doc/dash/copyright": b"free"}
LIBRARY: Content = {
    "lib/x.so.1": b"library",
    "lib64/ld.so": "/lib/x.so.1",
    "usr/lib/y.so": "=./lib/x.so.1",
    "etc/y": b"y",
}


def bootstrap(folder: Path, *packages: Content, usr_merge: bool = False, compression: str = ".xz") -> Path:
    folder.mkdir(exist_ok=True)
    debs = [write_deb(folder / f"{number}.deb", files, compression) for number, files in enumerate(packages)]
    write_bootstrap(debs, folder / "bootstrap.tar", usr_merge=usr_merge)
    return folder / "bootstrap.tar"


def members(tar: Path) -> dict[str, str]:
    """Return path → content, `/` for a directory, or where a link leads."""
    with tarfile.open(tar) as archive:
        found = {}
        for item in archive:
            file = archive.extractfile(item) if item.isreg() else None
            found[item.name] = file.read().decode() if file else "/" if item.isdir() else f"-> {item.linkname}"
        return found


@pytest.mark.parametrize("compression", [".xz", ".gz", ".zst", ""])
def test_files_of_all_packages_are_there_however_compressed(tmp_path: Path, compression: str) -> None:
    found = members(bootstrap(tmp_path, SHELL, LIBRARY, compression=compression))
    assert {
        "bin": "/",
        "bin/dash": "dash",
        "bin/sh": "-> dash",
        "lib/x.so.1": "library",
        "etc/y": "y",
    }.items() <= found.items()
    assert found["usr/lib/y.so"] == "-> lib/x.so.1"


def test_dpkg_finds_what_it_needs_before_its_first_package(tmp_path: Path) -> None:
    found = members(bootstrap(tmp_path))
    assert found["var/lib/dpkg/status"] == found["var/lib/dpkg/available"] == ""
    assert found["tmp"] == found["var/lib/dpkg/info"] == "/"
    assert "path-exclude=/usr/share/man/*" in found["etc/dpkg/dpkg.cfg.d/stackway"].splitlines()


def test_merged_files_lie_below_usr_with_links_in_their_place(tmp_path: Path) -> None:
    found = members(bootstrap(tmp_path, SHELL, LIBRARY, usr_merge=True))
    assert {name: found[name] for name in ("bin", "lib", "lib64", "sbin")} == {
        name: f"-> usr/{name}" for name in ("bin", "lib", "lib64", "sbin")
    }
    assert (found["usr/bin"], found["usr/bin/dash"], found["usr/lib/x.so.1"]) == ("/", "dash", "library")
    assert found["usr/lib/y.so"] == "-> usr/lib/x.so.1"
    assert not [name for name in found if name.startswith(("bin/", "lib/", "lib64/"))]


@pytest.mark.parametrize("usr_merge", [False, True])
def test_every_path_is_there_once_and_hard_links_lead_to_earlier_ones(tmp_path: Path, *, usr_merge: bool) -> None:
    with tarfile.open(bootstrap(tmp_path, SHELL, LIBRARY, SHELL, usr_merge=usr_merge)) as archive:
        items = archive.getmembers()
    names = [item.name for item in items]
    assert len(names) == len(set(names))
    assert all(item.linkname in names[: names.index(item.name)] for item in items if item.islnk())


@pytest.mark.parametrize("folder", ["man", "info", "locale", "lintian", "bug", "doc"])
def test_what_no_container_needs_is_left_out(tmp_path: Path, folder: str) -> None:
    files: Content = {f"usr/share/{folder}": None, f"usr/share/{folder}/x": b"x", f"usr/share/{folder}ing": b"y"}
    found = members(bootstrap(tmp_path, files))
    assert [name for name in found if name.startswith("usr")] == [f"usr/share/{folder}ing"]


def test_equal_packages_give_equal_bytes(tmp_path: Path) -> None:
    tars = [bootstrap(tmp_path / name, SHELL, LIBRARY, compression=name) for name in (".xz", ".gz", ".zst")]
    assert len({tar.read_bytes() for tar in tars}) == 1


def test_files_keep_times_and_modes_and_lose_the_names_of_owners(tmp_path: Path) -> None:
    with tarfile.open(bootstrap(tmp_path, SHELL)) as archive:
        found = archive.getmember("bin/dash")
    assert (found.mtime, found.mode, found.uid, found.uname, found.gname) == (TIME, 0o644, 0, "", "")


@pytest.mark.parametrize(
    ("content", "brief"),
    [
        (b"", "x.deb is not a Debian package"),
        (b"<html>not found</html>", "x.deb is not a Debian package"),
        (b"!<arch>\n", "x.deb has no data"),
    ],
)
def test_what_is_no_package_is_refused(tmp_path: Path, content: bytes, brief: str) -> None:
    deb = tmp_path / "x.deb"
    deb.write_bytes(content)
    with pytest.raises(FailedError, match=brief) as caught:
        write_bootstrap([deb], tmp_path / "bootstrap.tar", usr_merge=False)
    assert str(deb) in caught.value.details


def test_an_unknown_compression_is_named(tmp_path: Path) -> None:
    with pytest.raises(FailedError, match="unknown way: lz9"):
        bootstrap(tmp_path, SHELL, compression=".lz9")
