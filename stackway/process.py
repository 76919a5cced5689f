# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The one module that starts programs: argument lists only, output captured, shown in full on failure, nothing left behind."""

import os
import shlex
import shutil
import signal
import subprocess  # noqa: TID251 - the place this rule points to
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from stackway import clock
from stackway.errors import FailedError, UnavailableError

LineSink = Callable[[str], None]
_TAIL_LINES = 25
_GRACE_SECONDS = 10.0
_LINGER_SECONDS = 1.0


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


@dataclass
class _Output:
    """What comes out of one pipe: every line is kept, and told to the sink until that fails."""

    sink: LineSink | None
    lines: list[str] = field(default_factory=list)
    trouble: Exception | None = None

    def drain(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self.lines.append(line)
                if self.sink and not self.trouble:
                    self._tell(self.sink, line)

    def _tell(self, sink: LineSink, line: str) -> None:
        try:
            sink(line.rstrip("\n"))
        except Exception as error:  # noqa: BLE001 - `run` raises it; the program must not stop on a full pipe
            self.trouble = error


def run(
    command: Command, *, check: bool = True, on_stdout: LineSink | None = None, on_stderr: LineSink | None = None
) -> Completed:
    """Run to the end and return what came out; each line also goes to the sinks as it arrives.

    Raises ProcessFailedError on a non-zero exit code unless `check` is off, ProcessTimeoutError past the command's
    timeout, UnavailableError when the program is not there. On any exception the whole process group is ended first;
    what a program leaves running in its group ends with it.
    """
    started = clock.monotonic()
    process = _start(command, subprocess.PIPE)
    out, err = _Output(on_stdout), _Output(on_stderr)
    threads = _talks(process, command, out, err)
    try:
        for thread in threads:
            thread.start()
        process.wait(timeout=command.timeout)
    except subprocess.TimeoutExpired:
        end_group(process.pid)
        process.wait()
        name, tail = Path(command.arguments[0]).name, "".join((err.lines or out.lines)[-_TAIL_LINES:])
        raise ProcessTimeoutError(
            f"{name} did not end within {command.timeout:g} s", details=f"$ {command}\n{tail}"
        ) from None
    except BaseException:
        end_group(process.pid)
        process.wait()
        raise
    finally:
        _settle(process.pid, threads)
    for output in (out, err):
        if output.trouble:
            raise output.trouble
    seconds = clock.monotonic() - started
    completed = Completed(command, process.returncode, "".join(out.lines), "".join(err.lines), seconds)
    if check and completed.code != 0:
        raise ProcessFailedError(completed)
    return completed


def _talks(process: "subprocess.Popen[str]", command: Command, out: _Output, err: _Output) -> list[threading.Thread]:
    """Return the threads that read both outputs and write the input: whichever waits, the others go on."""
    work: list[tuple[Callable[..., None], tuple[object, ...]]] = [
        (out.drain, (process.stdout,)),
        (err.drain, (process.stderr,)),
    ]
    if process.stdin:
        work.append((_feed, (process.stdin, command.stdin)))
    return [threading.Thread(target=target, args=arguments, daemon=True) for target, arguments in work]


def _settle(pid: int, threads: Iterable[threading.Thread]) -> None:
    """Wait until all is read; end what still holds a pipe although the program itself has ended."""
    begun = [thread for thread in threads if thread.ident is not None]
    if not _joined(begun, _LINGER_SECONDS):
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        _joined(begun, _GRACE_SECONDS)


def _joined(threads: Iterable[threading.Thread], seconds: float) -> bool:
    deadline = clock.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - clock.monotonic()))
    return not any(thread.is_alive() for thread in threads)


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
    """Start a daemon whose output goes to `log` and which ends when this program does, even by kill -9.

    It ends with the thread that starts it. Raises UnavailableError when it is not there.
    """
    if not find(command.arguments[0]):
        raise _missing(command)
    log.parent.mkdir(parents=True, exist_ok=True)
    leash = ("setpriv", "--pdeathsig", "TERM", "--") if find("setpriv") else ()
    leashed = Command((*leash, *command.arguments), command.environment, command.directory)
    with log.open("wb") as file:
        return Daemon(_start(leashed, file), log)


def leave(command: Command, log: Path) -> int:
    """Start a program that goes on when this one has ended, its output to `log`; return its number. Raises UnavailableError."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        return _start(command, file).pid


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
    except OSError as error:
        if error.filename == command.arguments[0] and isinstance(error, FileNotFoundError):
            raise _missing(command) from error
        raise UnavailableError(
            f"{command.arguments[0]} cannot be started",
            details=f"$ {command}\n{error}",
            resolution="Check that it is a program for this machine which may be run, and that its folder is there.",
        ) from error


def _missing(command: Command) -> UnavailableError:
    return UnavailableError(
        f"{command.arguments[0]} is not there",
        details=f"$ {command}",
        resolution="`release doctor` shows what is missing and how to get it.",
    )


def _feed(stdin: IO[str], text: str) -> None:
    # A program need not read to the end; what it did not read fails once more when the pipe is closed.
    with suppress(BrokenPipeError), stdin:
        stdin.write(text)
