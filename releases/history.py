# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The records of an environment as people read them. Pure."""

from releases.records import Entry
from stackway.console import Table


def history_table(entries: tuple[Entry, ...]) -> Table:
    """Return records for people."""
    rows = []
    for item in entries:
        record = item.record
        pin = record.pin.version if record.pin else "-"
        signers = ", ".join(key.name for key in item.signers)
        rows.append(
            (str(record.version), record.at, str(record.kind), record.about.version, pin, signers, describe(item))
        )
    return Table(("NO", "AT", "RECORD", "RELEASE", "PIN", "SIGNED BY", "WHY"), rows, right=("NO",))


def describe(entry: Entry) -> str:
    """Return what a record says beside its release, in a line."""
    record = entry.record
    parts = [record.reason] if record.reason else []
    if record.observation:
        seen = record.observation
        parts.insert(0, f"{'healthy' if seen.healthy else 'NOT healthy'}, {seen.failures} of {seen.requests} failed")
    if record.decision and record.decision.get("override"):
        parts.append(f"OVERRIDE: {record.decision['override']}")
    return "; ".join([*parts, *([entry.note] if entry.note else [])]) or "-"
