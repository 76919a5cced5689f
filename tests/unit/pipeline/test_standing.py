# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Where an upgrade stands, and what an environment's status says of it."""

from dataclasses import replace

import pytest

from pipeline.diagnosis import diagnose
from pipeline.rollout.advance import Line, Outcome, Phase
from pipeline.rollout.plan import Kind, RolloutPlan, Step, Undo, Way
from pipeline.rollout.standing import Standing, standing
from tests.fakes.sights import NOW, healthy

AT = NOW.timestamp() - 90
KINDS = {Kind.START: Undo.REVERSIBLE, Kind.SHARE: Undo.REVERSIBLE, Kind.HOLD: Undo.NOTHING, Kind.SHIFT: Undo.REVERSIBLE}
STEPS = tuple(Step(kind, "nova", "api", "", undo, 60.0) for kind, undo in KINDS.items())
PLAN = RolloutPlan("dev", "2026.1.0", "2026.1.1", "sha256:0", Way(share=0.25), STEPS, ())


def lines(begun: int, *more: Phase) -> list[Line]:
    """Return the lines of an upgrade whose step `begun` is on."""
    done = [Line(phase, number, AT) for number in range(begun) for phase in (Phase.BEGUN, Phase.DONE)]
    return [*done, Line(Phase.BEGUN, begun, AT), *(Line(phase, -1, AT, "5 % fail") for phase in more)]


def told(found: Standing) -> list[str]:
    remarks = diagnose(replace(healthy(), rollout=found)).remarks
    return [f"{item.text} {item.mend}" for item in remarks]


@pytest.mark.parametrize(
    ("written", "waits", "said"),
    [
        (lines(0), "", "is under way: nova api start; 0 of 4 steps done, the last line was written 1m30s ago"),
        (lines(1, Phase.PAUSED), "paused", "2026.1.1 is paused, 1 of 4 steps done `release resume dev` goes on"),
        (lines(1, Phase.PAUSED, Phase.RESUMED), "", "is under way: nova api share"),
        (lines(2), "held", "2026.1.1 is held, 2 of 4 steps done `release resume dev` goes on"),
        (lines(2, Phase.RESUMED), "", "is under way: nova api hold"),
        (lines(2, Phase.TURNED), "", "goes back: 5 % fail; 0 of 3 steps done"),
        (lines(3, Phase.ENDED), "", "is not final: the revision before it stays warm `release finalize dev`"),
        (lines(3, Phase.TURNED, Phase.ENDED), "", "went back 1m30s ago: 5 % fail `release report dev`"),
    ],
)
def test_status_says_where_an_upgrade_stands(written: list[Line], waits: str, said: str) -> None:
    found = standing(3, PLAN, written)
    assert found.waits == waits
    (text,) = told(found)
    assert said in text


def test_upgrade_that_is_final_or_went_back_long_ago_is_not_told() -> None:
    final = standing(3, PLAN, lines(3, Phase.ENDED, Phase.FINALIZED))
    assert (final.outcome, told(final)) == (Outcome.FINALIZED, [])
    assert told(replace(standing(3, PLAN, lines(3, Phase.TURNED, Phase.ENDED)), at=AT - 86400)) == []


def test_autoscaler_that_an_upgrade_took_away_is_not_missed_while_it_is_under_way() -> None:
    sight = healthy()
    bare = replace(sight, objects={**sight.objects, "HorizontalPodAutoscaler": {}})
    during = diagnose(replace(bare, rollout=standing(3, PLAN, lines(2))))
    after = diagnose(replace(bare, rollout=standing(3, PLAN, lines(3, Phase.ENDED))))
    assert "autoscaler" not in str(during.services)
    assert "its autoscaler is missing" in str(after.services)


def test_environment_with_an_upgrade_under_way_is_as_healthy_as_it_is() -> None:
    found = diagnose(replace(healthy(), rollout=standing(3, PLAN, lines(2))))
    assert found.verdict is diagnose(healthy()).verdict
