# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Findings as SARIF 2.1.0, placed at the line of the spec or lock that brought them: code hosts show them there. Pure."""

import re
from collections.abc import Sequence
from typing import Any

from buildkit.scan.gate import Judgement, Outcome
from buildkit.scan.summary import Line, Scanned, lines
from stackway.files import digest_json

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {Outcome.FAILED: "error", Outcome.WARNED: "warning"}
_SUPPRESSED = (Outcome.EXCEPTED, Outcome.NOT_AFFECTED)
_PLACE = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_./-]*):(\d+)")


def to_sarif(scanned: Sequence[Scanned], version: str) -> dict[str, Any]:
    """Return the SARIF log of a scan; findings that no rule is about are left out."""
    found = [line for line in lines(scanned) if line.judgement.outcome is not Outcome.PASSED]
    rules = {line.judgement.id: line.judgement for line in reversed(found)}
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "Stackway",
                        "version": version,
                        "rules": [_rule(rules[name]) for name in sorted(rules)],
                    }
                },
                "results": [_result(line) for line in found],
            }
        ],
    }


def _rule(item: Judgement) -> dict[str, Any]:
    title = item.title or item.id
    return {
        "id": item.id,
        "shortDescription": {"text": title},
        "properties": {"tags": [item.category], "security-severity": _score(item)},
    }


def _score(item: Judgement) -> str:
    """Return the number by which code hosts sort: the middle of each severity's range in CVSS."""
    return ("0.0", "2.0", "5.5", "8.0", "9.5")[item.severity.rank]


def _result(line: Line) -> dict[str, Any]:
    item = line.judgement
    message = f"{item.id} in {item.subject} ({', '.join(line.images)}): {item.reason}. {item.remedy}".strip()
    result: dict[str, Any] = {
        "ruleId": item.id,
        "level": _LEVELS.get(item.outcome, "note"),
        "message": {"text": message},
        "locations": [{"physicalLocation": _location(line.origins[0])}],
        "partialFingerprints": {"finding/v1": digest_json([item.id, item.subject.partition(" ")[0], *line.images])},
    }
    if len(line.origins) > 1:
        result["relatedLocations"] = [{"physicalLocation": _location(origin)} for origin in line.origins[1:]]
    if item.outcome in _SUPPRESSED:
        result["suppressions"] = [{"kind": "external", "justification": item.reason}]
    return result


def _location(origin: str) -> dict[str, Any]:
    """Return the last place that an origin names: the line of the lock, which is the most exact."""
    places = _PLACE.findall(origin)
    path, number = places[-1] if places else ("images", "1")
    return {"artifactLocation": {"uri": path}, "region": {"startLine": max(int(number), 1)}}
