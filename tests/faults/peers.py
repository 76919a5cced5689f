# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The same faults for those who upgrade with Kubernetes' own rollout or with Helm: placement's own manifests, one workload."""

import copy
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.api import Object
from pipeline.manifests.render import render
from stackway import clock, process
from stackway.process import Command, Completed
from tests.e2e.cloud import Cloud
from tests.e2e.load import Load
from tests.faults.attempt import PROCESS, Alter, Upgrades
from tests.integration.builder import REPOSITORY

NAME = "peer"
# Helm's own default is 300 s, that of `kubectl rollout status` none at all (the cluster gives up after 600 s).
PATIENCE = 60
# So long users are watched after a peer has called a release good.
_AFTERWARDS = 10.0
_KUBECONFIG = REPOSITORY / ".stackway/cluster/kubeconfig"


@dataclass(frozen=True)
class Measured:
    """What a tool made of one fault. Seconds; `detected` is None when it called the release good."""

    tool: str
    fault: str
    detected: float | None
    back: float | None
    requests: int
    failed: int

    def told(self) -> str:
        when = "not detected" if self.detected is None else f"detected after {self.detected:.1f} s"
        back = "" if self.back is None else f", back {self.back:.1f} s later"
        return f"{self.tool}: {self.fault}: {when}{back}; {self.failed} of {self.requests} requests failed"

    def to_line(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


class Kubectl:
    """`kubectl apply`, `kubectl rollout status` with a time limit, and `kubectl rollout undo` when it fails."""

    name = "kubectl rollout"
    program = str(REPOSITORY / ".stackway/cluster/bin/kubectl")

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self._file = folder / "objects.json"
        self._words = ["--kubeconfig", str(_KUBECONFIG), "--namespace", cloud.name]

    def begin(self, objects: list[Object]) -> None:
        self._apply(objects)
        assert self._await() == 0

    def upgrade(self, objects: list[Object]) -> tuple[float | None, float | None]:
        started = clock.monotonic()
        self._apply(objects)
        if self._await() == 0:
            return None, None
        decided = clock.monotonic()
        self._run("rollout", "undo", f"deployment/{NAME}")
        assert self._await() == 0
        return decided - started, clock.monotonic() - decided

    def end(self) -> None:
        self._run("delete", "deployment,service", NAME, "--ignore-not-found")

    def _apply(self, objects: list[Object]) -> None:
        self._file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}), encoding="utf-8")
        self._run("apply", "--filename", str(self._file))

    def _await(self) -> int:
        return self._run("rollout", "status", f"deployment/{NAME}", f"--timeout={PATIENCE}s", check=False).code

    def _run(self, *words: str, check: bool = True) -> Completed:
        return process.run(Command((self.program, *words, *self._words)), check=check)


class Helm:
    """`helm upgrade --rollback-on-failure`, with a time limit that is a fifth of its own."""

    name = "helm --rollback-on-failure"
    program = shutil.which("helm") or ""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self._chart = folder / "chart"
        (self._chart / "templates").mkdir(parents=True)
        text = json.dumps({"apiVersion": "v2", "name": NAME, "version": "1.0.0"})
        (self._chart / "Chart.yaml").write_text(text, encoding="utf-8")
        self._words = ["--kubeconfig", str(_KUBECONFIG), "--namespace", cloud.name]

    def begin(self, objects: list[Object]) -> None:
        self._write(objects)
        self._run("install", NAME, str(self._chart), "--wait", f"--timeout={PATIENCE}s")

    def upgrade(self, objects: list[Object]) -> tuple[float | None, float | None]:
        self._write(objects)
        started = clock.monotonic()
        words = ("upgrade", NAME, str(self._chart), "--rollback-on-failure", "--wait", f"--timeout={PATIENCE}s")
        code = self._run(*words, check=False).code
        # It says only at its end that it went back; the two times are one.
        return (clock.monotonic() - started, None) if code else (None, None)

    def end(self) -> None:
        self._run("uninstall", NAME, "--ignore-not-found", "--wait", check=False)

    def _write(self, objects: list[Object]) -> None:
        for item in objects:
            # What is in our manifests is no template of theirs.
            text = json.dumps(item).replace("{{", '{{"{{"}}')
            (self._chart / "templates" / f"{item['kind'].lower()}.yaml").write_text(text, encoding="utf-8")

    def _run(self, *words: str, check: bool = True) -> Completed:
        return process.run(Command((self.program, *words, *self._words)), check=check)


def measure(tool: Kubectl | Helm, upgrades: Upgrades, name: str, alter: Alter) -> Measured:
    """Upgrade placement's workload, alone and under another name, to a faulty one, while users ask it."""
    good = list(_peers(upgrades))
    faulty = copy.deepcopy(good)
    for item in faulty:
        alter(item)
    cloud = upgrades.cloud
    with _ended(tool):
        tool.begin(good)
        with Load({NAME: cloud.address(NAME, "/resource_providers")}, cloud.login[0], pause=0.05) as load:
            clock.sleep(2.0)
            detected, back = tool.upgrade(faulty)
            clock.sleep(_AFTERWARDS if detected is None else 0.0)
        return Measured(tool.name, name, detected, back, len(load.outcomes), len(load.failed))


def _peers(upgrades: Upgrades) -> Iterator[Object]:
    """Yield placement's workload and address under labels of their own, so that nothing of ours knows them."""
    rendered = render(upgrades.site(PROCESS))
    (found,) = [item for item in rendered.workloads if (item.service, item.process) == PROCESS]
    main, address = copy.deepcopy(found.main), copy.deepcopy(found.addresses[0])
    own = {"app": NAME}
    for item in (main, address):
        item["metadata"] = {"name": NAME, "labels": own}
    main["spec"]["selector"] = {"matchLabels": own}
    main["spec"]["template"]["metadata"] = {"labels": own}
    main["spec"]["replicas"] = 2
    address["spec"]["selector"] = own
    yield from (main, address)


@contextmanager
def _ended(tool: Kubectl | Helm) -> Iterator[None]:
    try:
        yield
    finally:
        tool.end()
