# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Where Debian packages come from: the settings, else this machine's own apt sources."""

import re
from pathlib import Path

from stackway.errors import UnavailableError
from stackway.settings import Settings

_SOURCES = (Path("/etc/apt/sources.list"), Path("/etc/apt/sources.list.d"))
_ADDRESS = re.compile(r"https?://[^\s\]]+")


def debian_mirrors(settings: Settings) -> dict[str, str]:
    """Return archive → base address. Raises UnavailableError when neither the settings nor apt's sources say."""
    found = _apt_mirrors()
    mirrors = {
        "debian": settings.debian_mirror.value or found.get("debian", ""),
        "security": settings.debian_security_mirror.value or found.get("security", ""),
    }
    for archive, address in mirrors.items():
        if not address:
            raise UnavailableError(
                f"no mirror of Debian's {archive} archive is known",
                details="This machine's apt sources name none.",
                resolution="Set debian_mirror and debian_security_mirror in stackway.toml, or STACKWAY_DEBIAN_MIRROR and "
                "STACKWAY_DEBIAN_SECURITY_MIRROR.",
            )
    return {archive: address.rstrip("/") for archive, address in mirrors.items()}


def _apt_mirrors() -> dict[str, str]:
    found: dict[str, str] = {}
    files = [path for source in _SOURCES for path in (sorted(source.iterdir()) if source.is_dir() else [source])]
    for path in files:
        try:
            text = path.read_text(errors="replace")
        except (FileNotFoundError, PermissionError):
            continue
        lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
        for address in _ADDRESS.findall("\n".join(lines)):
            tail = address.rstrip("/").rsplit("/", 1)[-1]
            if tail in {"debian", "debian-security"}:
                found.setdefault("security" if tail == "debian-security" else "debian", address)
    return found
