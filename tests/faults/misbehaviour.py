# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What placement's new pods do wrong. As `sitecustomize` Python loads it in each of their processes; MISBEHAVIOUR says what."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

KIND = os.environ.get("MISBEHAVIOUR", "")


Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


def spoil(application: Application) -> Application:
    asked = [0]

    def spoilt(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        if environ.get("PATH_INFO") == "/":  # what the cluster asks stays well
            return application(environ, start)
        asked[0] += 1
        if KIND == "fails" or (KIND == "fails sometimes" and asked[0] % 20 == 0):
            start("500 Internal Server Error", [("Content-Type", "text/plain")])
            return [b"spoilt"]
        if KIND == "hangs" and asked[0] > 10:
            time.sleep(3600)
        begin = time.monotonic()
        answer = application(environ, start)
        if KIND == "is slow":
            time.sleep(time.monotonic() - begin + 0.02)
        return answer

    return spoilt


def load_spoilt(*given: Any, **named: Any) -> Application:
    if KIND == "ends later":
        # uWSGI's master, which ends with all its workers.
        threading.Timer(30, os.kill, (os.getppid(), signal.SIGINT)).start()
    return spoil(load(*given, **named))


if KIND == "takes memory":
    eaten = [b"x" * (1 << 20) for _ in range(600)]

if KIND:
    import placement.deploy

    load, placement.deploy.loadapp = placement.deploy.loadapp, load_spoilt
