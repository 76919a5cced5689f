# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A spec becomes a Dockerfile that says what the spec says; no text in a spec can make it say anything else."""

import json
import re
import shlex
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from buildkit.configuration import Templates
from buildkit.dockerfile import (
    PackageCounts,
    Recipe,
    checked_files,
    default_command,
    deployment_files,
    image_files,
    labels,
    process_command,
    render_dockerfile,
    slug,
    smoke_script,
    stages,
)
from buildkit.layering import Arrangement, Layer
from buildkit.models import Base, Service
from buildkit.sources import load_templates
from tests.fakes.checkout import SPECS, FakeCheckout, pin
from tests.fakes.dockerfiles import Instruction, assignments, instructions, keywords

PINS = tuple(pin(name, "1.0") for name in ("alembic", "certifi", "requests", "webob"))
COMMON = Layer("common", ("glance", "keystone"), PINS[:2])
NOTHING = Arrangement((), (), (), ())
SHARED = Arrangement((COMMON,), PINS[2:3], (), ())
AMENDED = Arrangement((COMMON,), PINS[2:3], (pin("certifi", "2.0"),), ("alembic",))
BASE = Base.model_validate(SPECS["images/bases/trixie.yaml"])
# Something in every place where a person may write text.
FULL: dict[str, Any] = {
    **deepcopy(dict(SPECS["images/keystone/service.yaml"])),
    "series": "2026.1",
    "version": "29.0.2",
    "licenses": "Apache-2.0",
    "user": {"name": "keystone", "uid": 42424, "home": "/var/lib/keystone"},
    "packages": {"python": ["keystone"], "system": ["libxml2"]},
    "overrides": {"certifi": {"version": "1.0", "owner": "me", "reason": "because", "expires": "2999-01-01"}},
    "config": {
        "conf": {"template": "keystone.conf.j2", "path": "/etc/keystone/keystone.conf"},
        "paste": {"template": "keystone.conf.j2", "path": "/etc/keystone/paste.ini", "render": "image", "mode": "0644"},
    },
    "processes": {
        "api": {
            "summary": "answers",
            "wsgi": "keystone.wsgi:application",
            "port": 5000,
            "ports": {"metrics": 9100},
            "environment": {"A": "b"},
            "probes": {"startup": {"http": "/health"}, "liveness": {"command": ["true", "x"]}},
            "config": ["conf"],
        },
        "worker": {"command": ["keystone-manage", "--debug"], "port": 5000},
    },
    "database": {
        "schemas": {"keystone": "tables"},
        "expand": [{"run": ["keystone-manage", "db_sync"], "summary": "s"}],
    },
    "bootstrap": {"identity": {"run": ["a", "b"], "unless": {"run": ["c"], "contains": "d"}}},
    "catalog": [{"type": "identity", "name": "keystone", "summary": "Identity", "process": "api", "path": "/v3"}],
    "checks": {
        "smoke": {
            "imports": ["keystone.wsgi"],
            "commands": [["keystone-manage", "--version"]],
            "options": {"/etc/keystone/keystone.conf": ["oslo.log"]},
        },
        "upgrade": {"run": ["keystone-status"], "allow": {"A title": "a reason"}},
        "requests": [{"process": "api", "path": "/v3"}],
    },
    "upgrade": {"order": ["api"], "pin": {"option": "value"}, "notes": ["a note"]},
}
HOSTILE = [
    "x\nRUN evil",
    "x\\\nRUN evil",
    'x"\nRUN evil',
    "x\r\nRUN evil",
    "x\u2028RUN evil",
    '"',
    "'; evil; '",
    "$(evil)",
    "\\$PATH",
    "{{ 7 * 7 }}",
    "# escape=`",
    "<<EOF",
    "a,source=/",
    "x\x00",
    "ONBUILD RUN evil",
    "\x85RUN evil",
    'x" evil="$PATH\\',
    "\\\\$(evil)\\",
    '"]\\',
]


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    return load_templates(FakeCheckout(tmp_path_factory.mktemp("checkout")).catalog()).of("keystone")


def service(**values: Any) -> Service:
    return Service.model_validate({**deepcopy(FULL), **values})


def recipe(spec: Service, arrangement: Arrangement = SHARED, own: int = 3) -> Recipe:
    return Recipe(spec, BASE, PackageCounts(100, 20, own), arrangement)


def only(text: str, keyword: str) -> Instruction:
    found = [item for item in instructions(text) if item.keyword == keyword]
    assert len(found) == 1
    return found[0]


