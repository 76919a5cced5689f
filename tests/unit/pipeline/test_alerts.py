# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The alert rules: each says how bad it is and what to do, stands on figures that exist, and is played by a test."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from buildkit.catalog import load_catalog
from buildkit.dockerfile import image_files
from buildkit.sources import load_templates
from pipeline.programs.prober.counts import Counts
from pipeline.programs.prober.pages import metrics

ROOT = Path(__file__).parents[3]
CASES = (ROOT / "tests/data/alerts.yml").read_text(encoding="utf-8")


def rules() -> list[dict[str, Any]]:
    catalog = load_catalog(ROOT)
    (service,) = [item.spec for item in catalog.services.values() if item.spec.provides == "monitoring"]
    text, _ = image_files(service, load_templates(catalog).of(service.name))["/etc/stackway/prometheus/rules.yml"]
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


RULES = rules()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"].keys() == {"summary", "mend"}
    assert rule["annotations"]["mend"].endswith(".")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_alert_stands_on_figures_that_the_prober_gives(rule: dict[str, Any]) -> None:
    offered = {line.split()[2] for line in metrics(Counts(0), []).splitlines() if line.startswith("# TYPE")}
    used = {re.sub("_(bucket|sum|count)$", "", name) for name in re.findall(r"stackway_\w+", rule["expr"])}
    assert used <= offered


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_alert_is_played(rule: dict[str, Any]) -> None:
    assert f'alertname="{rule["alert"]}"' in CASES or f"alertname: {rule['alert']}" in CASES


def test_no_two_alerts_have_one_name() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
