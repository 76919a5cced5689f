# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The way from specs to a cloud that answers: its stages, and how long each takes. Pure; each stage is a command."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Stage:
    """One stage: the words of its command, and what to tell of the result.

    `seconds` is what it takes on two processors when everything is to be made. One that `may_fail` is told of and passed:
    the environment's own gates decide what they need.
    """

    name: str
    words: tuple[str, ...]
    told: Callable[[Any], str]
    seconds: float
    may_fail: bool = False


def stages(series: str, environment: str, *, is_local: bool) -> tuple[Stage, ...]:
    """Return the stages in order; `{version}` in their words is the release that was made on the way."""
    cluster = Stage("cluster", ("cluster", "up"), _cluster, 520)
    return (
        Stage("build", ("build", "--series", series), _build, 420),
        Stage("scan", ("scan", "images", "--series", series, "--policy", environment), _scan, 80, may_fail=True),
        Stage("bundle", ("bundle", "--series", series, "--policy", environment, "--unscanned"), _bundle, 4),
        Stage("sign", ("sign", "{version}"), lambda _: "every image, every evidence", 3),
        Stage("verify", ("verify", "{version}", "--for", environment), lambda _: "every byte", 3),
        Stage("promote", ("promote", "{version}", environment), lambda _: f"pinned in {environment}", 2),
        *((cluster,) if is_local else ()),
        Stage("deploy", ("deploy", environment), _deploy, 110),
        Stage("check", ("status", environment, "--wait", "180"), lambda _: "everything that is asked answers", 10),
    )


def left(todo: Sequence[Stage], times: Mapping[str, float]) -> float:
    """Return the seconds that the stages will take, by what they took here the last time where that is known."""
    return sum(times.get(stage.name, stage.seconds) for stage in todo)


def span(seconds: float) -> str:
    """Return a time for people: `45 s`, `12 min`."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"  # noqa: PLR2004 - reads better so


def _build(value: Any) -> str:
    rows = value["images"]
    built = sum(row["status"] == "built" for row in rows)
    return f"{built} images built, {len(rows) - built} were there"


def _scan(value: Any) -> str:
    return f"{len(value.get('images', ()))} images judged"


def _bundle(value: Any) -> str:
    return f"release {value['version']} " + ("made" if value["made"] else "is this already")


def _cluster(value: Any) -> str:
    return "started" if value.get("steps") else "it runs already"


def _deploy(value: Any) -> str:
    ready = value["ready"]
    return f"all ready after {max(ready.values()):.1f} s" if any(ready.values()) else "nothing was to do"
