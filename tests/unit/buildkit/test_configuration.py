# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Templates are rendered in a sandbox: values are data, names must exist, and every error names the template's own line."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import FileSystemBytecodeCache

from buildkit.configuration import TemplateLibrary, exec_form, quote
from buildkit.models import User
from stackway.errors import WrongInputError
from tests.fakes.dockerfiles import unquote

SHARED = {
    "shared/part.j2": "one\n{{ missing }}\n",
    "shared/macros.j2": "\n{% macro greet(name) %}\nhello {{ name.first }}\n{% endmacro %}\n",
    "shared/broken.j2": "fine\n{% if %}\n",
    "shared/both.j2": "shared",
}
USER = User(name="keystone", uid=42400, home="/var/lib/keystone")


def library(texts: Mapping[str, str], cache: FileSystemBytecodeCache | None = None) -> TemplateLibrary:
    places = {name: f"images/{name.replace('/', '/templates/')}" for name in texts}
    return TemplateLibrary(texts, places, cache)


def render(text: str, **values: Any) -> str:
    return library({**SHARED, "nova/a.j2": text, "nova/both.j2": "nova"}).of("nova").render("a.j2", values)


def refusal(text: str, **values: Any) -> str:
    with pytest.raises(WrongInputError, match=r"^a template of nova cannot be rendered$") as caught:
        render(text, **values)
    return caught.value.details


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{{ ''.__class__ }}", "access to attribute '__class__' of 'str' object is unsafe"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "'__class__' of 'str' object is unsafe"),
        ("{{ user|attr('__class__') }}", "'__class__' of 'User' object is unsafe"),
        ("{{ '{0.__class__}'.format(user) }}", "'__class__' of 'User' object is unsafe"),
        ("{{ cycler.__init__.__globals__ }}", "'__init__' of 'type' object is unsafe"),
        ("{{ self.__init__.__globals__ }}", "'__init__' of 'TemplateReference' object is unsafe"),
        ("{{ (1).__class__ }}", "is unsafe"),
        ("{{ rows.append(3) }}", "'append' of 'list' object is unsafe"),
        ("{{ table.update(a=1) }}", "'update' of 'dict' object is unsafe"),
        ("{{ range(1000000) }}", "OverflowError: Range too big"),
        ("{% include '../../../etc/passwd' %}", "there is no template 'passwd'"),
        ("{% include '/etc/passwd' %}", "there is no template 'passwd'"),
        ("{{ rows | random }}", "No filter named 'random'"),
        ("{{ lipsum() }}", "'lipsum' is undefined"),
    ],
)
def test_what_leaves_the_sandbox_is_refused(text: str, told: str) -> None:
    assert told in refusal(text, user=USER, rows=[1, 2], table={})


