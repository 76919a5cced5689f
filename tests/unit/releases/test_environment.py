# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What people may write in environment files, and what they are told when it makes no sense."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from releases.environment import Environment, Freeze, Gates, expires_after

LIVE: dict[str, Any] = {"live": {}}


def environment(**given: Any) -> Environment:
    return Environment.model_validate({"name": "prod", "summary": "what serves users", **given})


def test_file_with_a_name_and_a_summary_is_enough() -> None:
    found = environment()
    assert (found.source, found.development, found.trust.threshold, found.store) == (None, False, 1, None)
    assert found.gates == Gates()
    assert expires_after(found) == timedelta(days=90)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"gates": LIVE}, "ask about a source, and there is none"),
        ({"gates": {"lineage": ["dev"]}}, "ask about a source, and there is none"),
        ({"source": "prod"}, "its own source"),
        ({"source": "dev", "gates": {"soak": "1h"}}, "give the gate live too"),
        ({"source": "dev", "gates": {"lineage": ["prod"]}}, "nothing could ever get there"),
        ({"gates": {"freeze": [{"from": "2026-12-20", "to": "2026-12-19", "reason": "x"}]}}, "before it begins"),
        ({"gates": {"freeze": [{"from": "2026-12-20", "to": "2026-12-21"}]}}, "reason"),
        ({"gates": {"approvals": {"by": []}}}, "by"),
        ({"gates": {"approvals": {"by": ["a.pub"], "atLeast": 0}}}, "atLeast"),
        ({"gates": {"approvals": {"by": ["a.pub"], "atLeast": "2"}}}, "atLeast"),
        ({"gates": {"back": []}}, "back"),
        ({"gates": {"candidates": "yes"}}, "candidates"),
        ({"gates": {"soaks": "1h"}}, "soaks"),
        ({"trust": {"threshold": 0}}, "threshold"),
        ({"trust": {"threshold": True}}, "threshold"),
        ({"trust": {"revoked": [{"key": "a.pub"}]}}, "reason"),
        ({"channel": {"expires": "90"}}, "expires"),
        ({"channel": {"expires": "-1d"}}, "expires"),
        ({"development": 1}, "development"),
        ({"name": "Prod"}, "name"),
        ({"name": "prod/../dev"}, "name"),
        ({"name": "prod-1\n"}, "name"),
        ({"store": "oci://host/a b"}, "store"),
        ({"summary": "two\nlines"}, "summary"),
    ],
)
def test_what_makes_no_sense_is_told_by_its_field(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        environment(**given)


@pytest.mark.parametrize("pattern", ["/etc/a.pub", "../a.pub", "a.key", "keys/[ab].pub", "a\n.pub", ".pub", "~/a.pub"])
def test_pattern_that_is_no_public_key_of_the_checkout_is_refused(pattern: str) -> None:
    with pytest.raises(ValidationError):
        environment(trust={"keys": [pattern]})


@pytest.mark.parametrize(
    ("now", "is_on"),
    [
        (datetime(2026, 12, 19, 23, 59, 59, 999999, UTC), False),
        (datetime(2026, 12, 20, tzinfo=UTC), True),
        (datetime(2026, 12, 20, 23, 59, 59, 999999, UTC), True),
        (datetime(2026, 12, 21, tzinfo=UTC), False),
    ],
)
def test_freeze_of_a_day_is_that_day_in_utc(now: datetime, is_on: object) -> None:
    freeze = Freeze.model_validate({"from": "2026-12-20", "to": "2026-12-20", "reason": "x"})
    assert freeze.holds(now) is is_on


def test_gates_survive_being_written_into_a_record() -> None:
    given = {
        "live": {"maxAge": "1h"},
        "soak": "2d",
        "scan": {"policy": "prod", "databaseMaxAge": "12h"},
        "approvals": {"by": ["keys/*.pub"], "atLeast": 2},
        "lineage": ["dev"],
        "freeze": [{"from": "2026-12-20", "to": "2027-01-06", "reason": "year end"}],
        "back": ["pods"],
        "candidates": True,
    }
    gates = environment(source="dev", gates=given).gates
    written = gates.model_dump(mode="json", by_alias=True)
    assert written == given
    assert Gates.model_validate(written) == gates
