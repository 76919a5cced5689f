# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A builder that reads the bake file and the Dockerfiles, tells its progress as BuildKit does, and writes small images.

Equal stages are one step, told of under the first image that has it; at the first broken step everything else is cancelled.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from buildkit.engine import Builder
from stackway.process import Command, Completed
from tests.fakes.images import write_layout

Sink = Callable[[str], None]


@dataclass(frozen=True)
class FakeBuilder(Builder):
    """`broken` is (slug, stage) → error, `reports` slug → what its checks say, `words` what it says when it gives up."""

    buildx: Path = Path("buildx")
    instance: str = "fake"
    environment: dict[str, str] = field(default_factory=dict)
    description: str = "a fake"
    broken: Mapping[tuple[str, str], str] = field(default_factory=dict)
    reports: Mapping[str, str] = field(default_factory=dict)
    words: str = ""
    runs: list[tuple[list[str], bool]] = field(default_factory=list)

    def bake(self, file: Path, targets: Sequence[str], sink: Sink, *, cached: bool = True) -> Completed:
        self.runs.append((list(targets), cached))
        plan: dict[str, Any] = json.loads(file.read_bytes())["target"]
        if self.words:
            sink(self.words)
            return completed(1)
        failed = self._failed({name: plan[name] for name in targets}, sink)
        for name in targets if not failed else ():
            self._write(plan[name])
        return completed(int(failed))

    def _failed(self, plan: Mapping[str, Any], sink: Sink) -> bool:
        """Tell of all steps; return whether one of them is broken."""
        steps: dict[str, str] = {}
        errors: dict[str, str] = {}
        for name, target in plan.items():
            for stage, digest in stages(Path(target["context"]) / target["dockerfile"]).items():
                steps.setdefault(digest, f"[{name} {stage} 1/1] RUN {stage}")
                if error := self.broken.get((Path(target["dockerfile"]).stem, stage)):
                    errors[digest] = error
        first = next(iter(errors), "")
        tell(sink, "sha256:context", f"[{next(iter(plan))} internal] load build context", "")
        for digest, step in steps.items():
            tell(sink, digest, step, "" if not first else errors[first] if digest == first else "context canceled")
        return bool(first)

    def _write(self, target: Mapping[str, Any]) -> None:
        options = dict(item.split("=", 1) for item in target["output"][0].split(","))
        folder, slug = Path(options["dest"]), Path(target["dockerfile"]).stem
        if options["type"] == "oci":
            write_layout(folder, [{"etc/name": slug.encode()}])
        else:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "report").write_text(self.reports.get(slug, "+ id\nexit code 0\n"))


def completed(code: int) -> Completed:
    return Completed(Command(("buildx", "bake")), code, "", "", 0.0)


def stages(dockerfile: Path) -> dict[str, str]:
    """Return stage → digest of its text and of the stages it stands on."""
    found: dict[str, str] = {}
    for text in re.split(r"^(?=FROM )", dockerfile.read_text(), flags=re.MULTILINE)[1:]:
        words = text.split(maxsplit=4)
        below = [found[name] for name in (words[1], *re.findall(r"from=([\w-]+)", text)) if name in found]
        body = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
        found[words[3]] = f"sha256:{hashlib.sha256(repr((body.strip(), below)).encode()).hexdigest()}"
    return found


def tell(sink: Sink, digest: str, name: str, error: str) -> None:
    vertex = {"digest": digest, "name": name, "started": "2026-06-01T12:00:00.5Z"}
    sink(json.dumps({"vertexes": [vertex]}))
    data = base64.b64encode(f"output of {name}\n".encode()).decode()
    sink(json.dumps({"logs": [{"vertex": digest, "stream": 1, "data": data}]}))
    sink(json.dumps({"vertexes": [{**vertex, "completed": "2026-06-01T12:00:02Z", "error": error}]}))
