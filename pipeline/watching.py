# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Objects of a namespace as they are at the moment, kept so by watches: asking again and again is left to the cluster."""

import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from pipeline.api import Api, Object
from stackway import clock
from stackway.errors import StackwayError

_WATCH_SECONDS = 60
_AGAIN_SECONDS = 0.5


class Watching:
    """What is there of some kinds in one namespace. Use it as a context: it watches while the context lasts."""

    def __init__(self, api: Api, namespace: str, kinds: Iterable[str]) -> None:
        self._api, self._namespace = api, namespace
        self._objects: dict[str, dict[str, Object]] = {kind: {} for kind in kinds}
        self._changed = threading.Condition()
        self._changes = 0
        self._stopped = False
        self._troubles: dict[str, tuple[float, str]] = {}

    def __enter__(self) -> Self:
        """Read everything once, then watch. Raises UnavailableError or RefusedByClusterError when it cannot be read."""
        for kind in self._objects:
            version = self._read(kind)
            threading.Thread(target=self._follow, args=(kind, version), name=f"watch {kind}", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The threads sit in a read that nobody can end; each ends itself after it.
        self._stopped = True

    def objects(self, kind: str) -> dict[str, Object]:
        """Return the objects of a kind by name."""
        with self._changed:
            return dict(self._objects[kind])

    @property
    def changes(self) -> int:
        """How often anything has changed so far."""
        with self._changed:
            return self._changes

    def wait(self, since: int, seconds: float) -> int:
        """Wait until there are more changes than `since`, but no longer than `seconds`; return how many there are."""
        with self._changed:
            self._changed.wait_for(lambda: self._changes != since, seconds)
            return self._changes

    def trouble(self) -> tuple[float, str] | None:
        """Return since when (monotonic seconds) the cluster tells nothing of some kind, and why; None when it does."""
        with self._changed:
            return min(self._troubles.values(), default=None)

    def _read(self, kind: str) -> str:
        items, version = self._api.list(kind, self._namespace)
        with self._changed:
            self._objects[kind] = {str(item["metadata"]["name"]): item for item in items}
            self._troubles.pop(kind, None)
            self._tell()
        return version

    def _follow(self, kind: str, version: str) -> None:
        while not self._stopped:
            try:
                version = self._watch(kind, version or self._read(kind))
            except (StackwayError, OSError, ValueError, KeyError) as error:
                version = ""
                with self._changed:
                    self._troubles.setdefault(kind, (clock.monotonic(), str(error)))
                clock.sleep(_AGAIN_SECONDS)

    def _watch(self, kind: str, version: str) -> str:
        """Follow changes from a version on; return the version to go on with, nothing when all must be read again."""
        for change, item in self._api.watch(kind, self._namespace, version, _WATCH_SECONDS):
            if self._stopped:
                return version
            if change == "ERROR":
                return ""
            version = str(item["metadata"]["resourceVersion"])
            if change != "BOOKMARK":
                self._take(kind, change, item)
        return version

    def _take(self, kind: str, change: str, item: Object) -> None:
        name = str(item["metadata"]["name"])
        with self._changed:
            if change == "DELETED":
                self._objects[kind].pop(name, None)
            else:
                self._objects[kind][name] = {"kind": kind, **item}
            self._tell()

    def _tell(self) -> None:
        self._changes += 1
        self._changed.notify_all()
