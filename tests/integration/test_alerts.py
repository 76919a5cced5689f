# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The alert rules, played by the program that will follow them: what must be told is, and nothing else."""

from functools import partial
from pathlib import Path

import pytest

from buildkit.archives import full_name
from buildkit.catalog import load_catalog
from buildkit.dockerfile import image_files
from buildkit.load import checked_chunks, load_containerd
from buildkit.sources import load_templates
from buildkit.store import Store
from tests.integration.builder import REPOSITORY
from tests.integration.runtime import SILENT, Mount, Pod, running_containerd

pytestmark = pytest.mark.engine

RULES, CASES = "/etc/stackway/prometheus/rules.yml", "/etc/stackway/cases.yml"


def test_rules_tell_what_they_must_and_nothing_else(real_store: Store, tmp_path: Path) -> None:
    catalog = load_catalog(REPOSITORY)
    service = catalog.service("prometheus", "2.53")
    text, _ = image_files(service, load_templates(catalog).of(service.name))[RULES]
    rules = tmp_path / "rules.yml"
    rules.write_text(text)
    mounts = (Mount("/etc/stackway", tmp_path), Mount("/tmp"))
    tmp_path.chmod(0o755)
    (tmp_path / "prometheus").mkdir()
    rules.rename(tmp_path / "prometheus/rules.yml")
    (tmp_path / "cases.yml").write_bytes((REPOSITORY / "tests/data/alerts.yml").read_bytes())
    with running_containerd() as engine:
        image = real_store.images()[service.image]
        load_containerd([image], partial(checked_chunks, real_store), SILENT, engine.target)
        done = engine.run(
            Pod("promtool", full_name(service.image), ("promtool", "test", "rules", CASES), mounts), check=False
        )
    assert done.code == 0, done.stdout + done.stderr
