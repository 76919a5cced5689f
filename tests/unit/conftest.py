# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Unit tests start no process, open no socket, and do not see how the machine they run on is set up."""

import os
import sys
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest

from stackway.settings import PREFIX, Settings

FORBIDDEN = frozenset(
    {
        *("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "pty.spawn"),
        *("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo"),
    }
)
SEEN = ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS")


class Guard:
    """An audit hook: the interpreter itself tells it, so no import and no C code goes past it."""

    def __init__(self) -> None:
        self.is_on = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.is_on and event in FORBIDDEN:
            pytest.fail(f"a unit test may not do this: {event} {arguments}")


GUARD = Guard()
sys.addaudithook(GUARD)


@pytest.fixture(autouse=True)
def no_outside_world() -> Iterator[None]:
    """Fail a test that starts a process or opens a socket."""
    GUARD.is_on = True
    yield
    GUARD.is_on = False


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what the shell or the CI system would tell the code under test."""
    for name in (*SEEN, *(PREFIX + field.name.upper() for field in fields(Settings))):
        if name in os.environ:
            monkeypatch.delenv(name)
