# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The tool is killed (-9) right after each of its writes to a real cluster; whoever comes next ends all-new or all-old."""

import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import yaml

from stackway import clock, process
from stackway.errors import ExitCode
from stackway.process import Command, Completed
from tests.e2e.cloud import Cloud, run_release, tell
from tests.faults.attempt import Upgrades
from tests.integration.builder import REPOSITORY

_KILLED = {-9, 137}


@contextmanager
def changed_file(cloud: Cloud) -> Iterator[None]:
    """Have the environment's file ask for another placement for a while."""
    path = next(
        path
        for folder in (".stackway/environments", "environments")
        if (path := REPOSITORY / folder / f"{cloud.name}.yaml").exists()
    )
    text = path.read_text(encoding="utf-8")
    data = yaml.safe_load(text)
    data.setdefault("services", {}).setdefault("placement", {})["settings"] = {"debug": True, "api_threads": 5}
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(text, encoding="utf-8")


def deadly(number: int, *words: str) -> Completed:
    """Run the program `release`, killed right after so many writes; 0: not at all."""
    arguments = (sys.executable, "-m", "tests.faults.deadly", str(number), *words)
    return process.run(Command(arguments, directory=REPOSITORY), check=False)


def writes(done: Completed) -> int:
    """Return how many writes a run that lived has made."""
    assert done.code in {ExitCode.DONE, ExitCode.ROLLED_BACK}, done.stderr
    return int(done.stderr.strip().splitlines()[-1].removeprefix("writes: "))


def go_on(cloud: Cloud) -> str:
    """Resume what was killed; return how the upgrade has ended."""
    done = run_release("resume", cloud.name, check=False)
    # Killed after its last write there is nothing to go on with.
    assert done.code in {ExitCode.DONE, ExitCode.ROLLED_BACK} or "has ended" in done.stderr, done.stderr
    return str(json.loads(run_release("report", cloud.name, "--output", "json").stdout)["outcome"])


def test_tool_killed_after_any_write_is_followed_by_one_that_ends_it(upgrades: Upgrades) -> None:
    """Each round is an upgrade that is killed and resumed, and its way back that is killed and resumed."""
    cloud, old = upgrades.cloud, upgrades.state()
    upgrade, back = ("upgrade", cloud.name, "--soak", "1"), ("resume", cloud.name, "--back")
    with changed_file(cloud):
        forward = writes(deadly(0, *upgrade))
        new = upgrades.state()
        backward = writes(deadly(0, *back))
        assert upgrades.state() == old
        assert new != old
        tell(f"an upgrade of placement makes {forward} writes, its way back {backward}")
        every = int(os.environ.get("STACKWAY_KILL_EVERY", "1"))
        for number in range(1, max(forward, backward) + 1, every):
            if number <= forward:
                assert deadly(number, *upgrade).code in _KILLED, number
                assert (go_on(cloud), upgrades.state() == new) == ("upgraded", True), number
            else:
                assert deadly(0, *upgrade).code == ExitCode.DONE
            if number <= backward:
                assert deadly(number, *back).code in _KILLED, number
                assert (go_on(cloud), upgrades.state() == old) == ("rolled back", True), number
            else:
                assert deadly(0, *back).code == ExitCode.ROLLED_BACK
    tell(f"killed after every {every}. of {forward} + {backward} writes: each time all new, then all old")


def test_upgrade_whose_file_has_changed_meanwhile_only_goes_back(upgrades: Upgrades) -> None:
    cloud, old = upgrades.cloud, upgrades.state()
    with changed_file(cloud):
        # Its pods are made, and nobody knows yet what they are like.
        assert deadly(8, "upgrade", cloud.name, "--soak", "1").code in _KILLED
    refused = run_release("resume", cloud.name, check=False)
    assert (refused.code, "has changed since" in refused.stderr) == (ExitCode.REFUSED, True), refused.stderr
    assert run_release("resume", cloud.name, "--back", check=False).code == ExitCode.ROLLED_BACK
    assert upgrades.state() == old


def test_of_two_runners_one_ends_it_and_the_other_is_told(upgrades: Upgrades) -> None:
    """Both are the real program; the second takes over while the first still runs."""
    cloud, old = upgrades.cloud, upgrades.state()
    with changed_file(cloud), ThreadPoolExecutor() as pool:
        first = pool.submit(run_release, "upgrade", cloud.name, "--soak", "1", check=False)
        clock.sleep(8)
        second = run_release("resume", cloud.name, check=False)
        assert second.code == ExitCode.DONE, second.stderr
        assert first.result().code == ExitCode.FAILED, first.result().stderr
        assert "somebody else goes on with this upgrade" in first.result().stderr
        assert run_release("resume", cloud.name, "--back", check=False).code == ExitCode.ROLLED_BACK
    assert upgrades.state() == old
