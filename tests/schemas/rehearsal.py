# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""An upgrade of one service's schemas, step by step as the engine takes it, and what old and new code make of each.

Judges nothing: which row must be well is the tests' business.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from buildkit.catalog import Catalog
from buildkit.models import Command, Service
from pipeline.manifests.jobs import PHASES, phase_commands, program
from stackway import clock
from tests.schemas.models import Models
from tests.schemas.stage import IDENTITY, REGION, Job, Stage

LOOK = (Path(__file__).parent / "program.py").read_text(encoding="utf-8")
FRESH, EXPANDED, MIGRATED, FINAL = "fresh", "expanded", "migrated", "final"


@dataclass(frozen=True)
class Hop:
    """A service on its way from a series to one that may follow it."""

    service: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.service}-{self.old}-{self.new}"


@dataclass(frozen=True)
class Problem:
    """What does not fit of a table, or of one column of it; `why` says so when it is no harm."""

    table: str
    column: str
    what: str
    why: str = ""

    @property
    def place(self) -> str:
        """Where it is: `table` or `table.column`."""
        return f"{self.table}.{self.column}" if self.column else self.table


@dataclass(frozen=True)
class Row:
    """What the code of a series makes of a schema after a phase; `others` are tables that it does not know."""

    hop: Hop
    schema: str
    phase: str
    code: str
    tables: int
    others: tuple[str, ...]
    problems: tuple[Problem, ...]
    seconds: float

    @property
    def wrong(self) -> list[str]:
        """What does harm, a line each."""
        return [f"{self.schema}.{item.place} {item.what}" for item in self.problems if not item.why]

    @property
    def series(self) -> str:
        """The series that brought the schema to where it is."""
        return self.hop.old if self.phase == FRESH else self.hop.new

    @property
    def counts(self) -> bool:
        """Whether it must be well: new code need not know an old schema, nor old code one that is final."""
        return (self.phase, self.code) not in {(FRESH, self.hop.new), (FINAL, self.hop.old)}


def hops(catalog: Catalog) -> list[Hop]:
    """Return each service with each upgrade that the series allow, where both series have it with schemas."""
    pairs = sorted((old, item.spec.name) for item in catalog.series.values() for old in item.spec.upgrades_from)
    names = sorted({name for name, _ in catalog.services})
    return [
        Hop(name, old, new)
        for old, new in pairs
        for name in names
        if all((name, own) in catalog.services and catalog.service(name, own).database.schemas for own in (old, new))
    ]


@dataclass(frozen=True)
class Rehearsal:
    """One hop on a stage where its database runs."""

    stage: Stage
    hop: Hop
    models: Models

    @property
    def old(self) -> Service:
        """The service that users have."""
        return self.stage.catalog.service(self.hop.service, self.hop.old)

    @property
    def new(self) -> Service:
        """The service that they are to get."""
        return self.stage.catalog.service(self.hop.service, self.hop.new)

    def rows(self) -> Iterator[Row]:
        """Go the whole way, and yield what both make of the schemas at each station."""
        self._run(self.old, _commands(self.old, PHASES))
        yield from self._station(FRESH)
        self._run(self.new, _commands(self.new, ("expand",)))
        yield from self._station(EXPANDED)
        if self.new.database.migrate:
            self._run(self.new, self.new.database.migrate)
            yield from self._station(MIGRATED)
        if online := self.new.database.online:
            self._run(self.new, [Command(run=online.run)], more=online.more)
        self._run(self.new, _commands(self.new, PHASES))
        yield from self._station(FINAL)

    def _run(self, service: Service, commands: Iterable[Command], more: int | None = None) -> None:
        """Run commands of a service as the job of a deployment does: by the same program, in one container."""
        listed = list(commands)
        again = {} if more is None else {"more": more}
        plan = [
            {**item.model_dump(mode="json", include={"run", "unless"}, exclude_none=True), **again} for item in listed
        ]
        environment = {key: _filled(value) for item in listed for key, value in item.environment.items()}
        environment |= {key: self.stage.password for item in listed for key in item.secret_environment}
        self.stage.run(service, Job(program("run.py"), {"commands": plan}, environment))

    def _station(self, phase: str) -> Iterator[Row]:
        for service in (self.old, self.new):
            started = clock.monotonic()
            plan = {
                name: {"address": self.stage.address(self.hop.service, name), "modules": list(group.modules)}
                for name, group in self.models.schemas.items()
            }
            found = json.loads(self.stage.run(service, Job(LOOK, plan)).splitlines()[-1])
            seconds = (clock.monotonic() - started) / len(found)
            for schema, item in found.items():
                problems = tuple(self._problem(service, phase, *words) for words in item["problems"])
                others = self._others(schema, item["unknown"])
                yield Row(self.hop, schema, phase, service.series, item["tables"], others, problems, seconds)

    def _others(self, schema: str, names: Iterable[str]) -> tuple[str, ...]:
        patterns = self.models.schemas[schema].others
        return tuple(name for name in names if not any(fnmatchcase(name, pattern) for pattern in patterns))

    def _problem(self, service: Service, phase: str, table: str, column: str, what: str) -> Problem:
        """Return a problem, with the reason when it is known, or allowed to old code after expand."""
        problem = Problem(table, column, what)
        allowed = self.models.allow.get(self.hop.new, {}) if service == self.old and phase != FRESH else {}
        reasons = {**self.models.known, **allowed}
        return replace(problem, why=reasons.get(f"{problem.place} {what.partition(':')[0]}", ""))


def _commands(service: Service, phases: Iterable[str]) -> list[Command]:
    return [*phase_commands(service, phases), *service.bootstrap.values()]


def _filled(value: str) -> str:
    return value.replace("{region}", REGION).replace("{address}", IDENTITY)
