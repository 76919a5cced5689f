# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Objects as files: in the order in which they can be applied, equal for equal objects, and no secret where none may be."""

import base64
import re
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.manifests.render import Rendered, Stage, render
from pipeline.sheets import Secrecy, Sheets, placeholders, readme, sheets, to_yaml
from tests.fakes.sites import site

Object = dict[str, Any]
KEYS = ({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "drawn"}, "data": {"0": "c2VjcmV0"}, "type": "x"},)
SCALARS = st.text(max_size=12) | st.integers() | st.booleans() | st.none()
HEAD = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}


@cache
def rendered() -> Rendered:
    return render(site())


@cache
def made(secrecy: Secrecy) -> Sheets:
    return sheets(rendered(), secrecy, KEYS)


def objects(secrecy: Secrecy) -> list[Object]:
    return [yaml.safe_load(sheet.text) for sheet in made(secrecy).sheets]


def test_every_object_has_a_file_of_its_own() -> None:
    paths = [sheet.path for sheet in made(Secrecy.VALUES).sheets]
    assert paths == sorted(set(paths))
    assert len(paths) == len(rendered().objects) + len(KEYS)
    assert all(re.fullmatch(r"\d{3}-[a-z0-9-]+/[a-z0-9.-]+\.yaml", path) for path in paths)


def test_folder_of_a_stage_comes_after_those_of_all_that_it_waits_for() -> None:
    folders = sorted({sheet.path.partition("/")[0] for sheet in made(Secrecy.VALUES).sheets})
    places = {folder.partition("-")[2]: folder.partition("-")[0] for folder in folders}
    for stage in rendered().stages:
        for before in stage.after:
            own, earlier = (places.get(name.replace(" ", "-")) for name in (stage.name, before))
            assert own is None or earlier is None or earlier < own


def test_secrets_are_written_with_values_for_their_owner_alone() -> None:
    secrets = [sheet for sheet in made(Secrecy.VALUES).sheets if "/secret-" in sheet.path]
    assert made(Secrecy.VALUES).left_out == ()
    assert {sheet.mode for sheet in secrets} == {0o600}
    assert {sheet.mode for sheet in made(Secrecy.VALUES).sheets if sheet not in secrets} == {0o644}
    assert any(sheet.path.endswith("-foundation/secret-drawn.yaml") for sheet in secrets)


@pytest.mark.parametrize("secrecy", [Secrecy.LEFT_OUT, Secrecy.PLACEHOLDERS])
def test_what_was_drawn_once_is_never_written_without_its_values(secrecy: Secrecy) -> None:
    assert {"drawn", "credentials"} <= {*made(secrecy).left_out}
    assert not any("c2VjcmV0" in sheet.text for sheet in made(secrecy).sheets)


def test_no_secret_is_written_where_they_are_left_out() -> None:
    assert "Secret" not in {item["kind"] for item in objects(Secrecy.LEFT_OUT)}
    values = {item["metadata"]["name"] for item in objects(Secrecy.VALUES) if item["kind"] == "Secret"}
    assert {*made(Secrecy.LEFT_OUT).left_out} == values


def test_placeholders_can_be_read_and_name_what_they_stand_for() -> None:
    given_ = site()
    found = sheets(render(replace(given_, credentials=placeholders(given_.credentials.values))), Secrecy.PLACEHOLDERS)
    secrets = [yaml.safe_load(sheet.text) for sheet in found.sheets if "/secret-" in sheet.path]
    assert secrets
    assert all("data" not in item for item in secrets)
    texts = "".join(text for item in secrets for text in item["stringData"].values())
    assert "from Secret credentials>" in texts
    assert "secret of " not in texts


def test_number_of_pods_is_the_autoscalers() -> None:
    found = objects(Secrecy.LEFT_OUT)
    scaled = {item["spec"]["scaleTargetRef"]["name"] for item in found if item["kind"] == "HorizontalPodAutoscaler"}
    assert scaled
    for item in found:
        if item["kind"] == "Deployment":
            assert ("replicas" in item["spec"]) == (item["metadata"]["name"] not in scaled)


def test_values_are_what_is_rendered() -> None:
    found = {(item["kind"], item["metadata"]["name"]): item for item in objects(Secrecy.VALUES)}
    for item in rendered().objects:
        for key in ("data", "spec"):
            written = dict(found[item["kind"], item["metadata"]["name"]].get(key) or {})
            assert {"replicas": item.get(key, {}).get("replicas"), **written} == {"replicas": None, **item.get(key, {})}


def test_stages_of_the_same_wave_share_a_number() -> None:
    item = {**HEAD, "data": {}}
    rows = (("b", ()), ("c", ("b",)), ("a", ()), ("d", ("a", "c")))
    stages = tuple(Stage(name, "", after, (item,)) for name, after in rows)
    found = [sheet.path.partition("/")[0] for sheet in sheets(Rendered(stages, ()), Secrecy.LEFT_OUT).sheets]
    assert found == ["010-a", "010-b", "020-c", "030-d"]


@given(data=st.dictionaries(st.text(max_size=8), SCALARS | st.lists(SCALARS, max_size=3), max_size=4))
def test_yaml_is_read_as_it_was_given(data: dict[str, Any]) -> None:
    text = to_yaml({**HEAD, "data": data})
    assert yaml.safe_load(text) == {**HEAD, "data": data}
    assert text == to_yaml({"data": data, **HEAD})


@pytest.mark.parametrize("text", ["12345678e9", "1e3", "1.5e3", "0o17", "1e+3", "017", "0x1f", "yes", "null", "~", "1"])
def test_text_that_others_would_read_as_something_else_is_quoted(text: str) -> None:
    assert f"key: '{text}'" in to_yaml({**HEAD, "data": {"key": text}})


@pytest.mark.parametrize("text", ["a\x85b", "a\u2028\n", "\x85", "a\r\nb", " \n a", "a \n", "\ta", "\ufeff", "\x00"])
def test_odd_breaks_and_blanks_of_a_text_are_kept(text: str) -> None:
    assert yaml.safe_load(to_yaml({**HEAD, "data": {"key": text, text: ""}}))["data"] == {"key": text, text: ""}


def test_lines_of_a_text_are_lines_of_the_file() -> None:
    assert "  key: |\n    [DEFAULT]\n    debug = false\n" in to_yaml(
        {**HEAD, "data": {"key": "[DEFAULT]\ndebug = false\n"}}
    )


@pytest.mark.parametrize(
    ("secrecy", "told"),
    [
        (Secrecy.VALUES, "do not commit"),
        (Secrecy.PLACEHOLDERS, "nothing works"),
        (Secrecy.LEFT_OUT, "Secrets are not written"),
    ],
)
def test_readme_says_what_of_secrets_is_there(secrecy: Secrecy, told: str) -> None:
    text = readme("prod", "2026.1.0", secrecy, ["credentials"])
    assert text.startswith("# prod: release 2026.1.0\n")
    assert told in text
    assert "- Secret `credentials`" in text
    assert "Not written" not in readme("prod", "2026.1.0", secrecy, [])


def test_secret_values_are_those_that_were_given() -> None:
    secret = next(item for item in objects(Secrecy.VALUES) if item["metadata"]["name"] == "drawn")
    assert base64.b64decode(secret["data"]["0"]) == b"secret"
