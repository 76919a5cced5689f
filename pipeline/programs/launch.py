# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Runs the program that its arguments name, with an environment and an input that come on standard input.

First a line of JSON: {"environment": {"NAME": "value"}, "input": 3}, then so many bytes, which the program gets as its own
standard input. What is secret is so on no command line.
"""

import json
import os
import sys

PIECE = 65536


def main() -> int:
    head = json.loads(line())
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writes)
        os.dup2(reads, 0)
        os.execvpe(sys.argv[1], sys.argv[1:], {**os.environ, **head["environment"]})
    os.close(reads)
    give(writes, head["input"])
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def line() -> bytes:
    """Read to the end of the line and no further."""
    found = b""
    while not found.endswith(b"\n"):
        piece = os.read(0, 1)
        if not piece:
            sys.exit("no environment was given")
        found += piece
    return found


def give(writes: int, size: int) -> None:
    """Copy so many bytes to the program; it may end without having read them."""
    try:
        while size > 0 and (piece := os.read(0, min(size, PIECE))):
            size -= len(piece)
            while piece:
                piece = piece[os.write(writes, piece) :]
    except BrokenPipeError:
        return
    finally:
        os.close(writes)


if __name__ == "__main__":
    sys.exit(main())