def test_the_final_stage_says_what_the_spec_says(templates: Templates) -> None:
    text = render_dockerfile(recipe(service()), templates)
    assert assignments(text, "LABEL") == labels(service())
    assert assignments(text, "ENV") == {"EXAMPLE": "a value"}
    assert only(text, "USER").rest == "42424:42424"
    assert only(text, "WORKDIR").rest == "/var/lib/keystone"
    assert json.loads(only(text, "CMD").rest) == ["pyuwsgi", "--ini", "/etc/stackway/uwsgi/api.ini"]
    assert [item.rest for item in instructions(text) if item.keyword == "EXPOSE"] == ["5000", "9100"]


@pytest.mark.parametrize("layout", ["python", "system"])
def test_no_step_has_a_network_and_nothing_comes_from_outside(templates: Templates, layout: str) -> None:
    found = instructions(render_dockerfile(recipe(service(layout=layout), AMENDED), templates))
    bases = {item.rest.split(" AS ")[0] for item in found if item.keyword == "FROM"}
    named = {item.rest.split(" AS ")[1] for item in found if item.keyword == "FROM"}
    assert bases <= named | {"scratch", f"bootstrap:{BASE.name}"}
    assert all(item.rest.startswith("--network=none ") for item in found if item.keyword == "RUN")
    assert all("://" not in item.rest for item in found if item.keyword in {"ADD", "COPY", "RUN"})


@pytest.mark.parametrize(
    ("arrangement", "own", "chain"),
    [
        (NOTHING, 0, "interpreter AS image"),
        (NOTHING, 3, "system AS image"),
        (SHARED, 0, "interpreter AS image"),
        (AMENDED, 0, "shared AS image"),
        (replace(AMENDED, replaced=()), 0, "shared AS image"),
    ],
)
def test_each_part_of_the_environment_has_its_stage(
    templates: Templates, arrangement: Arrangement, own: int, chain: str
) -> None:
    text = render_dockerfile(recipe(service(), arrangement, own), templates)
    froms = [item.rest for item in instructions(text) if item.keyword == "FROM"]
    assert chain in froms
    assert ("interpreter AS system" in froms) == (own > 0)
    for stage in stages(recipe(service(), arrangement)):
        assert f"interpreter AS {stage.stage}" in froms
        copied = f"COPY --link --from={stage.stage} /tree/ /"
        assert (copied in text) == (stage.stage != "python-replaced")


def test_stages_name_their_folders_and_pins() -> None:
    found = {stage.stage: (stage.folder, stage.pins) for stage in stages(recipe(service(), AMENDED))}
    assert found == {
        "python-common": ("python/2026.1-common", PINS[:2]),
        "python-own": ("python/keystone-2026.1-own", PINS[2:3]),
        "python-replaced": ("python/keystone-2026.1-replaced", (pin("certifi", "2.0"),)),
    }


def test_what_replaces_is_put_in_and_what_is_not_wanted_goes(templates: Templates) -> None:
    text = render_dockerfile(recipe(service(), AMENDED), templates)
    assert "python3 /mnt/amend.py /opt/venv /mnt/tree alembic certifi" in text
    assert "from=python-replaced" in text
    removed_only = render_dockerfile(recipe(service(), replace(AMENDED, replaced=())), templates)
    assert "from=python-replaced" not in removed_only


def test_equal_specs_give_equal_texts_without_a_date(templates: Templates) -> None:
    other = service(environment={"B": "2", "A": "1"}, labels={"b": "2", "a": "1"})
    same = service(environment={"A": "1", "B": "2"}, labels={"a": "1", "b": "2"})
    text = render_dockerfile(recipe(other), templates)
    assert text == render_dockerfile(recipe(same), templates)
    assert not re.search(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}", text)


def test_an_image_without_processes_has_no_command_and_no_ports(templates: Templates) -> None:
    spec = service(processes={}, catalog=[], checks={}, upgrade={})
    assert default_command(spec) == ()
    assert not {"CMD", "EXPOSE"} & set(keywords(render_dockerfile(recipe(spec), templates)))


def test_a_command_is_run_as_written_and_an_application_by_uwsgi() -> None:
    assert process_command("worker", ("a", "$b")) == ("a", "$b")
    assert process_command("api", None) == ("pyuwsgi", "--ini", "/etc/stackway/uwsgi/api.ini")
    assert slug(service()) == "keystone-2026.1"


