# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Why an upgrade can go back: the code that users had works on schemas that the next series has expanded."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from buildkit.catalog import load_catalog
from tests.schemas.models import Models, load_models
from tests.schemas.rehearsal import EXPANDED, FINAL, FRESH, MIGRATED, Hop, Rehearsal, Row, hops
from tests.schemas.stage import Stage

pytestmark = pytest.mark.engine
CATALOG = load_catalog(Path(__file__).parents[2])
MODELS = load_models()


@dataclass(frozen=True)
class Rehearsed:
    """A hop that was gone to its end."""

    hop: Hop
    models: Models
    rows: list[Row]

    def wrong(self, phases: set[str], code: str) -> list[str]:
        """Return what code of a series does not find as it wants it."""
        rows = [row for row in self.rows if row.phase in phases and row.code == code]
        assert {row.schema for row in rows} == self.models.schemas.keys()
        return [f"{row.phase}: {line}" for row in rows for line in row.wrong]


@pytest.fixture(scope="module", params=hops(CATALOG), ids=str)
def rehearsed(request: pytest.FixtureRequest, stage: Stage, rows: list[Row]) -> Rehearsed:
    hop: Hop = request.param
    rehearsal = Rehearsal(stage, hop, MODELS[hop.service])
    server = stage.server(hop.old)
    stage.load([server, rehearsal.old, rehearsal.new])
    with stage.running(server, hop.service, rehearsal.models.schemas):
        found = list(rehearsal.rows())
    rows += found
    return Rehearsed(hop, rehearsal.models, found)


def test_old_code_works_on_the_schemas_that_it_made(rehearsed: Rehearsed) -> None:
    assert rehearsed.wrong({FRESH}, rehearsed.hop.old) == []


def test_old_code_works_on_expanded_schemas(rehearsed: Rehearsed) -> None:
    assert rehearsed.wrong({EXPANDED, MIGRATED}, rehearsed.hop.old) == []


def test_new_code_works_on_expanded_schemas(rehearsed: Rehearsed) -> None:
    assert rehearsed.wrong({EXPANDED, MIGRATED}, rehearsed.hop.new) == []


def test_new_code_works_on_final_schemas(rehearsed: Rehearsed) -> None:
    assert rehearsed.wrong({FINAL}, rehearsed.hop.new) == []


def test_each_table_is_looked_at_or_named(rehearsed: Rehearsed) -> None:
    """Else models that move to another module would go unseen."""
    own = {(FRESH, rehearsed.hop.old), (FINAL, rehearsed.hop.new)}
    found = [row for row in rehearsed.rows if (row.phase, row.code) in own]
    assert len(found) == 2 * len(rehearsed.models.schemas)
    assert [(row.schema, row.others) for row in found if row.others or not row.tables] == []


def test_what_is_allowed_does_happen(rehearsed: Rehearsed) -> None:
    models = rehearsed.models
    allowed = {*models.known.values(), *models.allow.get(rehearsed.hop.new, {}).values()}
    used = {item.why for row in rehearsed.rows for item in row.problems if item.why}
    assert used == allowed


def test_each_schema_says_where_its_models_are() -> None:
    wanted = {hop.service: set(CATALOG.service(hop.service, hop.new).database.schemas) for hop in hops(CATALOG)}
    assert wanted
    assert {name: set(item.schemas) for name, item in MODELS.items()} == wanted
