# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Side by side in one run: how long others take to see a fault and to undo it, and what users notice. Figures, no verdict."""

import os
from pathlib import Path

import pytest

from pipeline.rollout.advance import Outcome
from tests.e2e.cloud import tell
from tests.faults.attempt import Upgrades
from tests.faults.peers import Helm, Kubectl, Measured, measure
from tests.faults.test_faults import FAULTS

_FAULTS = ("image that is nowhere", "crash at the start", "ready, and answers 500", "one request of twenty fails")


@pytest.mark.parametrize("name", _FAULTS)
def test_same_fault_with_other_tools(upgrades: Upgrades, tmp_path: Path, name: str) -> None:
    alter, _ = FAULTS[name]
    found = upgrades.attempt(alter, soak=5.0)
    assert found.outcome is Outcome.ROLLED_BACK
    load = found.load
    rows = [Measured("stackway", name, found.detected, found.back, len(load.outcomes), len(load.failed))]
    for number, tool in enumerate((Kubectl, Helm)):
        if not tool.program:
            tell(f"{tool.name}: it is not on this machine, so it is not measured")
            continue
        folder = tmp_path / str(number)
        folder.mkdir()
        rows.append(measure(tool(upgrades.cloud, folder), upgrades, name, alter))
    for row in rows:
        tell(row.told())
    if path := os.environ.get("STACKWAY_PEERS"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.writelines(f"{row.to_line()}\n" for row in rows)
