# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""An installed program is trusted only as long as it is what was installed."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from stackway.tools.kits import MANIFEST, Health, Kit, examine, kit_of, seal
from stackway.tools.pinfile import load_catalogue
from stackway.tools.pins import GoWay, WheelWay

PROGRAM = "bin/demo"


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    directory = tmp_path / "demo-1.0-0"
    (directory / "bin").mkdir(parents=True)
    (directory / PROGRAM).write_bytes(b"the program")
    seal(directory, Kit("demo", "1.0", "sha256:0", {"demo": PROGRAM}))
    return directory


def test_a_sealed_program_is_intact(kit: Path) -> None:
    assert examine(kit, PROGRAM) is Health.INTACT


def test_a_folder_that_is_not_there_is_absent(tmp_path: Path) -> None:
    assert examine(tmp_path / "none", PROGRAM) is Health.ABSENT


def test_another_time_with_the_same_bytes_is_intact(kit: Path) -> None:
    os.utime(kit / PROGRAM, (1, 1))
    assert examine(kit, PROGRAM) is Health.INTACT


@pytest.mark.parametrize("content", [b"another one", b"the programme", b""])
def test_other_bytes_are_damage(kit: Path, content: bytes) -> None:
    (kit / PROGRAM).write_bytes(content)
    assert examine(kit, PROGRAM) is Health.DAMAGED


@pytest.mark.parametrize("manifest", [None, b"", b"[]", b"{}", b'{"programs": []}', b'{"programs": {"bin/demo": 1}}'])
def test_a_manifest_that_tells_nothing_is_damage(kit: Path, manifest: bytes | None) -> None:
    (kit / MANIFEST).unlink()
    if manifest is not None:
        (kit / MANIFEST).write_bytes(manifest)
    assert examine(kit, PROGRAM) is Health.DAMAGED


def test_a_program_that_was_removed_or_is_not_of_the_kit_is_damage(kit: Path) -> None:
    assert examine(kit, "bin/other") is Health.DAMAGED
    (kit / PROGRAM).unlink()
    assert examine(kit, PROGRAM) is Health.DAMAGED


def test_both_builder_tools_come_in_one_kit() -> None:
    catalogue = load_catalogue()
    kits = []
    for name in ("buildkitd", "buildx"):
        tool = catalogue.tool(name)
        way = next(way for way in tool.ways if isinstance(way, GoWay))
        kits.append(kit_of(catalogue, tool, way))
    assert kits[0] == kits[1]
    assert kits[0].programs == {"buildkitd": "bin/buildkitd", "buildx": "bin/buildx"}


def test_both_cosigns_are_kits_of_their_own() -> None:
    catalogue = load_catalogue()
    kits = [
        kit_of(catalogue, tool, tool.ways[-1])
        for tool in map(catalogue.tool, ("cosign2", "cosign3"))
        if isinstance(tool.ways[-1], GoWay)
    ]
    assert [kit.programs for kit in kits] == [{"cosign2": "bin/cosign"}, {"cosign3": "bin/cosign"}]
    assert [kit.folder.rpartition("-")[0] for kit in kits] == ["cosign2-2.5.0", "cosign3-3.1.3"]


def test_a_program_of_ours_is_made_from_its_source_too() -> None:
    names = {path.name for path in load_catalogue().modules["referrers-registry"].files}
    assert names == {"go.mod", "go.sum", "main.go"}


def test_another_checksum_is_another_folder(tmp_path: Path) -> None:
    catalogue = load_catalogue()
    tool = catalogue.tool("hadolint")
    way = next(way for way in tool.ways if isinstance(way, WheelWay))
    kit = kit_of(catalogue, tool, way)
    other = kit_of(catalogue, tool, replace(way, sha256="1" * 64))
    assert kit.directory(tmp_path) != other.directory(tmp_path)
    assert kit.folder.startswith("hadolint-2.15.1-")
