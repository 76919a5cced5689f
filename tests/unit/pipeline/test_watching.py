# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Objects kept up to date by watches: changes of every kind, watches that break, and clusters that say nothing."""

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest

from pipeline import watching
from pipeline.watching import Watching
from stackway import clock
from stackway.errors import FailedError, UnavailableError

if TYPE_CHECKING:
    from pipeline.api import Api

Object = dict[str, Any]
SECONDS = 5.0


def pod(name: str, version: int = 1, **more: Any) -> Object:
    return {"metadata": {"name": name, "resourceVersion": str(version)}, **more}


@dataclass
class Told:
    """A cluster that tells what it is given: changes, an error to raise, or None, which ends a watch."""

    objects: list[Object] = field(default_factory=list)
    version: str = "1"
    changes: "queue.Queue[tuple[str, Object] | Exception | None]" = field(default_factory=queue.Queue)
    asked: list[str] = field(default_factory=list)
    refusal: Exception | None = None

    def list(self, kind: str, namespace: str) -> tuple[list[Object], str]:
        assert namespace == "dev"
        self.asked.append("list")
        if self.refusal:
            raise self.refusal
        return [{"kind": kind, **item} for item in self.objects], self.version

    def watch(self, kind: str, namespace: str, version: str, seconds: int) -> Iterator[tuple[str, Object]]:
        assert (kind, namespace) == ("Pod", "dev")
        self.asked.append(f"watch {version}")
        deadline = clock.monotonic() + seconds
        while clock.monotonic() < deadline:
            change = self.changes.get(timeout=SECONDS)
            if change is None:
                return
            if isinstance(change, Exception):
                raise change
            yield change


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    monkeypatch.setattr(watching, "_AGAIN_SECONDS", 0.01)
    told = Told([pod("a")])
    yield told
    told.changes.put(("ADDED", pod("end", 99)))


def until(what: Callable[[], bool]) -> bool:
    """Wait until something holds, and tell whether it came to hold."""
    deadline = clock.monotonic() + SECONDS
    while not what() and clock.monotonic() < deadline:
        clock.sleep(0.002)
    return what()


def watched(cluster: Told) -> Watching:
    return Watching(cast("Api", cluster), "dev", ["Pod"])


def test_what_is_there_at_first_is_known_at_once(cluster: Told) -> None:
    with watched(cluster) as seen:
        assert seen.objects("Pod") == {"a": {"kind": "Pod", **pod("a")}}
        assert seen.trouble() is None


@pytest.mark.parametrize("error", [UnavailableError("no"), FailedError("no")], ids=["unavailable", "refused"])
def test_what_cannot_be_read_at_first_is_an_error_of_the_caller(cluster: Told, error: Exception) -> None:
    cluster.refusal = error
    with pytest.raises(type(error)), watched(cluster):
        pass


def test_changes_are_followed_in_order(cluster: Told) -> None:
    with watched(cluster) as seen:
        for change in [
            ("ADDED", pod("b", 2)),
            ("MODIFIED", pod("a", 3, status=1)),
            ("DELETED", pod("b", 4)),
            ("BOOKMARK", {"metadata": {"resourceVersion": "5"}}),
            ("DELETED", pod("never", 6)),
            ("ADDED", pod("c", 7)),
        ]:
            cluster.changes.put(change)
        assert until(lambda: "c" in seen.objects("Pod"))
        assert set(seen.objects("Pod")) == {"a", "c"}
        assert seen.objects("Pod")["a"] == {"kind": "Pod", **pod("a", 3, status=1)}


def test_watch_that_ends_goes_on_where_it_was_and_reads_nothing_again(cluster: Told) -> None:
    with watched(cluster):
        cluster.changes.put(("ADDED", pod("b", 8)))
        cluster.changes.put(("BOOKMARK", {"metadata": {"resourceVersion": "9"}}))
        cluster.changes.put(None)
        assert until(lambda: "watch 9" in cluster.asked)
        assert cluster.asked == ["list", "watch 1", "watch 9"]


def test_version_that_is_too_old_makes_it_read_all_again(cluster: Told) -> None:
    with watched(cluster) as seen:
        cluster.objects, cluster.version = [pod("new", 20)], "20"
        cluster.changes.put(("ERROR", {"code": 410}))
        assert until(lambda: "watch 20" in cluster.asked)
        assert set(seen.objects("Pod")) == {"new"}


@pytest.mark.parametrize(
    "error", [UnavailableError("cut off"), OSError("cut off"), ValueError("cut off"), KeyError("cut off")], ids=repr
)
def test_trouble_is_told_while_it_lasts_and_forgotten_when_it_is_over(cluster: Told, error: Exception) -> None:
    with watched(cluster) as seen:
        begin = clock.monotonic()
        cluster.refusal = UnavailableError("still cut off")
        cluster.changes.put(error)
        assert until(lambda: seen.trouble() is not None)
        first = seen.trouble()
        assert first
        assert first[0] >= begin
        assert "cut off" in first[1]
        assert set(seen.objects("Pod")) == {"a"}
        assert until(lambda: cluster.asked.count("list") > 3)
        assert seen.trouble() == first
        cluster.objects, cluster.refusal = [pod("b", 30)], None
        assert until(lambda: seen.objects("Pod").keys() == {"b"})
        assert seen.trouble() is None


def test_whoever_waits_is_woken_by_a_change_and_not_before(cluster: Told) -> None:
    with watched(cluster) as seen:
        since = seen.changes
        assert seen.wait(since, 0.02) == since
        threading.Timer(0.02, cluster.changes.put, [("ADDED", pod("b", 2))]).start()
        begin = clock.monotonic()
        assert seen.wait(since, SECONDS) == since + 1
        assert clock.monotonic() - begin < SECONDS


def test_change_that_came_before_the_wait_is_not_missed(cluster: Told) -> None:
    with watched(cluster) as seen:
        since = seen.changes
        cluster.changes.put(("ADDED", pod("b", 2)))
        assert until(lambda: seen.changes != since)
        begin = clock.monotonic()
        seen.wait(since, SECONDS)
        assert clock.monotonic() - begin < SECONDS / 2


def test_bookmark_alone_wakes_nobody(cluster: Told) -> None:
    with watched(cluster) as seen:
        since = seen.changes
        cluster.changes.put(("BOOKMARK", {"metadata": {"resourceVersion": "5"}}))
        cluster.changes.put(None)
        assert until(lambda: "watch 5" in cluster.asked)
        assert seen.changes == since


def test_nothing_is_taken_any_more_once_it_has_ended(cluster: Told) -> None:
    with watched(cluster) as seen:
        pass
    cluster.changes.put(("ADDED", pod("late", 2)))
    assert until(cluster.changes.empty)
    assert set(seen.objects("Pod")) == {"a"}
    assert cluster.asked == ["list", "watch 1"]


def test_copy_that_was_given_out_does_not_change(cluster: Told) -> None:
    with watched(cluster) as seen:
        before = seen.objects("Pod")
        cluster.changes.put(("DELETED", pod("a", 2)))
        assert until(lambda: not seen.objects("Pod"))
        assert set(before) == {"a"}
