# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Renders templates: Dockerfiles and configuration files, with one set of rules. Pure; the texts are given.

Sandboxed Jinja2 in which an undefined name is an error and values are data: what a value contains is never rendered.
"""

import json
from collections.abc import Mapping
from typing import Any

from jinja2 import DictLoader, StrictUndefined, TemplateError, TemplateNotFound, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from stackway.errors import Position, Problem, WrongInputError


def quote(text: object) -> str:
    """Return `text` as one double-quoted word of a Dockerfile instruction, in which nothing is substituted."""
    escaped = str(text).replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'


def exec_form(arguments: tuple[str, ...]) -> str:
    """Return a command in Dockerfile's JSON form: no shell will read it."""
    return json.dumps(list(arguments), ensure_ascii=False)


class Templates:
    """A set of templates by name; the same object renders any number of times."""

    def __init__(self, texts: Mapping[str, str], places: Mapping[str, str] | None = None) -> None:
        self._places = places or {}
        self._environment = ImmutableSandboxedEnvironment(
            loader=DictLoader(dict(texts)),
            undefined=StrictUndefined,
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self._environment.filters |= {"quote": quote, "exec": exec_form}

    def render(self, name: str, values: Mapping[str, Any]) -> str:
        """Return the text of the template `name`. Raises WrongInputError with the template's file and line."""
        try:
            return self._environment.get_template(name).render(dict(values))
        except TemplateNotFound as error:
            raise self._error(str(error.name or name), 0, "there is no such template") from error
        except TemplateSyntaxError as error:
            raise self._error(error.name or name, error.lineno, error.message or "syntax error") from error
        except TemplateError as error:
            raise self._error(name, _line(error), error.message or type(error).__name__) from error

    def _error(self, name: str, line: int, message: str) -> WrongInputError:
        place = Position(self._places.get(name, name), line)
        return WrongInputError.from_problems(f"the template {name} cannot be rendered", [Problem(message, place)])


def _line(error: BaseException) -> int:
    """Return the template's line in which a rendering error arose: the last frame that is a template's."""
    line, trace = 0, error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
