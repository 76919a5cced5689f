# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Runs a service's own upgrade check and judges it: a failure stops an upgrade, and so does a warning that nobody allowed.

Argument: a JSON file with {"run": [...], "allow": {"check": "why a warning of it is acceptable"}}. Standard library only.
Exit code: 0 when the upgrade may go on, 3 when not, 1 when the check itself did not work, which another try may mend.
The table is read, not JSON: not every service's command has that.
"""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from typing import NamedTuple

_FIELD = re.compile(r"(Check|Result|Details): ?(.*)")


class Result(NamedTuple):
    """One check of a service: its title, Success, Warning or Failure, and why."""

    title: str
    outcome: str
    details: str


def main() -> int:
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    done = subprocess.run(plan["run"], stdout=subprocess.PIPE, text=True, check=False)
    results = read(done.stdout)
    if not results or done.returncode not in {0, 1, 2}:
        print(done.stdout)
        print(f"{' '.join(plan['run'])} ended with exit code {done.returncode} and {len(results)} results")
        return 1
    stopping = [line for result in results if (line := judge(result, plan["allow"]))]
    print(
        "\n".join([*stopping, f"{plan['run'][0]}: {len(results) - len(stopping)} of {len(results)} checks let it pass"])
    )
    return 3 if stopping else 0


def read(table: str) -> list[Result]:
    """Return the results in a table; what is longer than a line goes on in the next ones."""
    rows: list[dict[str, str]] = []
    field = ""
    for line in table.splitlines():
        text = line.strip().strip("|").strip()
        if found := _FIELD.fullmatch(text):
            field = found[1]
            if field == "Check":
                rows.append({})
            if rows:
                rows[-1][field] = found[2]
        elif line.startswith("|") and rows and field:
            rows[-1][field] += f" {text}"
        else:
            field = ""
    return [Result(row["Check"], row.get("Result", ""), row.get("Details", "")) for row in rows]


def judge(result: Result, allowed: Mapping[str, str]) -> str:
    """Return why a result stops an upgrade, nothing when it does not."""
    told = f"{result.outcome or 'no result'}: {result.title}: {result.details}"
    if result.outcome == "Success":
        return ""
    if result.outcome == "Warning" and result.title in allowed:
        print(f"{told} (allowed: {allowed[result.title]})")
        return ""
    return told


if __name__ == "__main__":
    sys.exit(main())
