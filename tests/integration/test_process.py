# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Programs are run to the end or ended with all their children; what they said is never lost and no pipe stays open."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stackway import clock
from stackway.errors import UnavailableError
from stackway.process import (
    Command,
    Completed,
    ProcessFailedError,
    ProcessTimeoutError,
    find,
    run,
    start,
)

ROOT = Path(__file__).parents[2]
# A child of a child that would outlive both, and its number on standard output.
FAMILY = "sh -c 'sleep 60 & echo $!; wait'"


def shell(script: str, **how: float | str) -> Command:
    stdin, timeout = how.get("stdin"), how.get("timeout")
    return Command(
        ("sh", "-c", script),
        stdin=None if stdin is None else str(stdin),
        timeout=None if timeout is None else float(timeout),
    )


def state(pid: int) -> str:
    """Return the state letter of a process, "" when it is gone; a zombie (Z) has ended and waits for its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def eventually(is_so: Callable[[], bool]) -> bool:
    deadline = clock.monotonic() + 10
    while not is_so() and clock.monotonic() < deadline:
        clock.sleep(0.02)
    return is_so()


def ends(pid: int) -> bool:
    return eventually(lambda: state(pid) in {"", "Z"})


def test_both_outputs_are_kept_and_told_line_by_line() -> None:
    told: list[str] = []
    heard: list[str] = []
    command = shell("echo one; echo two >&2; printf three")
    completed = run(command, on_stdout=told.append, on_stderr=heard.append)
    assert (completed.stdout, completed.stderr, completed.code) == ("one\nthree", "two\n", 0)
    assert (told, heard) == (["one", "three"], ["two"])


def test_much_output_on_both_sides_does_not_block() -> None:
    completed = run(shell("head -c 3000000 /dev/zero | tr '\\0' x; head -c 3000000 /dev/zero | tr '\\0' y >&2"))
    assert (len(completed.stdout), len(completed.stderr)) == (3_000_000, 3_000_000)


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert run(shell(r"printf 'a\377b'")).stdout == "a\ufffdb"


def test_arguments_reach_the_program_as_they_are_and_no_shell_reads_them() -> None:
    words = ("$HOME", "a b", "*", ";true", "`id`", "")
    assert run(Command((sys.executable, "-c", "import sys; print(sys.argv[1:])", *words))).stdout == f"{list(words)}\n"


def test_environment_and_directory_are_what_the_command_says(tmp_path: Path) -> None:
    command = Command(("sh", "-c", "echo $OWN $PATH; pwd"), {"OWN": "mine"}, tmp_path)
    assert run(command).stdout == f"mine {os.environ['PATH']}\n{tmp_path}\n"


def test_input_reaches_the_program_and_no_input_is_an_empty_one() -> None:
    assert run(shell("cat", stdin="ü\n" * 100_000)).stdout == "ü\n" * 100_000
    assert run(shell("cat")).stdout == ""


def test_a_program_need_not_read_its_input() -> None:
    assert run(shell("exit 0", stdin="x" * 1_000_000)).code == 0


def test_a_failure_shows_the_command_and_the_end_of_what_was_said() -> None:
    with pytest.raises(ProcessFailedError, match=r"^sh ended with exit code 3$") as caught:
        run(shell("echo no; seq 1 100 >&2; exit 3"))
    command, *tail = caught.value.details.splitlines()
    assert command == "$ sh -c 'echo no; seq 1 100 >&2; exit 3'"
    assert tail == [str(number) for number in range(76, 101)]
    assert caught.value.completed.code == 3


def test_a_failure_that_says_nothing_on_standard_error_shows_standard_output() -> None:
    with pytest.raises(ProcessFailedError) as caught:
        run(shell("echo reason; exit 1"))
    assert caught.value.details.endswith("\nreason")


def test_a_failure_may_be_asked_for_as_a_result() -> None:
    assert run(shell("exit 3"), check=False).code == 3


def test_an_end_by_signal_is_told_as_such() -> None:
    with pytest.raises(ProcessFailedError, match=r"^sh was ended by signal 9$"):
        run(shell("kill -9 $$"))


def test_past_its_time_the_whole_family_is_ended() -> None:
    told: list[str] = []
    with pytest.raises(ProcessTimeoutError, match=r"^sh did not end within 1 s$") as caught:
        run(shell(f"echo began; {FAMILY}", timeout=1), on_stdout=told.append)
    assert caught.value.details.splitlines()[1:] == told
    assert ends(int(told[1]))


def test_what_does_not_listen_to_a_request_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackway.process.end_group.__defaults__", (0.3,))
    told: list[str] = []
    with pytest.raises(ProcessTimeoutError):
        run(shell("trap '' TERM; echo $$; while :; do sleep 0.05; done", timeout=1), on_stdout=told.append)
    assert ends(int(told[0]))


def test_time_runs_also_while_input_is_not_read() -> None:
    began = clock.monotonic()
    with pytest.raises(ProcessTimeoutError):
        run(shell("sleep 30", stdin="x" * 1_000_000, timeout=0.3))
    assert clock.monotonic() - began < 20


def test_an_interruption_ends_the_whole_family() -> None:
    told: list[str] = []

    def interrupt(line: str) -> None:
        told.append(line)
        clock.sleep(0.2)  # until `run` waits, as it does when a person presses the keys
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(shell(FAMILY), on_stdout=interrupt)
    assert ends(int(told[0]))


def test_what_a_program_leaves_behind_ends_with_it() -> None:
    completed = run(shell("sleep 60 & echo $!"))
    assert completed.code == 0
    assert ends(int(completed.stdout))


def test_a_sink_that_fails_does_not_stop_the_program_and_is_told_afterwards(tmp_path: Path) -> None:
    def fail(line: str) -> None:
        raise BrokenPipeError(line)

    with pytest.raises(BrokenPipeError, match=r"^1$"):
        run(shell(f"seq 1 100000; touch {tmp_path}/done"), on_stdout=fail)
    assert (tmp_path / "done").exists()


def test_a_program_that_is_not_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    for action in (
        lambda: run(Command(("no-such-program",))),
        lambda: start(Command(("no-such-program",)), tmp_path / "log"),
    ):
        with pytest.raises(UnavailableError, match=r"^no-such-program is not there$") as caught:
            action()
        assert "release doctor" in caught.value.resolution


@pytest.mark.parametrize(
    ("mode", "directory", "told"),
    [
        (0o644, None, "Permission denied"),
        (0o755, None, "Exec format error"),
        (0o755, "none", "No such file or directory"),
    ],
)
def test_a_program_that_cannot_be_started_is_told_with_the_reason(
    tmp_path: Path, mode: int, directory: str | None, told: str
) -> None:
    (tmp_path / "program").write_bytes(b"\x7fnothing")
    (tmp_path / "program").chmod(mode)
    command = Command((str(tmp_path / "program"),), directory=tmp_path / directory if directory else None)
    with pytest.raises(UnavailableError, match=r"program cannot be started$") as caught:
        run(command)
    assert told in caught.value.details


def test_programs_are_found_on_path_and_by_path(tmp_path: Path) -> None:
    assert find("no-such-program") is None
    shown = find("sh")
    assert shown
    assert find(str(shown)) == shown
    assert find(str(tmp_path)) is None


def test_a_daemon_runs_until_it_is_stopped_and_its_log_is_kept(tmp_path: Path) -> None:
    daemon = start(shell("echo ready; sleep 60 & echo $! >&2; wait"), tmp_path / "logs/daemon.log")
    assert eventually(lambda: len(daemon.tail().splitlines()) == 2)
    assert daemon.is_running()
    daemon.stop()
    assert not daemon.is_running()
    ready, child = daemon.tail().splitlines()
    assert ready == "ready"
    assert ends(int(child))


def test_a_daemon_that_ended_by_itself_can_be_stopped_and_says_why(tmp_path: Path) -> None:
    daemon = start(shell("seq 1 100; exit 3"), tmp_path / "log")
    assert eventually(lambda: not daemon.is_running())
    daemon.stop()
    assert daemon.tail().splitlines() == [str(number) for number in range(76, 101)]
    (tmp_path / "log").unlink()
    assert daemon.tail() == ""


def test_a_daemon_that_does_not_listen_is_made_to_end(tmp_path: Path) -> None:
    daemon = start(shell("trap '' TERM; echo ready; while :; do sleep 0.05; done"), tmp_path / "log")
    assert eventually(lambda: daemon.tail() == "ready")
    daemon.stop(grace=0.3)
    assert not daemon.is_running()


STARTER = """
import time
from pathlib import Path
from stackway.process import Command, start
print(start(Command(("sleep", "60")), Path("log")).process.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(find("setpriv") is None, reason="needs setpriv of util-linux")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_daemon_dies_with_the_program_that_started_it(tmp_path: Path, number: signal.Signals) -> None:
    program = Command((sys.executable, "-c", STARTER), {"PYTHONPATH": str(ROOT)}, tmp_path)
    parent = start(program, tmp_path / "out")
    try:
        assert eventually(lambda: parent.tail().isdigit()), parent.tail()
        daemon = int(parent.tail())
        assert eventually(lambda: Path(f"/proc/{daemon}/comm").read_text() == "sleep\n")  # the leash is on
        os.kill(parent.process.pid, number)
        assert ends(daemon)
    finally:
        parent.stop()


LEAVER = """
from pathlib import Path
from stackway.process import Command, leave
print(leave(Command(("sh", "-c", "sleep 1; echo done")), Path("logs/log")))
"""


def test_what_is_left_goes_on_when_the_program_that_left_it_has_ended(tmp_path: Path) -> None:
    completed = run(Command((sys.executable, "-c", LEAVER), {"PYTHONPATH": str(ROOT)}, tmp_path))
    assert completed.stdout.strip().isdigit()
    assert eventually(lambda: (tmp_path / "logs/log").read_text() == "done\n")


def test_a_result_tells_how_long_it_took() -> None:
    completed = run(shell("sleep 0.2"))
    assert 0.2 <= completed.seconds < 60
    assert Completed(completed.command, 0, "out\n", "", 0.0).tail() == "out"
