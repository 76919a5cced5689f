# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Files are written into a folder and taken away again, and nothing of anybody else's is lost or left."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.outbox import Written, write
from pipeline.sheets import INDEX, Sheet
from stackway.errors import WrongInputError

NAMES = ("010-a/x.yaml", "010-a/y.yaml", "020-b/z.yaml", "README.md")
CONTENTS = st.dictionaries(st.sampled_from(NAMES), st.text("ab\n", max_size=3))


def put(folder: Path, content: Mapping[str, str], mode: int = 0o644) -> Written:
    return write(folder, [Sheet(path, text, mode) for path, text in content.items()])


def found(folder: Path) -> dict[str, str]:
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_text(encoding="utf-8") for name, path in files.items() if name != INDEX}


@given(steps=st.lists(CONTENTS, min_size=1, max_size=4))
def test_folder_holds_what_was_written_last_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, steps: list[dict[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("out") / "new"
    for content in steps:
        done = put(folder, content)
        assert found(folder) == content
        assert {*done.written, *done.same} == content.keys()
        assert {path.name for path in folder.iterdir() if path.is_dir()} == {
            name.partition("/")[0] for name in content if "/" in name
        }


def test_same_again_writes_nothing(tmp_path: Path) -> None:
    put(tmp_path, {NAMES[0]: "a"})
    before = (tmp_path / NAMES[0]).stat().st_mtime_ns
    assert put(tmp_path, {NAMES[0]: "a"}) == Written((), (NAMES[0],), (), ())
    assert (tmp_path / NAMES[0]).stat().st_mtime_ns == before


def test_secret_is_for_its_owner_alone_even_where_it_was_open_before(tmp_path: Path) -> None:
    put(tmp_path, {NAMES[0]: "a"}, 0o644)
    assert put(tmp_path, {NAMES[0]: "a"}, 0o600).written == (NAMES[0],)
    assert (tmp_path / NAMES[0]).stat().st_mode & 0o777 == 0o600


def test_file_of_somebody_else_is_not_replaced_and_nothing_is_changed(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine", encoding="utf-8")
    with pytest.raises(WrongInputError, match="not written from here") as caught:
        put(tmp_path, {NAMES[0]: "a", "README.md": "b"})
    assert "README.md" in caught.value.details
    assert found(tmp_path) == {"README.md": "mine"}


def test_files_of_somebody_else_stay(tmp_path: Path) -> None:
    put(tmp_path, {NAMES[0]: "a"})
    (tmp_path / "010-a/mine").write_text("mine", encoding="utf-8")
    assert put(tmp_path, {}).removed == (NAMES[0],)
    assert found(tmp_path) == {"010-a/mine": "mine"}


def test_file_that_somebody_has_changed_is_kept_when_it_is_wanted_no_more(tmp_path: Path) -> None:
    put(tmp_path, {NAMES[0]: "a", NAMES[1]: "b"})
    (tmp_path / NAMES[0]).write_text("changed", encoding="utf-8")
    done = put(tmp_path, {NAMES[1]: "b"})
    assert (done.removed, done.kept) == ((), (NAMES[0],))
    assert found(tmp_path) == {NAMES[0]: "changed", NAMES[1]: "b"}


def test_file_that_somebody_has_changed_is_made_right_when_it_is_wanted(tmp_path: Path) -> None:
    put(tmp_path, {NAMES[0]: "a"})
    (tmp_path / NAMES[0]).write_text("changed", encoding="utf-8")
    assert put(tmp_path, {NAMES[0]: "a"}).written == (NAMES[0],)
    assert found(tmp_path) == {NAMES[0]: "a"}


def test_run_that_was_stopped_before_its_index_is_gone_on_with(tmp_path: Path) -> None:
    put(tmp_path, {NAMES[0]: "a"})
    (tmp_path / INDEX).unlink()
    assert put(tmp_path, {NAMES[0]: "a", NAMES[1]: "b"}).written == (NAMES[1],)
    assert put(tmp_path, {}).removed == NAMES[:2]


@pytest.mark.parametrize(
    "line", ["sha256:1 ../outside", "sha256:1 /etc/passwd", "sha256:1", "sha256:1 a/../../outside", "sha256:1 ."]
)
def test_index_that_leads_elsewhere_is_refused(tmp_path: Path, line: str) -> None:
    folder = tmp_path / "out"
    put(folder, {})
    (folder / INDEX).write_text(f"{line}\n", encoding="utf-8")
    (tmp_path / "outside").write_text("mine", encoding="utf-8")
    with pytest.raises(WrongInputError, match="outside of it"):
        put(folder, {})
    assert (tmp_path / "outside").exists()


@pytest.mark.parametrize("bad", [b"\xff\xfe", b"sha256:1 a\x00b\n"])
def test_index_that_is_no_text_is_refused(tmp_path: Path, bad: bytes) -> None:
    (tmp_path / INDEX).write_bytes(bad)
    with pytest.raises(WrongInputError):
        put(tmp_path, {})


def test_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    folder, aim = tmp_path / "out", tmp_path / "mine"
    folder.mkdir()
    aim.write_text("a", encoding="utf-8")
    (folder / "README.md").symlink_to(aim)
    with pytest.raises(WrongInputError):
        put(folder, {"README.md": "a"})
    assert aim.read_text(encoding="utf-8") == "a"


def test_link_in_the_place_of_a_folder_is_not_followed(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "010-a").symlink_to(elsewhere)
    with pytest.raises(WrongInputError):
        put(folder, {NAMES[0]: "a"})
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("file", ["", "010-a"])
def test_file_in_the_place_of_a_folder_is_refused(tmp_path: Path, file: str) -> None:
    folder = tmp_path / "out"
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text("mine", encoding="utf-8")
    with pytest.raises(WrongInputError):
        put(folder, {NAMES[0]: "a"})
    assert (folder / file).read_text(encoding="utf-8") == "mine"
