# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Upgrades of one service of a real cloud while requests go on: a good one, and one that answers 500 and looks healthy."""

import json

import pytest
import yaml

from buildkit.models import Service
from pipeline.rollout.advance import Outcome, Phase
from pipeline.rollout.plan import Kind
from stackway.errors import ExitCode
from tests.e2e.cloud import Cloud, release, run_release, tell
from tests.faults.attempt import Upgrades, misbehave, nothing
from tests.integration.builder import REPOSITORY


@pytest.fixture(scope="module")
def upgrades(cloud: Cloud) -> Upgrades:
    return Upgrades(cloud)


def test_good_release_gets_the_users_and_can_be_taken_back(upgrades: Upgrades) -> None:
    before = upgrades.state()
    # As if from the series before: upgrade checks, a backup and the expansion of its schema belong to it.
    found = upgrades.attempt(nothing, source="2025.1.0", soak=5.0)
    tell(found.told())
    assert found.outcome is Outcome.UPGRADED, found.why
    assert found.load.failed == [], found.load.summary()
    said = {found.book.plan.steps[line.step].kind: line.why for line in found.lines if line.phase is Phase.DONE}
    assert "restored and dumped again, equal" in said[Kind.BACKUP]
    assert said[Kind.CHECK].count("let it pass") == len(
        [item for item in found.target.services.values() if _checks(item)]
    )
    upgrades.back(found)
    assert upgrades.state() == before


def _checks(service: Service) -> bool:
    return service.checks.upgrade is not None


def test_release_that_fails_behind_green_probes_goes_back_by_itself(upgrades: Upgrades) -> None:
    before = upgrades.state()
    found = upgrades.attempt(misbehave("fails"))
    tell(found.told())
    assert (found.outcome, found.rule) == (Outcome.ROLLED_BACK, "requests")
    assert found.load.failed == [], found.load.summary()
    assert upgrades.state() == before


def test_report_of_an_upgrade_says_what_decided(upgrades: Upgrades) -> None:
    found = release("report", upgrades.cloud.name)
    assert (found["outcome"], found["rule"]) == ("rolled back", "requests")
    judged = next(step for step in found["steps"] if step["counts"])
    assert judged["counts"]["failures"] > 0
    assert judged["evidence"]["isNotGood"] >= 1 / found["rules"]["rates"]["alpha"]


def test_change_of_the_environments_file_reaches_one_service_and_goes_on_record(cloud: Cloud) -> None:
    """By the commands that an operator types: save, look, carry out with a share of the users, go on, make final."""
    path = REPOSITORY / ".stackway/environments" / f"{cloud.name}.yaml"
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    data.setdefault("services", {})["placement"] = {"settings": {"debug": True}}
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    plan = path.with_suffix(".plan.json")
    changes_pending = run_release("upgrade", cloud.name, "--soak", "2", "--to", "25%", "--save", str(plan), check=False)
    assert changes_pending.code == ExitCode.CHANGES_PENDING
    assert {step["service"] for step in json.loads(plan.read_text())["steps"]} == {"", "placement"}
    assert release("upgrade", cloud.name, "--plan", str(plan))["outcome"] == "held"
    assert "is held" in run_release("status", cloud.name, check=False).stdout
    assert release("resume", cloud.name)["outcome"] == "upgraded"
    last = release("history", cloud.name)[-1]
    assert (last["kind"], last["observation"]["healthy"]) == ("observation", True)
    again = run_release("upgrade", cloud.name, "--plan", str(plan), check=False)
    assert (again.code, "is not what would be done now" in again.stderr) == (ExitCode.REFUSED, True)
    release("finalize", cloud.name)
    assert run_release("deploy", cloud.name, "--dry-run", check=False).code == ExitCode.DONE
    plan.unlink()
