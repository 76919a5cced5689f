# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The guard of the unit tests itself: nothing reaches the outside world unseen."""

import os
import socket
from collections.abc import Callable

import pytest

from stackway import process
from stackway.process import Command

NOWHERE = ("127.0.0.1", 9)


def connect() -> None:
    with socket.socket() as sock:
        sock.connect(NOWHERE)


def bind() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))


@pytest.mark.parametrize(
    ("action", "event"),
    [
        (lambda: process.run(Command(("true",))), "subprocess.Popen"),
        (lambda: os.system("true"), "os.system"),  # noqa: S605, TID251 - this must not get through
        (connect, "socket.connect"),
        (bind, "socket.bind"),
        (lambda: socket.getaddrinfo("localhost", 80), "socket.getaddrinfo"),
    ],
)
def test_the_outside_world_is_out_of_reach(action: Callable[[], object], event: str) -> None:
    with pytest.raises(pytest.fail.Exception, match=event):
        action()
