# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The one module that starts programs: argument lists only, output captured, shown in full on failure, nothing left behind."""

import os
import shlex
import shutil
import signal
import subprocess  # noqa: TID251 - the place this rule points to
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from stackway import clock
from stackway.errors import FailedError, UnavailableError

LineSink = Callable[[str], None]
_TAIL_LINES = 25
_GRACE_SECONDS = 10.0


@dataclass(frozen=True)
class Command:
    """A program to run: arguments, what is added to the environment, where, and for how long at most (seconds)."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None
    stdin: str | None = None
    timeout: float | None = None

    def __str__(self) -> str:
        return shlex.join(self.arguments)


@dataclass(frozen=True)
class Completed:
    """What a finished program left: exit code (negative: ended by that signal), both outputs, seconds it took."""

    command: Command
    code: int
    stdout: str
    stderr: str
    seconds: float

    def tail(self) -> str:
        """Return the last lines of what it printed, for error messages."""
        text = self.stderr.strip() or self.stdout.strip()
        return "\n".join(text.splitlines()[-_TAIL_LINES:])


class ProcessFailedError(FailedError):
    """A program ended with another exit code than 0."""

    def __init__(self, completed: Completed, resolution: str = "") -> None:
        name = Path(completed.command.arguments[0]).name
        how = (
            f"was ended by signal {-completed.code}" if completed.code < 0 else f"ended with exit code {completed.code}"
        )
        super().__init__(f"{name} {how}", details=f"$ {completed.command}\n{completed.tail()}", resolution=resolution)
        self.completed = completed


class ProcessTimeoutError(FailedError):
    """A program took longer than it was allowed to, and has been ended."""


def find(program: str) -> Path | None:
    """Return where `program` is on PATH (or the path itself when it is one), None when it is not there."""
    found = shutil.which(program)
    return Path(found) if found else None


def run(
    command: Command, *, check: bool = True, on_stdout: LineSink | None = None, on_stderr: LineSink | None = None
) -> Completed:
    """Run to the end and return what came out; each line also goes to the sinks as it arrives.

    Raises ProcessFailedError on a non-zero exit code unless `check` is off, ProcessTimeoutError past the command's
    timeout, UnavailableError when the program is not there. On any exception the whole process group is ended first.
    """
    started = clock.monotonic()
    process = _start(command, subprocess.PIPE)
    out: list[str] = []
    err: list[str] = []
    readers = [
        threading.Thread(target=_drain, args=(process.stdout, out, on_stdout), daemon=True),
        threading.Thread(target=_drain, args=(process.stderr, err, on_stderr), daemon=True),
    ]
    for reader in readers:
        reader.start()
    try:
        _feed(process, command.stdin)
        process.wait(timeout=command.timeout)
    except subprocess.TimeoutExpired:
        end_group(process.pid)
        process.wait()
        name = Path(command.arguments[0]).name
        raise ProcessTimeoutError(
            f"{name} did not end within {command.timeout:.0f} s", details=f"$ {command}\n" + "".join(err[-_TAIL_LINES:])
        ) from None
    except BaseException:
        end_group(process.pid)
        process.wait()
        raise
    finally:
        for reader in readers:
            reader.join(timeout=_GRACE_SECONDS)
    completed = Completed(command, process.returncode, "".join(out), "".join(err), clock.monotonic() - started)
    if check and completed.code != 0:
        raise ProcessFailedError(completed)
    return completed


@dataclass(frozen=True)
class Daemon:
    """A program that keeps running until `stop`."""

    process: "subprocess.Popen[str]"
    log: Path

    def is_running(self) -> bool:
        """Return whether it has not ended yet."""
        return self.process.poll() is None

    def stop(self, grace: float = _GRACE_SECONDS) -> None:
        """Ask it to end, and make it end when it has not after `grace` seconds."""
        if self.process.poll() is None:
            end_group(self.process.pid, grace)
        self.process.wait()

    def tail(self) -> str:
        """Return the last lines of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
        except FileNotFoundError:
            return ""


def start(command: Command, log: Path) -> Daemon:
    """Start a daemon whose output goes to `log` and which ends when this program does, even by kill -9."""
    log.parent.mkdir(parents=True, exist_ok=True)
    leash = ("setpriv", "--pdeathsig", "TERM", "--") if find("setpriv") else ()
    leashed = Command((*leash, *command.arguments), command.environment, command.directory)
    with log.open("wb") as file:
        return Daemon(_start(leashed, file), log)


def end_group(pid: int, grace: float = _GRACE_SECONDS) -> None:
    """End the process group of `pid`: TERM, then KILL when it is still there after `grace` seconds."""
    deadline = clock.monotonic() + grace
    try:
        os.killpg(pid, signal.SIGTERM)
        while clock.monotonic() < deadline:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
            clock.sleep(0.02)
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, ChildProcessError):
        return


def _start(command: Command, output: int | IO[bytes]) -> "subprocess.Popen[str]":
    try:
        return subprocess.Popen(
            command.arguments,
            env={**os.environ, **command.environment},
            cwd=command.directory,
            stdin=subprocess.PIPE if command.stdin is not None else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE if output == subprocess.PIPE else subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise UnavailableError(
            f"{command.arguments[0]} is not there",
            details=f"$ {command}",
            resolution="`release doctor` shows what is missing and how to get it.",
        ) from error


def _feed(process: "subprocess.Popen[str]", text: str | None) -> None:
    if process.stdin is None:
        return
    try:
        process.stdin.write(text or "")
        process.stdin.close()
    except BrokenPipeError:
        return


def _drain(stream: IO[str] | None, lines: list[str], sink: LineSink | None) -> None:
    if stream is None:
        return
    with stream:
        for line in stream:
            lines.append(line)
            if sink:
                sink(line.rstrip("\n"))
