# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""`tools.toml` is read strictly, and the one we ship holds together."""

import re
from pathlib import Path

import pytest

from stackway.errors import WrongInputError
from stackway.tools.pinfile import OWN_FILE, load_catalogue, parse_catalogue
from stackway.tools.pins import Catalogue, DebianWay, GoWay, PathWay, Purpose, WheelWay

GOOD = """\
[modules.kit]
version = "1.0"
takes = "a minute"
variables = {"example.org/a/version.Version" = "v1.0"}

[tools.a]
purpose = "does a"
for = ["build"]
version = "1.0"
accept = ">=1,<2"
needs = ["b"]
ask = {arguments = ["--version"], pattern = 'a (\\S+)'}

[[tools.a.ways]]
kind = "path"

[[tools.a.ways]]
kind = "go"
module = "kit"
package = "example.org/a/cmd/a"

[tools.b]
purpose = "does b"
for = []
version = "2.0"
accept = ">=2"
ask = {arguments = ["-V"], pattern = 'b (\\S+)', prints = "with c", otherwise = "it lacks c"}

[[tools.b.ways]]
kind = "wheel"
distribution = "b-bin"
version = "2.0.1"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
program = "bin/b"
takes = "a second"
"""


def parse(text: str, base: Catalogue | None = None) -> Catalogue:
    return parse_catalogue(text, "t.toml", base=base)


def test_a_good_file_gives_pins() -> None:
    catalogue = parse(GOOD)
    tool = catalogue.tool("a")
    assert tool.needed_for == (Purpose.BUILD,)
    assert tool.ways == (PathWay(), GoWay("kit", "example.org/a/cmd/a", "a minute"))
    assert catalogue.modules["kit"].variables == {"example.org/a/version.Version": "v1.0"}
    assert catalogue.packages("kit") == ("example.org/a/cmd/a",)


def test_a_tool_may_have_another_name_on_path() -> None:
    named = parse(GOOD.replace('kind = "path"', 'kind = "path"\nprogram = "a-one"'))
    assert named.tool("a").ways[0] == PathWay("a-one")


def test_what_only_tests_need_is_never_brought_by_a_build() -> None:
    catalogue = load_catalogue()
    others = [purpose for purpose in Purpose if purpose is not Purpose.TESTS]
    brought = {tool.name for purpose in others for tool in catalogue.needed_for(purpose)}
    assert brought.isdisjoint({"cosign2", "cosign3", "referrers-registry", "docker-registry"})


def test_what_a_tool_needs_comes_before_it() -> None:
    catalogue = parse(GOOD)
    assert [tool.name for tool in catalogue.with_needs(("a", "b"))] == ["b", "a"]
    assert [tool.name for tool in catalogue.needed_for(Purpose.BUILD)] == ["b", "a"]
    assert catalogue.needed_for(Purpose.SCAN) == ()


