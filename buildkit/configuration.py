# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Renders templates: Dockerfiles and configuration files, with one set of rules. Pure; the texts are given.

Sandboxed Jinja2 in which an undefined name is an error and values are data: what a value contains is never rendered.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import (
    BaseLoader,
    BytecodeCache,
    Environment,
    StrictUndefined,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment

from stackway.errors import Position, Problem, WrongInputError


def quote(text: object) -> str:
    """Return `text` as one double-quoted word of a Dockerfile instruction, in which nothing is substituted."""
    escaped = str(text).replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'


def exec_form(arguments: tuple[str, ...]) -> str:
    """Return a command in Dockerfile's JSON form: no shell will read it."""
    return json.dumps(list(arguments), ensure_ascii=False)


SHARED = "shared"


class _Loader(BaseLoader):
    """Compiles each template under its own name, so that a traceback tells in which one an error arose."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, None]:  # noqa: ARG002 - jinja's
        if template not in self.texts:
            raise TemplateNotFound(template)
        return self.texts[template], template, None


class _Environment(ImmutableSandboxedEnvironment):
    """Finds a name in the folder of the template that asks, then in the shared folder."""

    names: frozenset[str] = frozenset()
    judged: dict[tuple[type, str], bool]

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Judge as Jinja2's sandbox does, which asks for nothing but type and name, and once for each."""
        key = (type(obj), attr)
        if key not in self.judged:
            self.judged[key] = super().is_safe_attribute(obj, attr, value)
        return self.judged[key]

    def join_path(self, template: str, parent: str) -> str:
        return self.find(template, parent.partition("/")[0])

    def find(self, template: str, folder: str) -> str:
        own = f"{folder}/{template}"
        return own if own in self.names else f"{SHARED}/{template}"


class TemplateLibrary:
    """All templates of a checkout: `shared/<file>` and `<service>/<file>`, each compiled once.

    `places` says what messages call a template; `cache` may keep compiled ones for the next run.
    """

    def __init__(self, texts: Mapping[str, str], places: Mapping[str, str], cache: BytecodeCache | None = None) -> None:
        self.texts = dict(texts)
        self.places = places
        self.environment = _Environment(
            loader=_Loader(self.texts),
            bytecode_cache=cache,
            undefined=StrictUndefined,
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self.environment.names = frozenset(texts)
        self.environment.judged = {}
        self.environment.filters |= {"quote": quote, "exec": exec_form}
        # Equal values give equal text.
        del self.environment.filters["random"], self.environment.globals["lipsum"]

    def of(self, service: str) -> "Templates":
        """Return the templates as one service sees them: its own before the shared ones."""
        return Templates(self, service)


@dataclass(frozen=True)
class Templates:
    """The templates that one service sees."""

    library: TemplateLibrary
    service: str

    def render(self, name: str, values: Mapping[str, Any]) -> str:
        """Return the text of the template `name`. Raises WrongInputError with the template's file and line."""
        environment = self.library.environment
        found = environment.find(name, self.service)
        try:
            return environment.get_template(found).render(dict(values))
        except TemplateSyntaxError as error:
            raise self._error(error.name or found, error.lineno, error.message or "syntax error") from error
        except TemplateNotFound as error:
            raise self._error(*self._origin(error, found), f"there is no template {_last(error.name)!r}") from error
        except TemplateError as error:
            raise self._error(*self._origin(error, found), error.message or type(error).__name__) from error
        except Exception as error:
            # Whatever goes wrong while a template is rendered, its author can mend it there.
            raise self._error(*self._origin(error, found), f"{type(error).__name__}: {error}") from error

    def _origin(self, error: BaseException, found: str) -> tuple[str, int]:
        """Return the template and line in which a rendering error arose: the last frame that is a template's."""
        name, line, trace = found, 0, error.__traceback__
        while trace:
            if trace.tb_frame.f_code.co_filename in self.library.environment.names:
                name, line = trace.tb_frame.f_code.co_filename, trace.tb_lineno
            trace = trace.tb_next
        return name, line

    def _error(self, name: str, line: int, message: str) -> WrongInputError:
        place = Position(self.library.places.get(name, name), line)
        return WrongInputError.from_problems(
            f"a template of {self.service} cannot be rendered", [Problem(message, place)]
        )


def _last(path: object) -> str:
    return str(path).rpartition("/")[2]
