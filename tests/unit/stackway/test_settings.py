# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The last one who says something about a setting wins, and is remembered as its origin."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackway.errors import WrongInputError
from stackway.settings import FILE, PREFIX, Setting, Settings, default_settings, load_settings

NAMES = [field.name for field in fields(Settings)]


def refusal(folder: Path, content: str | bytes) -> WrongInputError:
    (folder / FILE).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(WrongInputError) as caught:
        load_settings(folder)
    return caught.value


def test_without_anything_said_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    settings = load_settings(tmp_path)
    assert settings == default_settings({})
    assert (settings.state, settings.builder) == (Setting(".stackway", "default"), Setting("auto", "default"))
    assert settings.cache_path == Path.home() / ".cache/stackway"


def test_the_cache_follows_the_desktop_convention() -> None:
    assert default_settings({"XDG_CACHE_HOME": "/c"}).cache == Setting("/c/stackway", "default")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("said", "value", "origin"),
    [
        ("f", "file", f"{FILE}:2"),
        ("e", "variable", "{PREFIX}{NAME}"),
        ("fe", "variable", "{PREFIX}{NAME}"),
        ("c", "option", "--{name}"),
        ("fec", "option", "--{name}"),
    ],
)
def test_file_then_environment_then_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str, value: str, origin: str
) -> None:
    if "f" in said:
        (tmp_path / FILE).write_text(f"# a comment\n{name} = 'file'\n")
    if "e" in said:
        monkeypatch.setenv(PREFIX + name.upper(), "variable")
    given_options = {name: "option"} if "c" in said else {}
    found = getattr(load_settings(tmp_path, given_options), name)
    assert found == Setting(value, origin.format(PREFIX=PREFIX, NAME=name.upper(), name=name))


def test_an_empty_variable_and_an_option_that_is_not_given_say_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STACKWAY_BUILDER", "")
    assert load_settings(tmp_path, {"builder": None}).builder.value == "auto"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("\nbuildr = 'own'", f"{FILE}:2: unknown setting 'buildr'\n    Did you mean 'builder'?"),
        ("'buildr' = 'own'", f"{FILE}: unknown setting 'buildr'"),
        ("zzz = 1", f"{FILE}:1: unknown setting 'zzz'\n    Known: {', '.join(NAMES)}"),
        ("a = ''\n\n[cache]\npath = 'x'", f"{FILE}:3: 'cache' must be text"),
        ("cache = 3", f"{FILE}:1: 'cache' must be text"),
        ("cache = 'x", f"{FILE}: Expected"),
        ("cache = 'a'\ncache = 'b'\n", "Cannot overwrite a value (at"),
        (b"cache = '\xff'", "codec can't decode byte 0xff in position 9"),
    ],
    ids=range(8),
)
def test_a_file_that_cannot_be_used_is_refused_with_its_line(tmp_path: Path, content: str | bytes, told: str) -> None:
    error = refusal(tmp_path, content)
    assert error.brief.startswith(FILE)
    assert told in error.details


@given(st.dictionaries(st.sampled_from(NAMES), st.text(min_size=1, max_size=5)))
def test_what_nobody_names_stays_as_it_is(options: Mapping[str, str]) -> None:
    settings = load_settings(Path("/nowhere"), options)
    untouched = load_settings(Path("/nowhere"))
    for name in NAMES:
        expected = Setting(options[name], f"--{name}") if name in options else getattr(untouched, name)
        assert getattr(settings, name) == expected
