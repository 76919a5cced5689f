# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Steady load: real requests with one token to the addresses of this machine's own cluster, each with its outcome kept."""

import threading
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from types import TracebackType
from typing import Self

import requests

from stackway import clock

# As patient as common clients are: who waits is not served well, but served.
_TIMEOUT = 30.0


@dataclass(frozen=True)
class Outcome:
    """One request: when it was sent (monotonic seconds), which service, how long it took, and what was wrong."""

    at: float
    service: str
    seconds: float
    trouble: str = ""


@dataclass
class Load:
    """Requests at a steady pace, one thread for each address; a slow answer delays only its own address."""

    addresses: dict[str, str]
    token: str
    pause: float = 0.1
    outcomes: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=item) for item in self.addresses.items()]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    @property
    def failed(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.trouble]

    def gap(self, service: str) -> float:
        """Return the longest time in seconds between two good answers of a service."""
        good = [
            outcome.at + outcome.seconds
            for outcome in self.outcomes
            if outcome.service == service and not outcome.trouble
        ]
        return max((after - before for before, after in pairwise(good)), default=float("inf"))

    def summary(self) -> str:
        sent, failed = Counter(o.service for o in self.outcomes), Counter(o.service for o in self.failed)
        rows = [
            f"{name}: {sent[name]} sent, {failed[name]} failed, longest gap {self.gap(name):.2f} s" for name in sent
        ]
        return "\n".join([*rows, *sorted({f"{o.service}: {o.trouble}" for o in self.failed})[:20]])

    def _send(self, service: str, address: str) -> None:
        while not self._end.is_set():
            self.outcomes.append(self._ask(service, address))
            self._end.wait(self.pause)

    def _ask(self, service: str, address: str) -> Outcome:
        begin, trouble = clock.monotonic(), ""
        try:
            answer = requests.get(address, headers={"X-Auth-Token": self.token}, timeout=_TIMEOUT)
            trouble = "" if answer.ok else f"{answer.status_code} {answer.text[:80]}"
        except requests.RequestException as error:
            trouble = f"{type(error).__name__}: {str(error)[:120]}"
        return Outcome(begin, service, clock.monotonic() - begin, trouble)
