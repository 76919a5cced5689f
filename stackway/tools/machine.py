# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Looks at this machine for the facts that decide what can run on it. Leaves nothing behind and judges nothing."""

import os
import platform
import shutil
from pathlib import Path

from stackway import process
from stackway.errors import StackwayError
from stackway.files import scratch_directory
from stackway.tools.diagnosis import Machine
from stackway.tools.survey import machine_platform

_CGROUPS = Path("/sys/fs/cgroup")
_MOUNT_SECONDS = 20.0


def look_at_machine(cache: Path) -> Machine:
    """Return the facts about this machine and about the disk that holds `cache`, or will."""
    disk = _existing(cache)
    is_root = os.geteuid() == 0
    return Machine(
        platform=machine_platform(),
        kernel=platform.release(),
        is_root=is_root,
        processors=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        cgroup=cgroup_version(_CGROUPS),
        overlay=_can_mount_overlay(disk) if is_root else None,
        cache=str(cache),
        free=shutil.disk_usage(disk).free,
    )


def cgroup_version(root: Path) -> str:
    """Return which control groups are mounted at `root`: `1`, `2`, `hybrid` (both) or `none`."""
    if (root / "cgroup.controllers").is_file():
        return "2"
    if (root / "unified" / "cgroup.procs").is_file():
        return "hybrid"
    return "1" if (root / "memory").is_dir() or (root / "cpu").is_dir() else "none"


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def _can_mount_overlay(disk: Path) -> bool | None:
    """Try it, in a mount namespace that ends with the command, on the disk where the builder would."""
    options = "lowerdir=lower,upperdir=upper,workdir=work"
    mount = ("unshare", "--mount", "--", "mount", "-t", "overlay", "overlay", "-o", options, "merged")
    try:
        with scratch_directory(disk, ".stackway-overlay.") as scratch:
            for name in ("lower", "upper", "work", "merged"):
                (scratch / name).mkdir()
            return process.run(process.Command(mount, {}, scratch, timeout=_MOUNT_SECONDS), check=False).code == 0
    except (OSError, StackwayError):
        return None
