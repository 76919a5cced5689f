# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The program as a process: exit codes, both outputs, and readers that go away."""

import json
import sys
from pathlib import Path

import pytest

from stackway.process import Command, Completed, run
from tests.fakes.checkout import REPOSITORY, FakeCheckout

PROGRAM = f"{sys.executable} -m pipeline.cli"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    checkout = FakeCheckout(tmp_path_factory.mktemp("checkout"))
    checkout.lock()
    return checkout.root


def release(root: Path, words: str, **environment: str) -> Completed:
    script = f"set -o pipefail; {PROGRAM} --root {root} {words}"
    return run(Command(("bash", "-c", script), environment, REPOSITORY), check=False)


def test_a_result_goes_to_standard_output_alone(root: Path) -> None:
    done = release(root, "spec list --output json")
    assert (done.code, done.stderr) == (0, "")
    assert json.loads(done.stdout)[0]["image"] == "glance:2026.1"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("", 2, "the following arguments are required: COMMAND"),
        ("spec lst", 2, "there is no 'lst' here"),
        ("spec list keystnoe", 2, "there is no image 'keystnoe'"),
        ("build --dry-run --exit-code", 3, ""),
    ],
)
def test_the_exit_code_says_what_went_wrong(root: Path, words: str, code: int, told: str) -> None:
    done = release(root, words)
    assert done.code == code
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", ["spec render", "spec list", "--help", "spec list nothing --output json"])
def test_a_reader_that_goes_away_is_no_error_of_ours(root: Path, words: str) -> None:
    done = release(root, f"{words} | true")
    assert done.code == (2 if "nothing" in words else 0)
    assert "Exception ignored" not in done.stderr
    assert "Broken" not in done.stderr


def test_a_terminal_without_unicode_is_no_error_of_ours(root: Path) -> None:
    done = release(root, "spec render keystone", PYTHONIOENCODING="ascii")
    assert done.code == 0
