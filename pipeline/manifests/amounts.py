# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Durations (`500ms`, `75s`, `2m`) and quantities (`100m`, `256Mi`) as specs write them, as numbers. Pure."""

import math

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_FACTORS = {"m": 1, "": 1000, "Ki": 1000 << 10, "Mi": 1000 << 20, "Gi": 1000 << 30, "Ti": 1000 << 40}


def seconds(text: str) -> float:
    """Return the seconds of a duration."""
    unit = "ms" if text.endswith("ms") else text[-1]
    return int(text.removesuffix(unit)) * _UNITS[unit]


def whole_seconds(text: str) -> int:
    """Return the seconds of a duration, rounded up: Kubernetes knows no parts of them."""
    return math.ceil(seconds(text))


def thousandths(quantity: str) -> int:
    """Return a quantity in thousandths of its unit: `100m` is 100, `2` is 2000."""
    unit = quantity.lstrip("0123456789.")
    return round(float(quantity.removesuffix(unit)) * _FACTORS[unit])
