# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Writes files into a folder and takes away those of the time before.

Only what the folder's own index names is ever replaced or removed, so nothing of anybody else's is lost.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.sheets import INDEX, Sheet
from stackway.errors import WrongInputError
from stackway.files import digest_bytes, write_atomic


@dataclass(frozen=True)
class Written:
    """What was done: paths that were written, that were right already, removed, and kept as somebody has changed them."""

    written: tuple[str, ...]
    same: tuple[str, ...]
    removed: tuple[str, ...]
    kept: tuple[str, ...]


def write(folder: Path, sheets: Iterable[Sheet]) -> Written:
    """Make the folder hold these files. Raises WrongInputError when that would replace what is not from here."""
    wanted = {sheet.path: sheet for sheet in sheets}
    earlier = _index(folder)
    _refuse_foreign(folder, wanted, earlier)
    written = [path for path, sheet in wanted.items() if not _is_right(folder / path, sheet)]
    for path in written:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / path, wanted[path].text.encode(), mode=wanted[path].mode)
    removed, kept = _remove(folder, {path: digest for path, digest in earlier.items() if path not in wanted})
    rows = {path: digest_bytes(sheet.text.encode()) for path, sheet in wanted.items()}
    write_atomic(folder / INDEX, "".join(f"{digest} {path}\n" for path, digest in sorted(rows.items())).encode())
    same = tuple(path for path in wanted if path not in written)
    return Written(tuple(written), same, tuple(removed), tuple(kept))


def _index(folder: Path) -> dict[str, str]:
    """Return path → digest of what was written before. Raises WrongInputError for an index that leads elsewhere."""
    path = folder / INDEX
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    found = {name: digest for digest, _, name in (line.partition(" ") for line in lines)}
    for name in found:
        if not _is_inside(folder, name):
            raise WrongInputError(
                "the folder's index names a file outside of it",
                details=f"{path}: {name!r}",
                resolution="Somebody has changed it. Remove the folder, or name another one.",
            )
    return found


def _is_inside(folder: Path, name: str) -> bool:
    path = PurePosixPath(name)
    if "\0" in name or not path.parts or ".." in path.parts or path.is_absolute():
        return False
    return folder.resolve() in (folder / name).resolve().parents


def _refuse_foreign(folder: Path, wanted: Mapping[str, Sheet], earlier: Mapping[str, str]) -> None:
    foreign = [
        path
        for path, sheet in wanted.items()
        if not _has_way(folder, path) or (path not in earlier and not _may_write(folder / path, sheet))
    ]
    if foreign:
        raise WrongInputError(
            "there are files that were not written from here",
            details="\n".join(str(folder / path) for path in foreign[:10]),
            resolution="Nothing was changed. Move them away, or name another folder.",
        )


def _has_way(folder: Path, name: str) -> bool:
    """Tell whether all above a file are folders, or not there yet; a link among them leads to what is somebody else's."""
    above = [folder / parent for parent in PurePosixPath(name).parents]
    is_linked = any(item.is_symlink() for item in above if item != folder)
    return not is_linked and all(item.is_dir() or not item.exists() for item in above)


def _may_write(path: Path, sheet: Sheet) -> bool:
    return not path.is_symlink() and (not path.exists() or _has_text(path, sheet))


def _has_text(path: Path, sheet: Sheet) -> bool:
    return path.is_file() and path.read_bytes() == sheet.text.encode()


def _is_right(path: Path, sheet: Sheet) -> bool:
    return not path.is_symlink() and _has_text(path, sheet) and path.stat().st_mode & 0o777 == sheet.mode


def _remove(folder: Path, old: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Remove files of the time before, and folders that are empty then; return what went, and what somebody has changed."""
    removed, kept = [], []
    for name, digest in sorted(old.items()):
        path = folder / name
        if not path.is_file():
            continue
        if digest_bytes(path.read_bytes()) != digest:
            kept.append(name)
            continue
        path.unlink()
        removed.append(name)
        if path.parent != folder and not any(path.parent.iterdir()):
            path.parent.rmdir()
    return removed, kept
