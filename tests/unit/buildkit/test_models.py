# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What may be written in a spec: each kind of text holds what it is for and nothing that could break out of it."""

import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from buildkit import models
from buildkit.models import Base, Replicas, Series, Service
from tests.fakes.checkout import SPECS

HOSTILE = st.text("aZ09./:-_@+ \n\r\t\x00\x1b\x85\u2028\u202e$`'\"\\{}%#;&|<>=,[]*é", max_size=12)
GOOD: dict[str, list[str]] = {
    "Text": ["Identity service of OpenStack", "100 % {ok}", "a 'quoted' \"$word\" \\", "ünï ✓"],
    "Word": ["--option=$(id)", "a b", "{one}"],
    "Name": ["a", "nova-api", "k8s2"],
    "SeriesName": ["2026.1", "1.6", "11.8", "4", "10.11.2"],
    "VersionNumber": ["29.0.2", "2.0.30.post1", "1!2.0", "1.0rc1", "1.0+site.1"],
    "DebianPackage": ["libstdc++6", "python3.13", "7zip"],
    "Distribution": ["PyMySQL", "oslo.config", "uvicorn[standard]", "a"],
    "AbsolutePath": ["/etc/keystone/keystone.conf", "/tmp", "/var/lib/a@b+c"],
    "Template": ["keystone.conf.j2", "a.j2"],
    "Variable": ["PATH", "_A1"],
    "WsgiTarget": ["keystone.wsgi.api:application", "a:b"],
    "Duration": ["10s", "500ms", "2h"],
    "Quantity": ["100m", "1.5", "64Mi", "0"],
    "Sha256": ["sha256:" + "0a" * 32],
    "Commit": ["0a" * 20],
    "LabelKey": ["org.example.team", "a-b"],
}
BAD: dict[str, list[str]] = {
    "Text": [
        "",
        "a\nb",
        "a\tb",
        "a\x00b",
        "a\x1b[31m",
        "a\u2028b",
        "a\u202eb",
        "{{ x }}",
        "{% x %}",
        "{# x",
        "x" * 501,
    ],
    "Word": ["", "a\rb", "a\x85b", "{{", "}}", "%}", "x" * 301],
    "Name": ["", "A", "1a", "a_b", "a--b", "a-", "-a", "a b", "a\n", "a" * 41, "a/../b"],
    "SeriesName": ["", "2026.1\n", "v1", "2026.1.2.3", "12345", "1.", "../1"],
    "VersionNumber": ["", "latest", "1.0; rm", "1.0\n", " 1.0", "1.0 ", "==1.0", "1.0 # x"],
    "DebianPackage": ["a", "A1", "a=1", "a:amd64", "a b", "-a", "a\n"],
    "Distribution": ["", "a==1", "a @ file:///x", "-e", "a;b", "a[b", "a\n", "a b"],
    "AbsolutePath": ["", "/", "etc", "/a//b", "/a/../b", "/./a", "/a/", "/a b", "/a\n", "/a$b", "/a,b", "/ä", "~/a"],
    "Template": ["", ".j2", "../a.j2", "a/b.j2", "a.conf", "a.j2\n"],
    "Variable": ["", "a", "A=B", "A B", "1A", "A-B", "A\n"],
    "WsgiTarget": ["", "a", "a:", ":b", "a.b", "a:b()", "A:b", "a:b\n", "a..b:c"],
    "Duration": ["", "0s", "10", "1.5s", "10 s", "10s\n", "-1s"],
    "Quantity": ["", "-1", "1G", "1 Gi", "1e3", "64Mi\n"],
    "Sha256": ["sha256:" + "0A" * 32, "0a" * 32, "sha256:0a", "sha256:" + "0a" * 32 + "\n"],
    "Commit": ["main", "0a" * 19, "0A" * 20, "0a" * 20 + "\n"],
    "LabelKey": ["", "A", "a..b", "a.", "a b", "a=b", 'a"', "a\n", "a$b"],
}


def check(kind: str, value: object) -> object:
    return TypeAdapter(getattr(models, kind)).validate_python(value)


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in GOOD.items() for text in texts])
def test_what_a_text_is_for_is_taken_as_it_is(kind: str, text: str) -> None:
    assert check(kind, text) == text


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in BAD.items() for text in texts])
def test_what_could_break_out_or_means_nothing_is_refused(kind: str, text: str) -> None:
    with pytest.raises(ValidationError):
        check(kind, text)


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("value", [1, 1.5, True, None, ["a"], b"a"])
def test_what_is_no_text_is_not_made_text(kind: str, value: object) -> None:
    with pytest.raises(ValidationError):
        check(kind, value)


@given(st.sampled_from([kind for kind in GOOD if kind not in {"Text", "Word"}]), HOSTILE)
def test_a_restricted_text_never_holds_a_space_a_quote_or_a_substitution(kind: str, text: str) -> None:
    assert not accepts(kind, text) or re.fullmatch(r"[A-Za-z0-9._@+:!,/\[\]-]+", text)


@given(st.sampled_from(["Text", "Word"]), HOSTILE)
def test_free_text_is_one_line_that_one_can_see_and_that_renders_nothing(kind: str, text: str) -> None:
    marks = ("{{", "{%", "{#", "}}", "%}", "#}")
    assert accepts(kind, text) == (text != "" and text.isprintable() and not any(mark in text for mark in marks))


