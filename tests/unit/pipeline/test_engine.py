# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""An upgrade carried out on a cluster in memory: it ends all-new or all-old, whatever breaks and whenever it is killed."""

import copy
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import pytest

from pipeline import deployment
from pipeline.manifests.objects import COMPONENT, NAME, REVISION
from pipeline.manifests.render import BACKUP, CHECKS, Rendered, render, render_upgrade
from pipeline.manifests.site import Site
from pipeline.rollout.advance import Line, Outcome, Phase
from pipeline.rollout.engine import Engine
from pipeline.rollout.journal import DamagedError, FencedError, begin, latest, remove_damaged, unfinished
from pipeline.rollout.plan import Kind, RolloutPlan, Rules, Step, Undo, Way
from pipeline.rollout.planner import Goal, plan
from pipeline.rollout.records import new_workloads, old_workloads, stale
from pipeline.rollout.target import TRIAL, Target
from stackway.console import SilentReporter
from tests.fakes.cluster import FakeCluster, KilledError
from tests.fakes.sites import site

if TYPE_CHECKING:
    from pipeline.api import Api

OLD, NEW = "2026.1.0", "2026.1.1"
ROLLING = Way()
SHARED = Way(share=0.25)
CHANGED = {"services": {"glance": {"settings": {"debug": True}}}}


@cache
def wanted() -> Site:
    return site(NEW, **CHANGED)


def fresh(**given: Any) -> FakeCluster:
    """Return a cluster in which the old release runs."""
    return FakeCluster(
        {(item["kind"], item["metadata"]["name"]): item for item in copy.deepcopy(old_objects())}, **given
    )


@cache
def old_objects() -> list[Any]:
    return render(site(OLD)).objects


@cache
def new_objects() -> Rendered:
    return render_upgrade(wanted())


def planned(cluster: FakeCluster, way: Way = ROLLING) -> tuple[Target, RolloutPlan]:
    rendered = new_objects()
    goal = Goal("dev", NEW, "sha256:1", rendered, wanted().services)
    return Target(wanted(), rendered), plan(goal, OLD, cluster.objects, way)


def run(cluster: FakeCluster, way: Way = ROLLING) -> Outcome | None:
    """Begin an upgrade, or go on with the one that is there, and carry it out."""
    api = cast("Api", cluster)
    book = unfinished(api, "dev")
    target, steps = planned(cluster, way)
    return Engine(api, book or begin(api, "dev", steps), target, SilentReporter(), look=0.01).run()


def serving(cluster: FakeCluster) -> str:
    return str(cluster.objects["Service", "glance-api"]["spec"]["selector"][REVISION])


def revisions(cluster: FakeCluster) -> set[str]:
    """Return the revisions of the changed process that have pods."""
    return {
        str(item["metadata"]["labels"][REVISION])
        for (kind, name), item in cluster.objects.items()
        if kind == "Pod" and name.startswith("glance-api-")
    }


def pods(cluster: FakeCluster) -> Counter[str]:
    """Return how many pods each revision of the changed process has."""
    found = [item for (kind, name), item in cluster.objects.items() if kind == "Pod" and name.startswith("glance-api-")]
    return Counter(str(item["metadata"]["labels"][REVISION]) for item in found)


def new_revision() -> str:
    found = next(item for item in new_objects().workloads if item.service == "glance")
    return found.revision


