# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The program that runs an image's checks: it says what it does, and the first check that fails ends it."""

import os
import sys
from pathlib import Path

import pytest

from buildkit import recipes
from stackway import process
from stackway.process import Command, Completed

PROGRAM = str(Path(next(iter(recipes.__path__))) / "checks.py")


def check(folder: Path, *checks: str) -> Completed:
    paths = {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(folder)}
    environment = {**paths, "TMPDIR": str(folder)}
    return process.run(Command((sys.executable, PROGRAM, *checks), environment), check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Programs as distributions install them, and modules."""
    (tmp_path / "broken.py").write_text("import no_such_module\n")
    (tmp_path / "sound.py").write_text("print('noise')\n")
    for name, code in {
        "warm": "import sys; sys.exit(0 if 'sound' in sys.modules and sys.argv[1:] == ['a b'] else 7)",
        "shy": "import sys; sys.exit('sound' in sys.modules and 'others are here')",
        "told": "import sys; sys.exit('it is wrong')",
        "raises": "raise ValueError('no such thing')",
        "asks": "import sys; sys.exit(sys.stdin.read() != '')",
    }.items():
        (tmp_path / name).write_text(f"#!{sys.executable}\n{code}\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def test_checks_that_pass_are_named_and_say_nothing(folder: Path) -> None:
    checks = ("import sound", "warm 'a b'", "shy", "asks", "true")
    done = check(folder, *checks)
    assert (done.code, done.stdout) == (0, "".join(f"+ {item}\n" for item in checks))


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("import broken", "No module named 'no_such_module'"),
        ("import nowhere", "No module named 'nowhere'"),
        ("warm other", ""),
        ("told", "it is wrong"),
        ("raises", "no such thing"),
        ("false", ""),
        ("no-such-program", "there is no such program"),
        ("sh -c 'kill -9 $$'", ""),
    ],
)
def test_first_check_that_fails_ends_it_and_says_why(folder: Path, bad: str, why: str) -> None:
    done = check(folder, "import sound", bad, "true")
    assert done.code == 1
    assert f"+ {bad}\n" in done.stdout
    assert why in done.stdout
    assert done.stdout.endswith(f"FAILED: {bad}\n")
    assert done.stdout.count("Traceback") <= 1
    assert "+ true" not in done.stdout
