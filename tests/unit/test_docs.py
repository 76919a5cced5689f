# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The documentation is true: generated tables are what the program says, links lead somewhere, commands exist.

STACKWAY_GOLDEN=write rewrites the generated parts between `<!-- generated -->` and `<!-- end -->`.
"""

import argparse
import ast
import json
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import fields
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from buildkit import models
from buildkit.scan import policy
from pipeline.cli import COMMANDS, SUMMARY
from releases import environment
from stackway.commands import Command, Group, build_parser, complete
from stackway.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "changelog.d/*.md")
    for path in ROOT.glob(pattern)
    if ".stackway" not in path.parts
)
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]
GENERATED = re.compile(r"(<!-- generated -->\n).*?(<!-- end -->)", re.DOTALL)
FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FOLDERS = (
    "stackway",
    "stackway/tools",
    "buildkit",
    "buildkit/scan",
    "buildkit/recipes",
    "releases",
    "pipeline",
    "pipeline/manifests",
    "pipeline/programs",
    "pipeline/cluster",
    "pipeline/rollout",
)
MODELS = {
    "docs/reference/spec.md": (models.Service, models.Series, models.Base),
    "docs/reference/policies.md": (policy.Policy, policy.Exemptions),
    "docs/reference/environments.md": (environment.Environment,),
}
SIMPLE = {str: "text", int: "integer", float: "number", bool: "boolean", date: "date", type(None): ""}


def golden(page: str, text: str) -> tuple[str, str]:
    """Return the generated part that `page` has and the one it should have; writes it first when asked to."""
    path = ROOT / page
    content = path.read_text(encoding="utf-8")
    wanted = GENERATED.sub(lambda found: f"{found[1]}{text}{found[2]}", content)
    if os.environ.get("STACKWAY_GOLDEN") == "write":
        path.write_text(wanted, encoding="utf-8")
        content = wanted
    return content, wanted


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table and an empty line."""
    lines = [tuple(columns)]
    lines += [tuple("---" for _ in lines[0]), *(tuple(row) for row in rows)]
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join("| " + " | ".join(line) + " |" for line in escaped) + "\n\n"


def commands_page() -> str:
    """Return the tables of docs/reference/commands.md, from the parser."""
    parser = build_parser("release", SUMMARY, COMMANDS)
    names = [f"{entry.name} {sub}".strip() for entry in COMMANDS for sub in children(entry)]
    index = table(
        ("command", "what it does"),
        ((f"[`release {name}`](#release-{slug(name)})", find(parser, name).description or "") for name in names),
    )
    common = options_table(arguments(parser))
    parts = [f"## release {name}\n\n{command_text(find(parser, name))}" for name in names]
    return f"\n{index}## Options of every command\n\nBefore or after the command's name.\n\n{common}{''.join(parts)}"


def children(entry: Command | Group) -> list[str]:
    """Return what follows an entry's name: nothing for a command, the names of its commands for a group."""
    if isinstance(entry, Command):
        return [""]
    return [f"{command.name} {sub}".strip() for command in entry.commands for sub in children(command)]


def find(parser: argparse.ArgumentParser, name: str) -> argparse.ArgumentParser:
    """Return the parser of one command."""
    for word in name.split():
        choices = next(action.choices for action in parser._actions if action.dest == "command")
        assert isinstance(choices, dict)
        parser = choices[word]
    return parser


def arguments(parser: argparse.ArgumentParser, *, own: bool = False) -> list[argparse.Action]:
    """Return a parser's arguments without help and commands; `own` leaves out those of every command."""
    shared = next(group for group in parser._action_groups if group.title == "options of every command")
    hidden = shared._group_actions if own else []
    return [action for action in parser._actions if action.dest not in {"help", "command"} and action not in hidden]


def command_text(parser: argparse.ArgumentParser) -> str:
    """Return what there is to say about one command."""
    own = arguments(parser, own=True)
    usage = " ".join([parser.prog, *(usage_word(action) for action in own)])
    summary = str(parser.description)
    return f"{summary[0].upper()}{summary[1:]}.\n\n```text\n{usage}\n```\n\n" + (options_table(own) if own else "")


