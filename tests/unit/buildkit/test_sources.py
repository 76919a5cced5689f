# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Texts are written below the folder that was named, each under its own name."""

from pathlib import Path

from buildkit.sources import write_texts

TEXTS = {"nova-2026.1/Dockerfile": "FROM scratch\n", "nova-2026.1/image/etc/nova/é.conf": "[é]\r\n", "/top": ""}


def written(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes().decode() for path in files}


def test_texts_are_written_as_they_are_into_folders_that_are_made(tmp_path: Path) -> None:
    write_texts(tmp_path / "not/there", TEXTS)
    assert written(tmp_path / "not/there") == {name.lstrip("/"): text for name, text in TEXTS.items()}


def test_what_was_written_before_is_written_over_and_other_files_stay(tmp_path: Path) -> None:
    write_texts(tmp_path, TEXTS)
    write_texts(tmp_path, {"top": "new", "nova-2026.1/Dockerfile": "FROM os\n"})
    assert written(tmp_path) == {
        "nova-2026.1/Dockerfile": "FROM os\n",
        "nova-2026.1/image/etc/nova/é.conf": "[é]\r\n",
        "top": "new",
    }