@pytest.mark.parametrize(
    ("written", "instead", "said"),
    [
        ('purpose = "does a"', 'purpos = "does a"', "t.toml:7: unknown key 'tools.a.purpos'"),
        ('version = "1.0"\naccept', "accept", "t.toml:6: 'tools.a.version' is missing"),
        ('version = "1.0"\naccept', "version = 1.0\naccept", "t.toml:9: 'tools.a.version' must be text, not a number"),
        ('accept = ">=1,<2"', 'accept = "1 or 2"', "t.toml:10: 'tools.a.accept': '1 or 2' is not a version specifier"),
        ('accept = ">=1,<2"', 'accept = ">=3"', "t.toml:6: a: its own version cannot be used: version 1.0 is not >=3"),
        ('for = ["build"]', 'for = ["building"]', "t.toml:8: 'tools.a.for.0': Input should be 'build', 'lock'"),
        ('needs = ["b"]', 'needs = ["z"]', "t.toml:6: a needs 'z', which is no tool"),
        ("for = []", 'for = []\nneeds = ["a"]', "t.toml:6: a needs itself"),
        ('module = "kit"', 'module = "kin"', "t.toml:17: a comes from the Go module 'kin', which is not described"),
        ('kind = "path"', 'kind = "paths"', "t.toml:14: 'tools.a.ways.0': Input tag 'paths'"),
        ('program = "bin/b"', 'program = "../b"', "a member must be a relative path"),
        ("'b (\\S+)'", "'b \\S+'", "the pattern must have one group"),
        ("'b (\\S+)'", "'b ('", "not a regular expression"),
        ('"v1.0"', '"v1 -X evil=1"', "t.toml:4"),
        (
            'kind = "wheel"\ndistribution = "b-bin"\nversion = "2.0.1"\n',
            'kind = "download"\nurl = "https://me:secret@example.org/b"\nsize = 1\n',
            "'tools.b.ways.0.download.url': String should match pattern",
        ),
        ("00000000", "xyz", "String should match pattern"),
        ("[tools.b]", "[tools.b", "t.toml"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(written: str, instead: str, said: str) -> None:
    assert written in GOOD
    with pytest.raises(WrongInputError) as caught:
        parse(GOOD.replace(written, instead, 1))
    assert said in caught.value.details


def test_an_unknown_tool_gets_the_nearest_name() -> None:
    with pytest.raises(WrongInputError, match="no tool is called 'hadolin'") as caught:
        load_catalogue().tool("hadolin")
    assert caught.value.resolution == "Did you mean 'hadolint'?"


def test_a_site_file_replaces_the_tools_it_names(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text(GOOD.replace("tools.b", "tools.runc").replace('needs = ["b"]', 'needs = ["runc"]'))
    catalogue = load_catalogue(site)
    assert isinstance(catalogue.tool("runc").ways[0], WheelWay)
    assert catalogue.tool("buildx") == load_catalogue().tool("buildx")


def test_a_site_file_that_is_not_there_is_wrong_input(tmp_path: Path) -> None:
    with pytest.raises(WrongInputError, match=r"cannot read gone\.toml"):
        load_catalogue(tmp_path / "gone.toml")


@pytest.mark.parametrize("name", list(load_catalogue().modules))
def test_each_go_module_is_shipped_and_agrees_with_its_pins(name: str) -> None:
    catalogue = load_catalogue()
    module = catalogue.modules[name]
    requirements = (module.folder / "go.mod").read_text()
    assert (module.folder / "go.sum").stat().st_size > 0 or "require" not in requirements
    for tool in catalogue.tools.values():
        for way in tool.ways:
            if isinstance(way, GoWay) and way.module == name:
                assert way.package in requirements.split()
                assert tool.version in {value.removeprefix("v") for value in module.variables.values()}
                if not (module.folder / "main.go").is_file():
                    repository = way.package.split("/cmd/")[0]
                    assert f"\t{repository} v{tool.version}" in requirements


def test_the_package_data_ships_the_pins_and_the_go_modules() -> None:
    import tomllib

    project = tomllib.loads((OWN_FILE.parents[2] / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["stackway.tools"]
    shipped = {path for pattern in patterns for path in OWN_FILE.parent.glob(pattern)}
    wanted = {path for module in load_catalogue().modules.values() for path in module.files}
    assert {OWN_FILE, *wanted} <= shipped


def test_our_pins_name_no_address_and_refuse_the_compromised_scanners() -> None:
    assert not re.search(r"https?://", OWN_FILE.read_text())
    trivy = load_catalogue().tool("trivy")
    assert "never used" in trivy.objection("0.69.4", "")
    assert trivy.objection("0.76.0", "") == ""


def test_every_tool_of_a_build_can_come_without_a_download_page() -> None:
    for tool in load_catalogue().needed_for(Purpose.BUILD):
        assert any(isinstance(way, GoWay | WheelWay | DebianWay) or way.kind == "python" for way in tool.ways)