def usage_word(action: argparse.Action) -> str:
    word = spelled(action)
    if action.required and action.nargs is None:
        return word
    return f"[{word} …]" if action.nargs == "*" else f"[{word}]"


def spelled(action: argparse.Action) -> str:
    """Return an argument as it is typed, with the name of its value."""
    value = action.metavar or (f"{{{','.join(map(str, action.choices))}}}" if action.choices else "")
    return " ".join([*action.option_strings[-1:], *([str(value)] if action.nargs != 0 else [])])


def options_table(actions: Iterable[argparse.Action]) -> str:
    return table(("argument", "meaning"), ((f"`{spelled(action)}`", action.help or "") for action in actions))


def models_page(kinds: Iterable[type[BaseModel]]) -> str:
    """Return the tables of a reference page, from the models: the kinds of files first, then what they hold."""
    return "\n" + "".join(shape_text(shape) for shape in shapes(kinds))


def shapes(kinds: Iterable[type[BaseModel]]) -> list[type[BaseModel]]:
    """Return the models that files of these kinds may hold, each once, in the order in which a reader meets them."""
    found: list[type[BaseModel]] = list(kinds)
    for shape in found:
        for hint in hints(shape).values():
            found += [item for item in inner_models(hint) if item not in found]
    return found


def hints(shape: type[BaseModel]) -> dict[str, Any]:
    known = get_type_hints(shape, include_extras=True)
    return {name: known[name] for name in shape.model_fields}


def inner_models(hint: Any) -> Iterator[type[BaseModel]]:
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        yield hint
    for part in get_args(hint):
        yield from inner_models(part)


def shape_text(shape: type[BaseModel]) -> str:
    rows = (field_row(name, field, hints(shape)[name]) for name, field in shape.model_fields.items())
    return f"## {shape.__name__}\n\n{shape.__doc__}\n\n" + table(("key", "holds", "default", "meaning"), rows)


def field_row(name: str, field: FieldInfo, hint: Any) -> tuple[str, str, str, str]:
    inner = next(inner_models(hint), None)
    meaning = field.description or (str(inner.__doc__) if inner else "")
    return f"`{field.alias or name}`", holds(hint), default_of(field), meaning


def default_of(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default()
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return "" if value in (None, (), {}) else f"`{json.dumps(value)}`"


def holds(hint: Any) -> str:
    """Return in words what a key holds."""
    if name := alias_of(hint):
        return name
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return holds(parts[0])
    if origin is Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin is tuple:
        return f"list of {holds(parts[0])}"
    if origin is dict:
        return f"{holds(parts[0])} → {holds(parts[1])}"
    if parts:
        return " or ".join(word for part in parts if (word := holds(part)))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return " or ".join(f"`{member}`" for member in hint)
    return SIMPLE[hint] if hint in SIMPLE else f"[{hint.__name__}](#{slug(hint.__name__)})"


def alias_of(hint: Any) -> str:
    """Return the name that the models give to a kind of text or number."""
    if get_origin(hint) is not Annotated:
        return ""
    named = {**vars(policy), **vars(models)}
    return next((name for name, value in named.items() if value == hint and not name.startswith("_")), "")


def code_map() -> str:
    """Return the tables of CONTRIBUTING.md: each module with the first line of its docstring."""
    return "\n" + "".join(
        f"**{folder}/**\n\n" + table(("module", "what it is"), module_rows(folder)) for folder in FOLDERS
    )


def module_rows(folder: str) -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / folder).glob("*.*")):
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".sh":
            yield f"`{path.name}`", text.splitlines()[3].removeprefix("# ")
        elif path.suffix == ".py" and (path.name != "__init__.py" or folder == "releases"):
            yield f"`{path.name}`", (ast.get_docstring(ast.parse(text)) or "").splitlines()[0]


