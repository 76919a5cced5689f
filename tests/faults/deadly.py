# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.faults.deadly NUMBER WORDS…`: the program `release`, killed (-9) right after so many writes to the cluster.

With 0 it lives; how many writes it has made is in the last line of its messages.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from pipeline.api import Api
from pipeline.cli import main

_WRITES = ("apply", "create", "delete", "delete_all")
_lock = threading.Lock()
_made = 0


def counted(write: Callable[..., Any], deadly: int) -> Callable[..., Any]:
    """Return a write that counts, and kills this process when its number has come."""

    def do(api: Api, *given: Any, **named: Any) -> Any:
        global _made  # noqa: PLW0603 - one process, one count
        answer = write(api, *given, **named)
        if not named.get("dry_run"):
            with _lock:
                _made += 1
                if _made == deadly:
                    os.kill(os.getpid(), signal.SIGKILL)
        return answer

    return do


if __name__ == "__main__":
    number = int(sys.argv.pop(1))
    for name in _WRITES:
        setattr(Api, name, counted(getattr(Api, name), number))
    try:
        sys.exit(main())
    finally:
        sys.stderr.write(f"writes: {_made}\n")
