# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""checks.py CHECK...: does each CHECK (`import MODULE`, or a command) in order and ends with 1 at the first that fails.

One process imports, and Python programs run in children of it: nearly all the time of a command of OpenStack goes into
imports, and so they are done once for all checks of an image. A program that does not like what is there already is started
anew, and what it says then counts.
"""

import importlib
import os
import runpy
import shlex
import shutil
import sys
import traceback
from collections.abc import Callable

LOG = os.path.join(os.environ.get("TMPDIR", "/tmp"), "check.log")


def is_python(program: str) -> bool:
    with open(program, "rb") as file:
        first = file.readline()
    return first.startswith(b"#!") and b"python" in first


def run_here(program: str, words: list[str]) -> int:
    """Run a Python program with all that this process has imported."""
    sys.argv = [program, *words[1:]]
    try:
        runpy.run_path(program, run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    return 0


def passes_in_child(run: Callable[[str, list[str]], int], program: str, words: list[str]) -> bool:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            code = run(program, words)
        except BaseException:  # noqa: BLE001 - whatever it is, it is what was found
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def run(words: list[str]) -> bool:
    program = shutil.which(words[0])
    if program is None:
        print(f"{words[0]}: there is no such program")
        return False
    sys.stdout.flush()
    if is_python(program) and passes_in_child(run_here, program, words):
        return True
    os.ftruncate(1, 0)
    return passes_in_child(os.execv, program, words)


def load(module: str) -> bool:
    try:
        importlib.import_module(module)
    except BaseException:  # noqa: BLE001 - whatever it is, it is what was found
        traceback.print_exc()
        return False
    return True


def passes(check: str) -> bool:
    words = shlex.split(check)
    return load(words[1]) if words[0] == "import" else run(words)


def main() -> None:
    sys.path.pop(0)  # this program's own folder
    report = os.fdopen(os.dup(1), "w", buffering=1)
    for check in sys.argv[1:]:
        report.write(f"+ {check}\n")
        log = os.open(LOG, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        if not passes(check):
            sys.stdout.flush()
            sys.stderr.flush()
            with open(LOG, encoding="utf-8", errors="replace") as file:
                report.write(file.read())
            report.write(f"FAILED: {check}\n")
            report.flush()
            os._exit(1)
        os.close(log)


if __name__ == "__main__":
    main()
