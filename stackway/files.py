# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or not there: atomic writes, canonical JSON, digests, hard links. Knows no formats but JSON."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stackway.errors import FailedError, WrongInputError


def canonical_json(value: Any) -> bytes:
    """Return `value` as JSON with sorted keys, no spaces and UTF-8: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest_bytes(content: bytes) -> str:
    """Return `sha256:<64 hex>` of `content`."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def digest_file(path: Path) -> str:
    """Return `sha256:<64 hex>` of the file's content, read in chunks."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def digest_json(value: Any) -> str:
    """Return the digest of `value`'s canonical JSON."""
    return digest_bytes(canonical_json(value))


def read_json(path: Path) -> Any:
    """Return the parsed content of a JSON file of ours.

    Raises WrongInputError when it is not JSON: a file of ours is written whole, so somebody else changed it.
    """
    try:
        return json.loads(path.read_bytes())
    except (ValueError, UnicodeDecodeError) as error:
        raise WrongInputError(
            f"{path.name} is not JSON",
            details=f"{path}: {error}",
            resolution="Restore the file, or remove it and run again.",
        ) from error


@contextmanager
def disk_errors(what: str, path: Path | None = None) -> Iterator[None]:
    """Turn "no space left" and "read-only" into errors that say what was being written, and at which `path`."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        raise FailedError(
            f"{what}: {os.strerror(error.errno)}",
            details=str(path or error.filename or ""),
            resolution="Free some space there (`release store gc` drops what nothing needs) and run the same command again.",
        ) from error


def write_atomic(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a whole file or nothing: to a temporary name beside it, flushed to disk, then renamed."""
    with disk_errors(f"cannot write {path.name}", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(mode)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented, sorted JSON, atomically."""
    write_atomic(path, (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode())


def place(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`: a hard link where the file system allows, else a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EACCES):
            raise
        _copy(source, target)


def _copy(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with disk_errors(f"cannot write {target.name}", target):
            shutil.copyfile(source, temporary)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def scratch_directory(parent: Path, prefix: str) -> Iterator[Path]:
    """Yield a new directory below `parent` that is gone afterwards, whatever happens."""
    parent.mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
