# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The one place that asks for the time. Decisions take it as an argument instead."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return the present moment, UTC."""
    return datetime.now(UTC)  # noqa: TID251 - the place this rule points to


def monotonic() -> float:
    """Return seconds from an arbitrary start, for durations only."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Wait for `seconds`."""
    time.sleep(seconds)
