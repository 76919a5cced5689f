# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The files `index.json` and `oci-layout` of an OCI layout: read with caps, written whole. Knows no locks and no blobs."""

import os
from pathlib import Path

from releases.blobs import open_plain
from releases.entries import INDEX_MAX, Index, parse_index
from stackway.errors import WrongInputError
from stackway.files import write_atomic

_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_LAYOUT_MAX = 1 << 10


class IndexFile:
    """The index of a folder; what was read is kept until the file is another one."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "index.json"
        self._layout = folder / "oci-layout"
        self._read: tuple[tuple[int, ...], Index] = ((), Index())

    def read(self) -> Index:
        """Return the index, not to be changed; an empty one when there is none. Raises WrongInputError for what is none."""
        try:
            file = open_plain(self.path)
        except FileNotFoundError:
            return Index()
        if file is None:
            raise _no_layout(self.path, "no plain file")
        with file:
            status = os.fstat(file.fileno())
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
            if self._read[0] != seen:
                self._read = (seen, self._parse(file.read(INDEX_MAX + 1)))
        return self._read[1]

    def write(self, index: Index) -> None:
        """Replace the index. Raises WrongInputError when it is too large, or the folder is of another version."""
        content = index.to_bytes()
        if not self._is_layout():
            write_atomic(self._layout, _LAYOUT)
        write_atomic(self.path, content)

    def _parse(self, content: bytes) -> Index:
        if len(content) > INDEX_MAX:
            raise _no_layout(self.path, f"larger than {INDEX_MAX} bytes")
        self._is_layout()
        return parse_index(content, str(self.path))

    def _is_layout(self) -> bool:
        """Tell whether `oci-layout` is there. Raises WrongInputError for another version than ours."""
        try:
            file = open_plain(self._layout)
        except FileNotFoundError:
            return False
        content = b""
        if file is not None:
            with file:
                content = file.read(_LAYOUT_MAX)
        if b'"1.0.0"' not in content:
            raise _no_layout(self._layout, "not an image layout of version 1.0.0")
        return True


def _no_layout(path: Path, why: str) -> WrongInputError:
    return WrongInputError(
        "the folder is not an OCI image layout",
        details=f"{path}: {why}",
        resolution="Name another folder, or restore the file.",
    )