def test_what_is_safe_for_one_type_is_refused_for_another() -> None:
    templates = library({"nova/a.j2": "{{ x.update(a=1) }}"}).of("nova")
    context = {"x": SimpleNamespace(update=dict)}
    assert templates.render("a.j2", context) == "{'a': 1}"
    with pytest.raises(WrongInputError, match="a template of nova cannot be rendered") as caught:
        templates.render("a.j2", {"x": {}})
    assert "'update' of 'dict' object is unsafe" in caught.value.details
    assert templates.render("a.j2", context) == "{'a': 1}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a\n\n{{ nmae }}", "images/nova/templates/a.j2:3: 'nmae' is undefined"),
        ("{% if nmae %}x{% endif %}", "images/nova/templates/a.j2:1: 'nmae' is undefined"),
        ("{{ settings.debgu }}", "images/nova/templates/a.j2:1: 'dict object' has no attribute 'debgu'"),
        ("\n{{ user.nmae }}", "images/nova/templates/a.j2:2: 'buildkit.models.User object' has no attribute 'nmae'"),
        ("a\nb\n{% include 'part.j2' %}", "images/shared/templates/part.j2:2: 'missing' is undefined"),
        (
            "{% from 'macros.j2' import greet %}\n\n\n\n{{ greet({}) }}",
            "images/shared/templates/macros.j2:3: 'dict object' has no attribute 'first'",
        ),
        ("a\n{% endif %}", "images/nova/templates/a.j2:2: Encountered unknown tag 'endif'"),
        ("a\nb\n{% include 'broken.j2' %}", "images/shared/templates/broken.j2:2: Expected an expression"),
        ("a\n{{ 1 | nofilter }}", "images/nova/templates/a.j2:2: No filter named 'nofilter'"),
        ("a\n{% include 'nothing.j2' %}", "images/nova/templates/a.j2:2: there is no template 'nothing.j2'"),
        ("a\n{{ 1 / 0 }}", "images/nova/templates/a.j2:2: ZeroDivisionError: division by zero"),
        ("a\n{{ 'a' + 1 }}", "images/nova/templates/a.j2:2: TypeError: "),
        ("a\n{% for x in 5 %}{% endfor %}", "images/nova/templates/a.j2:2: TypeError: 'int' object is not iterable"),
        ("a\n{% include 'a.j2' %}", "images/nova/templates/a.j2:2: RecursionError"),
    ],
    ids=range(14),
)
def test_what_is_wrong_is_told_with_the_template_and_line_where_it_is(text: str, told: str) -> None:
    assert refusal(text, settings={}, user=USER).startswith(told)


def test_a_template_that_is_not_there_is_told() -> None:
    with pytest.raises(WrongInputError, match="a template of nova cannot be rendered") as caught:
        library({}).of("nova").render("nova.conf.j2", {})
    assert "there is no template 'nova.conf.j2'" in caught.value.details


def test_a_services_own_template_comes_before_the_shared_one() -> None:
    assert render("{% include 'both.j2' %}") == "nova"
    assert library(SHARED).of("glance").render("both.j2", {}) == "shared"


def test_a_shared_template_sees_shared_ones_only() -> None:
    texts = {"shared/outer.j2": "{% include 'inner.j2' %}", "shared/inner.j2": "shared", "nova/inner.j2": "nova"}
    assert library(texts).of("nova").render("outer.j2", {}) == "shared"


@given(st.text())
def test_what_a_value_contains_is_never_rendered(text: str) -> None:
    assert render("{{ value }}", value=text) == text
    assert render("{{ value }}", value=f"{{{{ {text} }}}}") == f"{{{{ {text} }}}}"


def test_tags_leave_no_blank_lines_and_the_last_line_ends() -> None:
    assert render("a\n  {% if true %}\nb\n  {% endif %}\nc\n") == "a\nb\nc\n"


def test_compiled_templates_are_kept_and_a_changed_one_is_compiled_anew(tmp_path: Path) -> None:
    for text in ("first", "first", "second {{ nothing }}"):
        cache = FileSystemBytecodeCache(str(tmp_path))
        templates = library({"nova/a.j2": text}, cache).of("nova")
        if text == "first":
            assert templates.render("a.j2", {}) == "first"
    with pytest.raises(WrongInputError) as caught:
        templates.render("a.j2", {})
    assert caught.value.details == "images/nova/templates/a.j2:1: 'nothing' is undefined"
    assert len(list(tmp_path.iterdir())) == 1


@given(st.text())
def test_a_quoted_word_is_one_word_in_which_nothing_is_substituted(text: str) -> None:
    assert unquote(quote(text)) == text


@pytest.mark.parametrize(
    ("text", "quoted"),
    [("a b", '"a b"'), ("$HOME", '"\\$HOME"'), ('say "hi"', '"say \\"hi\\""'), ("end\\", '"end\\\\"'), (7, '"7"')],
)
def test_what_quotes_dollars_and_backslashes_become(text: object, quoted: str) -> None:
    assert quote(text) == quoted


@given(st.lists(st.text(), min_size=1).map(tuple))
def test_the_exec_form_is_json_on_one_line(arguments: tuple[str, ...]) -> None:
    assert json.loads(exec_form(arguments)) == list(arguments)
    assert "\n" not in exec_form(arguments)