def plain(cluster: FakeCluster) -> dict[tuple[str, str], Any]:
    """Return what an upgrade must leave as it was, without what the cluster writes."""
    kinds = {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"}
    found = {key: item for key, item in cluster.objects.items() if key[0] in kinds and key[1] != "prober"}
    return {key: (item["spec"], item["metadata"].get("annotations") or {}) for key, item in found.items()}


def test_good_release_gets_the_users_and_the_old_one_stays_warm() -> None:
    cluster = fresh()
    before = serving(cluster)
    assert run(cluster) is Outcome.UPGRADED
    assert serving(cluster) == new_revision()
    assert revisions(cluster) == {before, new_revision()}
    assert TRIAL not in (cluster.objects["Service", "glance-api"]["metadata"].get("annotations") or {})


def test_deployment_after_an_upgrade_touches_no_pod() -> None:
    cluster = fresh()
    run(cluster)
    changed = deployment.plan("dev", NEW, render(wanted()), cluster.objects).changes
    verbs = {
        (item.kind, str(item.verb))
        for item in changed
        if (item.object["metadata"].get("labels") or {}).get(NAME) == "glance"
    }
    assert (
        not {("Deployment", "change"), ("HorizontalPodAutoscaler", "change"), ("HorizontalPodAutoscaler", "make")}
        & verbs
    )
    assert ("Deployment", "remove") in verbs


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        ("image", "image"),
        ("configuration", "configuration"),
        ("crash", "crash"),
        ("down", "requests"),
        ("flaky", "requests"),
        ("slow", "requests"),
    ],
)
def test_bad_release_goes_back_and_nothing_is_other_than_before(fault: str, rule: str) -> None:
    cluster = fresh(failing={new_revision(): fault})
    before = plain(cluster)
    assert run(cluster) is Outcome.ROLLED_BACK
    assert plain(cluster) == before
    assert revisions(cluster) == {serving(cluster)}
    book = latest(cast("Api", cluster), "dev")
    assert book
    (turned,) = [line for line in book.lines if line.phase is Phase.TURNED]
    assert turned.rule == rule


@pytest.mark.parametrize("fault", ["", "down"], ids=["good", "bad"])
@pytest.mark.parametrize("is_made", [True, False], ids=["after the write", "before the write"])
def test_runner_that_is_killed_at_any_write_is_followed_by_one_that_ends_it(fault: str, is_made: bool) -> None:  # noqa: FBT001
    failing = {new_revision(): fault} if fault else {}
    whole = fresh(failing=failing)
    outcome = run(whole)
    for deadly in range(1, whole.writes + 1, 3):
        cluster = fresh(failing=failing, deadly=deadly, is_made=is_made)
        with pytest.raises(KilledError):
            run(cluster)
        assert run(cluster) is outcome, deadly
        assert plain(cluster) == plain(whole), deadly
        assert revisions(cluster) == revisions(whole), deadly


def test_upgrade_that_went_well_can_be_taken_back() -> None:
    cluster = fresh()
    before = plain(cluster)
    run(cluster)
    api = cast("Api", cluster)
    book = latest(api, "dev")
    assert book
    book.append(Line(Phase.TURNED, -1, 0.0, "somebody asked for it", "person"))
    assert run(cluster) is Outcome.ROLLED_BACK
    assert plain(cluster) == before


def test_share_of_the_users_is_held_until_somebody_goes_on() -> None:
    cluster = fresh()
    before = serving(cluster)
    assert run(cluster, SHARED) is None
    assert REVISION not in cluster.objects["Service", "glance-api"]["spec"]["selector"]
    assert pods(cluster) == {before: 2, new_revision(): 1}
    assert run(cluster) is Outcome.UPGRADED
    assert serving(cluster) == new_revision()
    assert pods(cluster) == {before: 2, new_revision(): 2}


def test_held_share_can_be_taken_back() -> None:
    cluster = fresh()
    before = plain(cluster)
    run(cluster, SHARED)
    book = latest(cast("Api", cluster), "dev")
    assert book
    book.append(Line(Phase.TURNED, -1, 0.0, "somebody asked for it", "person"))
    assert run(cluster) is Outcome.ROLLED_BACK
    assert plain(cluster) == before


def test_runner_that_is_killed_on_the_way_to_a_share_and_after_it_is_followed_by_one_that_ends_it() -> None:
    whole = fresh()
    run(whole, SHARED)
    run(whole)
    for deadly in range(1, whole.writes + 1, 2):
        cluster = fresh(deadly=deadly)
        outcome: Outcome | None = None
        for _ in range(4):
            with suppress(KilledError):
                outcome = run(cluster, SHARED)
            if outcome:
                break
        assert outcome is Outcome.UPGRADED, deadly
        assert plain(cluster) == plain(whole), deadly


