# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Runs a service's own commands in order, inside the service's container, and stops at the first that fails.

Argument: a JSON file with {"commands": [{"run": [...], "unless": {"run": [...], "contains": "..."}, "more": 1}]}. With
`more` a command is run again as long as it ends with that exit code. Standard library only.
Most of a command's time is the import of its service. So a program that is Python is imported once, and each command is a
fork of that; any other program is simply started.
"""

import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from functools import cache
from typing import IO, Any


def main() -> int:
    with open(sys.argv[1], encoding="utf-8") as file:
        commands = json.load(file)["commands"]
    for command in commands:
        print("+", " ".join(command["run"]), flush=True)
        started = time.monotonic()
        if is_done(command.get("unless")):
            print("  done before", flush=True)
            continue
        code = run(command["run"])
        while code == command.get("more"):
            code = run(command["run"])
        print(f"  exit code {code} after {time.monotonic() - started:.1f} s", flush=True)
        if code != 0:
            return code
    return 0


def is_done(unless: dict[str, Any] | None) -> bool:
    """Tell whether the condition's command prints its text."""
    if not unless:
        return False
    with tempfile.TemporaryFile() as output:
        run(unless["run"], output)
        output.seek(0)
        return unless["contains"] in output.read().decode("utf-8", "replace")


def run(command: list[str], output: IO[bytes] | None = None) -> int:
    """Run a command and return its exit code; what it prints goes to `output`, if given."""
    program = imported(command[0])
    if program is None or threading.active_count() > 1:
        return subprocess.call(command, stdout=output)
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        if output:
            os.dup2(output.fileno(), 1)
        child(program, command)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def child(program: Callable[[], Any], command: list[str]) -> None:
    """Be the command, and end."""
    sys.argv = command
    code = 1
    try:
        sys.exit(program())
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001 - whatever it is, the command has failed
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@cache
def imported(name: str) -> Callable[[], Any] | None:
    """Return what a console script calls, its module imported; None for any other program, or when it cannot be."""
    found = importlib.metadata.entry_points(group="console_scripts", name=name)
    sys.argv = [name]
    try:
        return next(iter(found)).load() if found else None
    except Exception:  # noqa: BLE001 - what cannot be imported is started, and tells why
        return None


if __name__ == "__main__":
    sys.exit(main())
