# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What workloads lose and get back, and what their pods say of why. Who calls sees to it that only one does."""

import time
from collections.abc import Callable

from .counts import Counts
from .facts import Object, name_of, ready_of, wanted_of, why

Key = tuple[str, str]
# Watches are not in step: a pod may be gone before its workload says that it has one less.
_LEFT = 10.0


class Losses:
    """How many pods each workload has had; `pods` returns those of a process."""

    def __init__(self, counts: Counts, pods: Callable[[str, str], list[Object]]) -> None:
        self._counts = counts
        self._pods = pods
        self._most: dict[str, int] = {}
        self._left: dict[Key, tuple[float, str]] = {}

    def compare(self, key: Key, workload: Object, *, gone: bool) -> None:
        """Compare how many pods of a workload are ready with how many were."""
        name, ready, wanted = name_of(workload), ready_of(workload), wanted_of(workload)
        most = min(self._most.pop(name, 0), wanted)
        if gone:
            self._counts.whole(key, time.time(), name)
        elif wanted == 0 or ready >= most:
            self._counts.whole(key, time.time(), name)
            self._most[name] = min(ready, wanted)
        else:
            self._most[name] = most
            self._counts.lost(key, time.time(), name, f"{ready} of {wanted} pods ready")
            self.explain(key)

    def left(self, key: Key, pod: Object) -> None:
        """Remember for a while that a pod of a process is gone."""
        self._left[key] = (time.time(), name_of(pod))

    def explain(self, key: Key, *more: Object) -> None:
        """Ask the pods of a process why it is disrupted, when it is."""
        if key not in self._counts.open:
            return
        cause, sure = why([*more, *self._pods(*key)], time.time())
        moment, name = self._left.get(key, (0.0, ""))
        if not sure and time.time() - moment < _LEFT:
            cause, sure = f"{name} was deleted", True
        self._counts.explain(key, cause, sure=sure)