def test_pause_stops_whoever_waits_and_anybody_goes_on() -> None:
    cluster = fresh(failing={new_revision(): "never"})
    api = cast("Api", cluster)

    def pause() -> None:
        book = latest(api, "dev")
        assert book
        book.append(Line(Phase.PAUSED, -1, 0.0, "somebody paused it"))

    later = threading.Timer(0.5, pause)
    later.start()
    assert run(cluster) is None
    later.join()
    cluster.failing.clear()
    cluster.heal()
    assert run(cluster) is Outcome.UPGRADED


def test_of_two_runners_one_is_told_that_the_other_goes_on() -> None:
    api = cast("Api", fresh())
    book = begin(api, "dev", planned(cast("FakeCluster", api))[1])
    other = latest(api, "dev")
    assert other
    book.append(Line(Phase.BEGUN, 0, 0.0))
    with pytest.raises(FencedError, match="somebody else"):
        other.append(Line(Phase.BEGUN, 0, 0.0))


def test_journal_holds_no_secret() -> None:
    cluster = fresh()
    run(cluster)
    texts = [
        str(item["data"])
        for (kind, name), item in cluster.objects.items()
        if kind == "ConfigMap" and name.startswith("rollout-")
    ]
    assert texts
    assert not [text for text in texts if "secret of" in text or '"kind":"Secret"' in text]


def test_rows_of_pods_that_are_gone_are_found_by_their_hosts() -> None:
    rows = [
        {"ID": 1, "Host": "nova-conductor-new-x"},
        {"ID": 2, "Host": "nova-conductor-old-y"},
        {"ID": 3, "Host": "compute"},
    ]
    assert stale(rows, ["nova-conductor-new"]) == ["1"]
    assert stale(rows, []) == []
    steps = planned(fresh())[1]
    assert new_workloads(steps, "glance") == [f"glance-api-{new_revision()}"]
    assert len(old_workloads(steps, "glance")) == 1
    assert old_workloads(steps, "nova") == []


@pytest.mark.parametrize("is_made", [True, False], ids=["answers get lost", "writes get lost"])
@pytest.mark.parametrize("fault", ["", "down"], ids=["good", "bad"])
def test_api_that_is_away_now_and_then_delays_an_upgrade_and_no_more(fault: str, *, is_made: bool) -> None:
    for write in range(2, 62, 4):  # the first begins the journal: without it nothing was begun
        cluster = fresh(failing={new_revision(): fault} if fault else {}, away_at=write, is_made=is_made)
        assert run(cluster) is (Outcome.ROLLED_BACK if fault else Outcome.UPGRADED), write
        assert (serving(cluster) == new_revision()) is not bool(fault)


def test_damaged_journal_is_told_and_removed_on_request_only() -> None:
    cluster = fresh()
    run(cluster)
    api = cast("Api", cluster)
    cluster.objects["ConfigMap", "rollout-1-00002"]["data"]["line.json"] = "{}"
    with pytest.raises(DamagedError, match="rollout 1 cannot be read"):
        latest(api, "dev")
    assert "rollout-1" in remove_damaged(api, "dev")
    assert latest(api, "dev") is None
    assert remove_damaged(api, "dev") == ""


