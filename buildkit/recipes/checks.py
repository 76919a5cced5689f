# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""checks.py CHECK...: does each CHECK (`import MODULE`, or a command) in order and ends with 1 at the first that fails.

One process imports, and Python programs run in children of it: nearly all the time of a command of OpenStack goes into
imports, and so they are done once for all checks of an image.
"""

import importlib
import os
import runpy
import shlex
import shutil
import sys
import traceback

LOG = "/tmp/check.log"


def run_program(program: str, words: list[str]) -> int:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    with open(program, "rb") as file:
        first = file.readline()
    if not (first.startswith(b"#!") and b"python" in first):
        os.execv(program, words)
    sys.argv = [program, *words[1:]]
    try:
        runpy.run_path(program, run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    return 0


def run(words: list[str]) -> bool:
    program = shutil.which(words[0])
    if program is None:
        print(f"{words[0]}: there is no such program")
        return False
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = run_program(program, words)
        except BaseException:  # noqa: BLE001 - whatever it is, it is what was found
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


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
        log = os.open(LOG, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
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