def fields(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each text in a spec; a path that ends in a set names a key."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        if isinstance(key, str):
            yield (*path, frozenset({key}))
        yield from fields(child, (*path, key))
    if isinstance(value, str):
        yield path


def put(path: tuple[Any, ...], text: str) -> dict[str, Any]:
    """Return the full spec with `text` at one place."""
    spec = deepcopy(FULL)
    target: Any = spec
    for part in path[:-1]:
        target = target[part]
    if isinstance(path[-1], frozenset):
        (key,) = path[-1]
        target[text] = target.pop(key)
    else:
        target[path[-1]] = text
    return spec


def read(path: tuple[Any, ...], text: str) -> Service | None:
    try:
        return Service.model_validate(put(path, text))
    except ValidationError:
        return None


FIELDS = list(fields(FULL))
FREE = [path for path in FIELDS if read(path, "$a \\\"b' `c`") is not None]
PLACES = st.sampled_from(FREE) | st.sampled_from(FIELDS)
TEXTS = st.text("\\\"'$`{}%#\n RUN=", max_size=12) | st.text(max_size=20)


class Usual:
    """How many instructions and lines there are with harmless texts."""

    def __init__(self, templates: Templates) -> None:
        self.templates = templates
        self.keywords = keywords(render_dockerfile(recipe(service()), templates))
        self.checks = smoke_script(service()).count("\n")
        self.server = self.lines_of_server(service())

    def lines_of_server(self, spec: Service) -> int:
        bare = spec.model_copy(update={"config": {}})
        return sum(len(text.splitlines()) for text, _ in image_files(bare, self.templates).values())

    def holds_for(self, spec: Service) -> bool:
        """Assert that a spec gives as many instructions, checks and lines, and that they mean what the spec says."""
        rendered = render_dockerfile(recipe(spec), self.templates)
        assert keywords(rendered) == self.keywords
        assert assignments(rendered, "LABEL") == labels(spec)
        assert assignments(rendered, "ENV") == spec.environment
        assert json.loads(only(rendered, "CMD").rest) == list(default_command(spec))
        assert smoke_script(spec).count("\n") == self.checks
        assert checks_of(spec)[-2:] == [list(spec.checks.smoke.commands[0]), validator_of(spec)]
        assert self.lines_of_server(spec) == self.server
        return True


def checks_of(spec: Service) -> list[list[str]]:
    program, name, *checks = shlex.split(smoke_script(spec).replace(" \\\n", "").split("\n")[-2])
    assert (program, name) == ("python3", "/mnt/checks.py")
    return [shlex.split(check) for check in checks]


def validator_of(spec: Service) -> list[str]:
    ((file, (namespace,)),) = spec.checks.smoke.options.items()
    return ["oslo-config-validator", "--namespace", namespace, "--input-file", file]


@pytest.fixture(scope="module")
def usual(templates: Templates) -> Usual:
    return Usual(templates)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_refused_or_stays_a_text(usual: Usual, text: str) -> None:
    specs = [read(path, text) for path in FREE]
    assert all(spec is None or usual.holds_for(spec) for spec in specs)


@settings(max_examples=200)
@given(PLACES, TEXTS)
def test_any_text_anywhere_is_refused_or_stays_a_text(usual: Usual, path: tuple[Any, ...], text: str) -> None:
    spec = read(path, text)
    assert spec is None or usual.holds_for(spec)


def test_enough_of_the_fields_take_free_text_for_this_to_mean_something() -> None:
    assert len(FREE) > 25
    assert {("summary",), ("environment", "EXAMPLE"), ("checks", "smoke", "commands", 0, 1)} <= set(FREE)


def test_the_image_carries_what_no_environment_changes(templates: Templates) -> None:
    found = image_files(service(), templates)
    assert {path: mode for path, (_, mode) in found.items()} == {
        "/etc/keystone/paste.ini": 0o644,
        "/etc/stackway/uwsgi/api.ini": 0o644,
    }
    assert found["/etc/keystone/paste.ini"][0] == "[DEFAULT]\ndebug = false\n"
    server = found["/etc/stackway/uwsgi/api.ini"][0]
    assert "module = keystone.wsgi:application\nhttp-socket = :5000\n" in server


def test_modules_to_preload_are_imported_before_workers_are_made(templates: Templates) -> None:
    api = service().processes["api"].model_copy(update={"preload": ("keystone.common", "pymysql")})
    spec = service().model_copy(update={"processes": {"api": api}})
    server = image_files(spec, templates)["/etc/stackway/uwsgi/api.ini"][0]
    assert "lazy-apps = true\nshared-import = keystone.common\nshared-import = pymysql\nsingle-interpreter" in server
    with pytest.raises(ValidationError, match="preload is for WSGI"):
        type(api).model_validate({"command": ["a"], "preload": ["b"]})


def test_an_environment_renders_the_rest_with_its_own_settings(templates: Templates) -> None:
    found = deployment_files(service(), templates, {"settings": {"debug": True}})
    assert found == {"/etc/keystone/keystone.conf": "[DEFAULT]\ndebug = true\n"}
    assert checked_files(service()) == list(found)


def test_the_checks_of_a_system_image_ask_nothing_of_python() -> None:
    assert "/opt/venv" in smoke_script(service())
    assert "/opt/venv" not in smoke_script(service(layout="system"))
