# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A condition in words: the worst first, the same said once, and a line changes only when its subject does."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import telling
from pipeline.condition import Condition, Remark, Verdict
from pipeline.diagnosis import diagnose
from pipeline.measurements import Answers, Disruption
from stackway.console import Table
from tests.fakes.sights import NOW, healthy

WELL = diagnose(healthy())
ILL = Remark(Verdict.DEGRADED, "it limps", "Mend it.")
STATES = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["well", "ill"]))


def with_remarks(*remarks: Remark, processes: int = 1) -> Condition:
    """Return a condition in which the first processes of nova have these remarks."""
    services = tuple(
        replace(
            service,
            processes=tuple(
                replace(item, remarks=remarks) if service.name == "nova" and number < processes else item
                for number, item in enumerate(service.processes)
            ),
        )
        for service in WELL.services
    )
    return replace(WELL, services=services)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (0, "0s"),
        (59.4, "59s"),
        (59.6, "1m00s"),
        (3599, "59m59s"),
        (3600, "1h00m"),
        (86399, "23h59m"),
        (86400, "1d00h"),
        (90 * 86400 + 7300, "90d02h"),
    ],
)
def test_time_span_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert telling.duration(seconds) == text


@pytest.mark.parametrize("created", ["", "long ago"])
def test_age_of_what_has_no_time_is_unknown(created: str) -> None:
    assert telling.age(created, NOW) == "-"
    assert telling.age("2026-05-01T11:59:00Z", None) == "-"
    assert telling.age("2026-05-01T11:59:00Z", NOW) == "1m00s"


def test_headline_counts_services_and_pods() -> None:
    assert telling.headline(WELL) == "dev is healthy: release 2026.1.0, 10 of 10 services healthy, 30 of 30 pods ready"
    empty = replace(WELL, services=(), deployed="")
    assert telling.headline(empty) == "dev is unknown: no release, 0 of 0 services healthy, 0 of 0 pods ready"


def test_well_environment_has_nothing_to_tell_but_its_processes() -> None:
    headline, table = telling.report(WELL)
    assert headline == telling.headline(WELL)
    assert isinstance(table, Table)
    assert len(table.rows) == len(WELL.processes)


def test_worst_is_told_first_whoever_has_it() -> None:
    note, down = Remark(Verdict.HEALTHY, "it grows"), Remark(Verdict.DOWN, "it is gone")
    found = replace(with_remarks(note, down), remarks=(Remark(Verdict.UNKNOWN, "who knows"), ILL))
    assert telling.trouble_lines(found) == [
        "down: nova-api: it is gone",
        "degraded: it limps",
        "    Mend it.",
        "unknown: who knows",
        "note: nova-api: it grows",
    ]


def test_same_remark_of_several_is_said_once_with_all_names() -> None:
    assert telling.trouble_lines(with_remarks(ILL, processes=2)) == [
        "degraded: nova-api, nova-compute: it limps",
        "    Mend it.",
    ]


def test_all_rows_have_a_cell_for_each_column_even_without_revisions() -> None:
    services = tuple(
        replace(service, processes=tuple(replace(item, revisions=()) for item in service.processes))
        for service in WELL.services[:1]
    )
    for condition in (WELL, replace(WELL, services=services)):
        assert {len(row) for row in telling.process_table(condition).rows} == {10}
    assert telling.process_table(replace(WELL, services=services)).rows[0][3:] == ("-",) * 7


@pytest.mark.parametrize(("wanted", "mark"), [(2, "(warm)"), (0, "(off)")])
def test_revision_that_does_not_serve_is_marked_and_has_no_figures_of_requests(wanted: int, mark: str) -> None:
    process = next(item for item in WELL.processes if item.name == "glance-api")
    aside = replace(process.revisions[0], serves=False, wanted=wanted)
    service = replace(WELL.services[0], processes=(replace(process, revisions=(*process.revisions, aside)),))
    serving, other = telling.process_table(replace(WELL, services=(service,))).rows
    assert (serving[2], serving[7:9]) == ("healthy", ("2-6", "100.00%"))
    assert (other[2], other[7:9]) == (mark, ("-", "-"))


@pytest.mark.parametrize(
    ("answers", "text"), [(None, "-"), (Answers(0, 0), "-"), (Answers(3, 1), "66.67%"), (Answers(5, 5), "0.00%")]
)
def test_share_of_answers_is_unknown_without_any(answers: Answers | None, text: str) -> None:
    assert telling.answered(replace(WELL.processes[0], answers=answers)) == text


def test_pods_that_are_well_are_not_listed_and_restarted_ones_are() -> None:
    assert telling.pod_table(WELL) is None
    seen = healthy()
    name = next(name for name in seen.objects["Pod"] if name.startswith("glance"))
    end = {"exitCode": 1, "finishedAt": "2026-05-01T11:58:30Z"}
    seen.objects["Pod"][name]["status"]["containerStatuses"] = [
        {"restartCount": 3, "lastState": {"terminated": end}, "ready": True}
    ]
    table = telling.pod_table(diagnose(seen))
    assert table is not None
    assert table.rows == [(name, "ready", "3", "it ended with exit code 1, 1m30s ago", "node-1", "1h00m")]


def test_newest_disruption_is_told_first_and_ten_at_most() -> None:
    rows = tuple(
        Disruption("nova", "api", NOW + timedelta(seconds=number), NOW if number else None, "no answer", "")
        for number in range(12)
    )
    table = telling.report(replace(WELL, disruptions=rows))[-1]
    assert isinstance(table, Table)
    assert [row[0][17:19] for row in table.rows] == [f"{number:02d}" for number in range(11, 1, -1)]
    assert telling.disruption_table(()) is None


def test_leftovers_are_told_with_what_removes_them() -> None:
    text = telling.report(replace(WELL, leftovers=("Secret a-0123456789",)))[-1]
    assert isinstance(text, str)
    assert text.splitlines() == ["left over; the next `release deploy` removes it:", "  Secret a-0123456789"]


def test_overview_says_why_only_of_what_is_not_well() -> None:
    table = telling.overview([with_remarks(Remark(Verdict.HEALTHY, "it grows")), replace(WELL, remarks=(ILL,))])
    assert [row[-1] for row in table.rows] == ["-", "degraded: it limps"]
    assert {len(row) for row in table.rows} == {len(table.columns)}


def test_state_of_a_process_changes_with_its_remarks_alone() -> None:
    before, after = telling.states(WELL), telling.states(with_remarks(ILL))
    assert telling.changes(before, telling.states(replace(WELL, at="later"))) == []
    assert telling.changes(before, after) == ["dev: degraded", "nova-api: degraded, 2 of 2 pods ready: it limps"]


@given(before=STATES, after=STATES)
def test_changes_name_what_is_new_other_or_gone_and_nothing_else(before: dict[str, str], after: dict[str, str]) -> None:
    named = {line.partition(":")[0] for line in telling.changes(before, after)}
    assert named == {name for name in before | after if before.get(name) != after.get(name)}
