# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Answers who asks the prober: /status, /metrics and /healthz, each asker in a thread."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

_PATIENCE = 10.0
_PLAIN = "text/plain; charset=utf-8"
Page = tuple[int, str, str]
Pages = dict[str, Callable[[], Page]]


class Told(Protocol):
    """What has something to tell."""

    def status(self) -> dict[str, Any]: ...
    def metrics(self) -> str: ...
    def is_well(self) -> bool: ...


def serve(told: Told, port: int) -> None:
    """Begin to answer, and go on while the program lives."""
    pages: Pages = {
        "/status": lambda: (200, json.dumps(told.status()), "application/json"),
        "/metrics": lambda: (200, told.metrics(), "text/plain; version=0.0.4; charset=utf-8"),
        "/healthz": lambda: (200, "ok\n", _PLAIN) if told.is_well() else (503, "the loop stands still\n", _PLAIN),
    }
    nothing: Page = (404, "there are /status, /metrics and /healthz\n", _PLAIN)

    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE

        def do_GET(self) -> None:
            code, text, kind = pages.get(self.path.partition("?")[0], lambda: nothing)()
            body = text.encode()
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    threading.Thread(target=ThreadingHTTPServer(("", port), Handler).serve_forever, daemon=True).start()