def accepts(kind: str, text: str) -> bool:
    try:
        return check(kind, text) == text
    except ValidationError:
        return False


@pytest.mark.parametrize("model", [Service, Series, Base])
def test_no_text_in_a_spec_is_without_rules(model: type[BaseModel]) -> None:
    free = [schema for schema in schemas(model.model_json_schema()) if schema.get("type") == "string"]
    assert free
    assert [one for one in free if not one.keys() & {"pattern", "const", "enum", "format", "maxLength"}] == []


def schemas(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    for item in value if isinstance(value, list) else ():
        yield from schemas(item)


SERVICE: dict[str, Any] = {**SPECS["images/keystone/service.yaml"], "series": "2026.1", "version": "29.0.2"}
PROCESS = {"command": ["keystone-api"]}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"processes": {"api": {}}}, "give either wsgi or command"),
        ({"processes": {"api": {"wsgi": "a:b", "command": ["a"], "port": 1}}}, "give either wsgi or command"),
        ({"processes": {"api": {"wsgi": "a:b"}}}, "a WSGI process needs a port"),
        ({"processes": {"api": {"command": []}}}, "at least 1 item"),
        ({"processes": {"api": PROCESS | {"port": 0}}}, "greater than or equal to 1"),
        ({"processes": {"api": PROCESS | {"port": 65536}}}, "less than or equal to 65535"),
        ({"processes": {"api": PROCESS | {"port": "80"}}}, "valid integer"),
        ({"processes": {"api": PROCESS | {"public": "yes"}}}, "valid boolean"),
        ({"processes": {"api": PROCESS | {"replicas": {"min": 3, "max": 2}}}}, "min (3) is larger than max (2)"),
        ({"processes": {"api": PROCESS | {"probes": {"startup": {}}}}}, "give exactly one of http, tcp and command"),
        ({"processes": {"api": PROCESS | {"probes": {"startup": {"http": "/", "tcp": True}}}}}, "give exactly one of"),
        ({"processes": {"api": PROCESS | {"config": ["cnf"]}}}, "processes.api.config names 'cnf', which is not there"),
        ({"processes": {"api": PROCESS | {"volumes": ["x"]}}}, "processes.api.volumes names 'x', which is not there"),
        ({"upgrade": {"order": ["wsgi"]}}, "upgrade.order names 'wsgi', which is not there; there are: api"),
        ({"checks": {"requests": [{"process": "x", "path": "/"}]}}, "checks.requests names 'x', which is not there"),
        ({"distribution": "nova"}, "distribution 'nova' is not in packages.python"),
        ({"user": {"name": "root", "uid": 0, "home": "/root"}}, "greater than or equal to 1000"),
        ({"volumes": {"state": {"path": "/x", "from": "claim"}}}, "a claim needs a size"),
        ({"config": {"conf": {"template": "a.j2", "path": "/a", "mode": "0999"}}}, "String should match pattern"),
        ({"api_version": "stackway/v1"}, "Extra inputs are not permitted"),
        ({"kind": "Series"}, "Input should be 'Service'"),
    ],
    ids=range(21),
)
def test_values_that_do_not_fit_together_are_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(told)):
        Service.model_validate({**deepcopy(SERVICE), **values})


def test_a_good_service_is_taken_and_cannot_be_changed() -> None:
    service = Service.model_validate(SERVICE)
    assert (service.image, service.user.uid, service.processes["api"].grace) == ("keystone:2026.1", 42400, "60s")
    changeable: Any = service
    with pytest.raises(ValidationError, match="frozen"):
        changeable.version = "1.0"


def test_a_fixed_number_of_replicas_is_a_range_too() -> None:
    assert Replicas(min=3, max=3).max == 3


def test_a_spec_written_out_is_the_same_spec() -> None:
    service = Service.model_validate(SERVICE)
    assert Service.model_validate(service.model_dump(mode="json", by_alias=True)) == service


@pytest.mark.parametrize(
    ("model", "path", "values", "told"),
    [
        (Series, "images/series/2026.1.yaml", {"slurp": "yes"}, "valid boolean"),
        (Series, "images/series/2026.1.yaml", {"released": "yesterday"}, "valid date"),
        (Series, "images/series/2026.1.yaml", {"constraints": {"file": "../x.txt"}}, "String should match pattern"),
        (Series, "images/series/2026.1.yaml", {"base": None}, "valid string"),
        (Base, "images/bases/trixie.yaml", {"python": "3"}, "String should match pattern"),
        (Base, "images/bases/trixie.yaml", {"platform": "any"}, "x86_64-manylinux_2_28"),
        (Base, "images/bases/trixie.yaml", {"interpreter": ["python3; rm"]}, "String should match pattern"),
    ],
)
def test_a_wrong_series_or_base_is_refused(
    model: type[BaseModel], path: str, values: dict[str, Any], told: str
) -> None:
    assert isinstance(model.model_validate(SPECS[path]), model)
    with pytest.raises(ValidationError, match=told):
        model.model_validate({**SPECS[path], **values})
