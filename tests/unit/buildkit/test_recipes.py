# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What the programs that run inside the builder do to the files of Python distributions."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from buildkit import recipes

RECORD = """\
thing/__init__.py,sha256=a,1
thing/tests/__init__.py,sha256=b,2
"thing/tests/data/odd, name.json",sha256=c,3
thing/contests.py,sha256=d,4
thing/deep/tests/test_it.py,sha256=e,5
../../../bin/tests,sha256=f,6
thing-1.0.dist-info/RECORD,,
"""


@pytest.fixture(scope="module")
def environment() -> ModuleType:
    (folder,) = recipes.__path__
    spec = importlib.util.spec_from_file_location("environment_recipe", Path(folder) / "environment.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Two distributions: `thing`, and one that brings a file that `thing` brings too."""
    found = tmp_path / "opt/venv/lib/site-packages"
    for name, record in {"thing-1.0": RECORD, "Other.Thing-2": "thing/tests/__init__.py,,\n"}.items():
        (found / f"{name}.dist-info").mkdir(parents=True)
        (found / f"{name}.dist-info/RECORD").write_text(record)
    for line in RECORD.splitlines():
        path = found / line.rpartition(",sha256")[0].strip('"')
        if path != found:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return found


def test_tests_go_with_their_lines_and_folders_and_nothing_else(environment: ModuleType, site: Path) -> None:
    environment.leave_out_tests(str(site), set())
    assert {str(path.relative_to(site)) for path in (site / "thing").rglob("*")} == {
        "thing/__init__.py",
        "thing/contests.py",
    }
    left = (site / "thing-1.0.dist-info/RECORD").read_text().splitlines()
    assert left == [line for line in RECORD.splitlines() if "/tests/" not in line]
    assert (site / "../../../bin/tests").exists()


def test_distribution_that_is_named_keeps_its_tests(environment: ModuleType, site: Path) -> None:
    environment.leave_out_tests(str(site), {"thing", "other-thing"})
    assert (site / "thing/tests/data/odd, name.json").exists()
    assert (site / "thing-1.0.dist-info/RECORD").read_text() == RECORD
