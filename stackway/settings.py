# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What a run may be told from outside, and who said it: default < `stackway.toml` < environment < command line."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from stackway.errors import Position, Problem, WrongInputError
from stackway.spelling import nearest

FILE = "stackway.toml"
PREFIX = "STACKWAY_"


@dataclass(frozen=True)
class Setting:
    """One value and where it came from."""

    value: str
    origin: str


@dataclass(frozen=True)
class Settings:
    """All settings of a run; every value is text here and is parsed where it is used.

    `cache` holds what any checkout may share (tools, packages, the engine's state), `state` what belongs to this one
    (store, records, logs). `builder` is `auto`, `own`, `docker`, `buildx:<name>`, `remote:<address>` or
    `kubernetes:<namespace>`. The mirrors are base addresses of Debian archives; empty means the machine's own apt sources.
    `scan_database` is an OCI repository with Trivy's database, such as a mirror of the site; empty means Trivy's own.
    `releases` is where releases and records are: a folder, or `oci://host/prefix`; empty means below the state. `key` signs:
    a file, or a URI of a key service; empty means the development key, where that is enough.
    """

    cache: Setting
    state: Setting
    builder: Setting
    debian_mirror: Setting
    debian_security_mirror: Setting
    overlay: Setting
    scan_database: Setting
    releases: Setting
    key: Setting

    @property
    def cache_path(self) -> Path:
        """The user cache as a path."""
        return Path(self.cache.value).expanduser().absolute()


def default_settings(environment: Mapping[str, str]) -> Settings:
    """Return the built-in values; the cache follows XDG_CACHE_HOME."""
    home = environment.get("XDG_CACHE_HOME") or "~/.cache"
    built_in = {"cache": f"{home}/stackway", "state": ".stackway", "builder": "auto"}
    return Settings(**{name.name: Setting(built_in.get(name.name, ""), "default") for name in fields(Settings)})


def load_settings(root: Path, command_line: Mapping[str, str | None] | None = None) -> Settings:
    """Return the settings of a run in the checkout `root`. Raises WrongInputError for an unknown or wrongly typed one."""
    settings = default_settings(os.environ)
    settings = _merge(settings, _from_file(root / FILE))
    settings = _merge(settings, _from_environment(os.environ))
    given = {name: Setting(value, f"--{name}") for name, value in (command_line or {}).items() if value is not None}
    return _merge(settings, given)


def _merge(settings: Settings, given: Mapping[str, Setting]) -> Settings:
    return replace(settings, **dict(given))


def _from_environment(environment: Mapping[str, str]) -> dict[str, Setting]:
    found = {}
    for field in fields(Settings):
        name = PREFIX + field.name.upper()
        if environment.get(name):
            found[field.name] = Setting(environment[name], name)
    return found


def _from_file(path: Path) -> dict[str, Setting]:
    import tomllib

    try:
        text = path.read_text(encoding="utf-8")
        content: dict[str, Any] = tomllib.loads(text)
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrongInputError(
            f"{FILE} is not TOML", details=f"{path}: {error}", resolution="Mend the line named above."
        ) from error
    known = [field.name for field in fields(Settings)]
    problems, found = [], {}
    for name, value in content.items():
        place = Position(FILE, _line_of(name, text))
        if name not in known:
            near = nearest(name, known)
            problems.append(
                Problem(
                    f"unknown setting {name!r}",
                    place,
                    f"Did you mean {near!r}?" if near else f"Known: {', '.join(known)}",
                )
            )
        elif not isinstance(value, str):
            problems.append(Problem(f"{name!r} must be text", place))
        else:
            found[name] = Setting(value, str(place))
    if problems:
        raise WrongInputError.from_problems(f"{FILE} cannot be used", problems)
    return found


def _line_of(name: str, text: str) -> int:
    found = re.search(rf"^[ \t]*\[?{re.escape(name)}\b", text, re.MULTILINE)
    return text.count("\n", 0, found.start()) + 1 if found else 0
