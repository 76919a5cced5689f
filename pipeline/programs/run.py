# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Runs a service's own commands in order, inside the service's container, and stops at the first that fails.

Argument: a JSON file with {"commands": [{"run": [...], "unless": {"run": [...], "contains": "..."}}]}. Standard library only.
"""

import json
import subprocess
import sys
import time
from typing import Any


def main() -> int:
    with open(sys.argv[1], encoding="utf-8") as file:
        commands = json.load(file)["commands"]
    for command in commands:
        print("+", " ".join(command["run"]), flush=True)
        started = time.monotonic()
        if is_done(command.get("unless")):
            print("  done before", flush=True)
            continue
        code = subprocess.call(command["run"])
        print(f"  exit code {code} after {time.monotonic() - started:.1f} s", flush=True)
        if code != 0:
            return code
    return 0


def is_done(unless: dict[str, Any] | None) -> bool:
    """Tell whether the condition's command prints its text."""
    if not unless:
        return False
    completed = subprocess.run(unless["run"], stdout=subprocess.PIPE, text=True, check=False)
    return unless["contains"] in completed.stdout


if __name__ == "__main__":
    sys.exit(main())