def test_process_whose_old_one_was_stopped_is_judged_alone() -> None:
    there = site(NEW, services={"prometheus": {"settings": {"scrape_seconds": 20}}})
    rendered = render_upgrade(there)
    cluster = fresh()
    (name,) = [name for kind, name in cluster.objects if kind == "Pod" and name.startswith("prometheus-")]
    labels = cluster.objects["Pod", name]["metadata"]["labels"]
    about = {"service": labels[NAME], "process": labels[COMPONENT], "revision": labels[REVISION], "pod": "gone"}
    cluster.counted = [{**about, "totalRequests": 70, "totalFailures": 0, "totalLogs": -300.0}]
    goal = Goal("dev", NEW, "sha256:1", rendered, there.services)
    steps = plan(goal, OLD, cluster.objects, ROLLING)
    steps = replace(steps, steps=tuple(replace(step, seconds=5.0) for step in steps.steps))
    book = begin(cast("Api", cluster), "dev", steps)
    engine = Engine(cast("Api", cluster), book, Target(there, rendered), SilentReporter(), look=0.01)
    assert engine.run() is Outcome.UPGRADED


def test_what_pods_of_an_earlier_attempt_answered_says_nothing_of_these() -> None:
    about = {"service": "glance", "process": "api", "revision": new_revision(), "pod": "gone"}
    cluster = fresh()
    cluster.counted = [{**about, "totalRequests": 500, "totalFailures": 400, "totalLogs": -300.0}]
    assert run(cluster) is Outcome.UPGRADED


def test_worker_of_which_no_api_hears_goes_back_though_it_is_ready() -> None:
    there = site(NEW, services={"nova": {"settings": {"debug": True}}})
    rendered = render_upgrade(there)
    (conductor,) = [item for item in rendered.workloads if (item.service, item.process) == ("nova", "conductor")]
    cluster = fresh(failing={conductor.revision: "idle"})
    before, api = plain(cluster), cast("Api", cluster)
    goal = Goal("dev", NEW, "sha256:1", rendered, there.services, Rules(silence=0.05))
    book = begin(api, "dev", plan(goal, OLD, cluster.objects, ROLLING))
    assert Engine(api, book, Target(there, rendered), SilentReporter(), look=0.01).run() is Outcome.ROLLED_BACK
    assert plain(cluster) == before
    (turned,) = [line for line in book.lines if line.phase is Phase.TURNED]
    assert (turned.rule, "no API has heard of it" in turned.why) == ("silence", True)


@pytest.mark.parametrize(
    ("stage", "service", "rule"),
    [(CHECKS, "nova", "check"), (BACKUP, "mariadb", "backup"), ("keystone database", "keystone", "job")],
)
def test_series_is_not_left_when_a_check_a_backup_or_a_schema_fails(stage: str, service: str, rule: str) -> None:
    there = site("2026.1.0")
    rendered = render_upgrade(there)
    own = "" if rule == "job" else "-1"
    jobs = {
        f"{item['metadata']['name']}{own}": "failed"
        for found in rendered.stages
        for item in found.objects
        if found.name == stage and item["kind"] == "Job" and item["metadata"]["labels"][NAME] == service
    }
    before = render(site("2025.1.0")).objects
    cluster = FakeCluster({(item["kind"], item["metadata"]["name"]): item for item in copy.deepcopy(before)}, jobs=jobs)
    old, api = plain(cluster), cast("Api", cluster)
    goal = Goal("dev", "2026.1.0", "sha256:1", rendered, there.services)
    book = begin(api, "dev", plan(goal, "2025.1.0", cluster.objects, ROLLING))
    assert Engine(api, book, Target(there, rendered), SilentReporter(), look=0.01).run() is Outcome.ROLLED_BACK
    assert plain(cluster) == old
    (turned,) = [line for line in book.lines if line.phase is Phase.TURNED]
    assert turned.rule == rule
    assert len(jobs) == 1
    assert next(iter(jobs)) in turned.why


def test_what_an_earlier_upgrade_proved_is_proved_anew() -> None:
    there = site("2026.1.0")
    target = Target(there, render_upgrade(there))
    step = Step(Kind.BACKUP, "", "", "", Undo.NOTHING, 1.0)
    first, second = (
        {item["metadata"]["name"] for item in replace(target, number=number).objects(step) if item["kind"] == "Job"}
        for number in (1, 2)
    )
    assert first
    assert not first & second
