# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Durations as specs write them (`500ms`, `75s`, `2m`), in seconds. Pure."""

import math

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """Return the seconds of a duration."""
    unit = "ms" if text.endswith("ms") else text[-1]
    return int(text.removesuffix(unit)) * _UNITS[unit]


def whole_seconds(text: str) -> int:
    """Return the seconds of a duration, rounded up: Kubernetes knows no parts of them."""
    return math.ceil(seconds(text))