def slug(heading: str) -> str:
    """Return a heading's anchor."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchors(path: Path) -> set[str]:
    prose = FENCED.sub("", path.read_text(encoding="utf-8"))
    return {slug(title) for title in re.findall(r"^#+ (.+)$", prose, re.MULTILINE)}


def quoted(page: str) -> list[list[str]]:
    """Return the commands in a page's `sh` and `console` blocks, as words; what they print is left out."""
    blocks = FENCED.findall((ROOT / page).read_text(encoding="utf-8"))
    lines = [line.strip() for kind, text in blocks if kind in {"sh", "console"} for line in text.splitlines()]
    shown = (line.removeprefix("$ ") for line in lines if re.match(r"(\$ )?(\w+=\S+ )*(release|nox) ", line))
    return [shlex.split(re.sub(r"^(\w+=\S+ )*", "", line), comments=True) for line in shown]


def test_commands_page_is_what_the_parser_says() -> None:
    found, wanted = golden("docs/reference/commands.md", commands_page())
    assert "## release build" in wanted
    assert found == wanted


@pytest.mark.parametrize("page", MODELS)
def test_reference_is_what_the_models_say(page: str) -> None:
    found, wanted = golden(page, models_page(MODELS[page]))
    assert f"## {MODELS[page][0].__name__}" in wanted
    assert found == wanted


def test_code_map_is_what_the_modules_say() -> None:
    found, wanted = golden("CONTRIBUTING.md", code_map())
    assert "`store.py`" in wanted
    assert found == wanted


@pytest.mark.parametrize("page", MODELS)
def test_reference_explains_each_kind_of_text(page: str) -> None:
    prose = (ROOT / page).read_text(encoding="utf-8").split("<!-- generated -->")[0]
    used = {
        alias_of(part) for shape in shapes(MODELS[page]) for hint in hints(shape).values() for part in parts_of(hint)
    }
    assert {name for name in used if name and f"`{name}`" not in prose} == set()


def parts_of(hint: Any) -> Iterator[Any]:
    yield hint
    for part in get_args(hint):
        yield from parts_of(part)


@pytest.mark.parametrize("page", NAMES)
def test_links_lead_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    wrong = []
    for target in LINK.findall((ROOT / page).read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        path = folder / name if name else ROOT / page
        if "://" not in target and (not path.exists() or (anchor and anchor not in anchors(path))):
            wrong.append(target)
    assert wrong == []


@pytest.mark.parametrize("page", [name for name in NAMES if quoted(name)])
def test_quoted_commands_can_be_run(page: str) -> None:
    parser = build_parser("release", SUMMARY, COMMANDS)
    sessions = re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(encoding="utf-8"), re.MULTILINE)
    for program, *words in quoted(page):
        if program == "release" and words != ["--help"]:
            assert "run" in parser.parse_args(complete(parser, words))
        if program == "nox" and words != ["-l"]:
            assert words[0] == "-s"
            assert words[1] in sessions
            named = complete(parser, [words[1], *words[3:]])
            assert words[1] not in {"build", "scan", "reproduce"} or "run" in parser.parse_args(named)


@pytest.mark.parametrize("page", NAMES)
def test_commands_named_in_the_text_exist(page: str) -> None:
    prose = FENCED.sub("", (ROOT / page).read_text(encoding="utf-8"))
    known = {entry.name for entry in COMMANDS}
    assert set(re.findall(r"`release ([a-z]+)", prose)) <= known


def test_every_setting_is_explained() -> None:
    page = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
    assert [field.name for field in fields(Settings) if f"| `{field.name}` |" not in page] == []


def test_every_page_of_docs_is_in_the_index() -> None:
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8") + (ROOT / "docs/adr/README.md").read_text("utf-8")
    missing = [name for name in NAMES if name.startswith("docs/") and Path(name).name not in index]
    assert [name for name in missing if not name.endswith("README.md")] == []


def test_changelog_fragments_have_a_known_kind() -> None:
    names = [path.name for path in (ROOT / "changelog.d").iterdir() if path.name != "README.md"]
    assert names
    assert [
        name for name in names if not re.fullmatch(r"[a-z0-9-]+\.(added|changed|fixed|removed|security)\.md", name)
    ] == []
