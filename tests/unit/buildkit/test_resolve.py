# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Of the files that an index has of a version, the one is locked that fits the images best; a source archive comes last."""

import pytest
from packaging.tags import Tag

from buildkit.index import IndexFile, IndexRelease
from buildkit.resolve import _package, _pin, _rank, target_tags
from stackway.errors import FailedError
from stackway.files import digest_bytes

SOURCE = "x-1.tar.gz"
PURE = "x-1-py3-none-any.whl"


def order(python: str = "3.13") -> dict[Tag, int]:
    return {tag: rank for rank, tag in enumerate(target_tags(python))}


def release(*filenames: str) -> IndexRelease:
    files = (IndexFile(name, f"address/{name}", digest_bytes(name.encode()), 7) for name in filenames)
    return IndexRelease("Zope.Interface", "1", tuple(files))


@pytest.mark.parametrize(
    ("best", "others"),
    [
        ("x-1-cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", [SOURCE, PURE]),
        ("x-1-cp313-cp313-manylinux_2_28_x86_64.whl", ["x-1-cp313-cp313-manylinux_2_17_x86_64.whl"]),
        ("x-1-cp313-cp313-manylinux2014_x86_64.whl", ["x-1-cp39-abi3-manylinux2014_x86_64.whl"]),
        ("x-1-cp39-abi3-manylinux_2_17_x86_64.whl", ["x-1-cp313-cp313-musllinux_1_2_x86_64.whl", SOURCE]),
        ("x-1-cp311-abi3-manylinux_2_17_x86_64.whl", ["x-1-cp39-abi3-manylinux_2_17_x86_64.whl"]),
        (PURE, [SOURCE, "x-1-py2-none-any.whl", "x-1-cp312-cp312-manylinux_2_17_x86_64.whl"]),
        (
            "x-1-py2.py3-none-any.whl",
            [SOURCE, "x-1-cp313-cp313-win_amd64.whl", "x-1-cp313-cp313-macosx_11_0_arm64.whl"],
        ),
        (SOURCE, ["x-1-cp313-cp313-manylinux_2_17_aarch64.whl", "x-1-cp313-cp313-manylinux_2_34_x86_64.whl"]),
        (SOURCE, ["x-1-cp313-cp313t-manylinux_2_17_x86_64.whl", "x-1.tar.bz2", "x-1.exe"]),
        ("x-1.zip", ["x-1-py2-none-any.whl"]),
    ],
)
def test_the_file_that_fits_best_is_chosen(best: str, others: list[str]) -> None:
    for names in ([best, *others], [*others, best]):
        pin = _pin(release(*names), order())
        assert (pin.filename, pin.digest, pin.size) == (best, digest_bytes(best.encode()), 7)


def test_the_choice_does_not_depend_on_the_order_of_the_index() -> None:
    names = ["x-1-1-py3-none-any.whl", "x-1-2-py3-none-any.whl", PURE]
    chosen = {_pin(release(*files), order()).filename for files in (names, names[::-1], [names[1], names[2], names[0]])}
    assert len(chosen) == 1


def test_the_name_is_written_normalised() -> None:
    pin = _pin(release(PURE), order())
    assert (pin.name, pin.version) == ("zope-interface", "1")


@pytest.mark.parametrize("names", [[], ["x-1-cp313-cp313-win_amd64.whl", "x-1.egg"]])
def test_a_version_without_a_file_that_fits_is_refused(names: list[str]) -> None:
    with pytest.raises(FailedError, match="has no file for the images' platform") as caught:
        _pin(release(*names), order())
    assert caught.value.details == (", ".join(names) or "the index lists no files")


@pytest.mark.parametrize(("python", "fits"), [("3.11", "cp311"), ("3.13", "cp313")])
def test_tags_are_those_of_the_images_python(python: str, fits: str) -> None:
    tags = target_tags(python)
    assert (tags[0].interpreter, tags[0].abi, tags[0].platform) == (fits, fits, "manylinux_2_28_x86_64")
    assert {tag.platform for tag in tags if "linux" in tag.platform} == {
        *(f"manylinux_2_{minor}_x86_64" for minor in range(5, 29)),
        *("manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"),
    }
    assert _rank(f"x-1-{fits}-{fits}-manylinux_2_28_x86_64.whl", order(python)) == 0
    assert len(tags) == len(set(tags))


@pytest.mark.parametrize(
    ("path", "archive"), [("pool/main/b/bash.deb", "debian"), ("pool/updates/main/b/bash.deb", "security")]
)
def test_the_archive_of_a_package_is_told_by_its_path(path: str, archive: str) -> None:
    fields = {
        "Package": "bash",
        "Version": "5",
        "Architecture": "amd64",
        "SHA256": "a" * 64,
        "Size": "10",
        "Filename": path,
    }
    found = _package(fields)
    assert (found.archive, found.path, found.size, found.digest) == (archive, path, 10, "sha256:" + "a" * 64)
