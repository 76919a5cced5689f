# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Keystone gets to know the cloud: what is missing is made, what differs is changed, all else stays."""

import json
import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from pipeline.programs import catalog

URL = "http://keystone/v3"
WANTED: dict[str, Any] = {
    "url": URL,
    "region": "RegionOne",
    "users": ["nova", "glance"],
    "services": [{"type": "image", "name": "glance", "description": "Images", "url": "http://glance:9292"}],
}


class Answer:
    """An answer of HTTP."""

    def __init__(self, code: int, body: Any = None) -> None:
        self.status_code, self.body, self.text, self.headers = code, body, str(body), {"X-Subject-Token": "token"}

    def json(self) -> Any:
        return self.body

    def raise_for_status(self) -> None:
        if self.status_code >= 400:
            raise requests.HTTPError(self.text)


class Keystone:
    """An identity service in memory; it takes the place of a session with one."""

    def __init__(self, *troubles: Exception | int) -> None:
        self.items: dict[str, list[dict[str, Any]]] = {}
        self.headers: dict[str, str] = {}
        self.troubles, self.numbers = list(troubles), count(1)
        self.grants: list[str] = []
        self.writes = 0

    def _rows(self, url: str) -> list[dict[str, Any]]:
        assert self.headers["X-Auth-Token"] == "token"
        return self.items.setdefault(url.removeprefix(f"{URL}/").split("/")[0], [])

    def get(self, url: str, params: dict[str, Any], timeout: int) -> Answer:
        assert timeout
        found = [row for row in self._rows(url) if params.items() <= row.items()]
        return Answer(200, {url.rpartition("/")[2]: found})

    def post(self, url: str, json: dict[str, Any], timeout: int) -> Answer:
        assert timeout
        if url.endswith("/auth/tokens"):
            return self._log_in()
        self.writes += 1
        ((one, item),) = json.items()
        self._rows(url).append({**item, "id": str(next(self.numbers))})
        return Answer(201, {one: self._rows(url)[-1]})

    def _log_in(self) -> Answer:
        trouble = self.troubles.pop(0) if self.troubles else 201
        if isinstance(trouble, Exception):
            raise trouble
        return Answer(trouble)

    def patch(self, url: str, json: dict[str, Any], timeout: int) -> Answer:
        assert timeout
        self.writes += 1
        row = next(row for row in self._rows(url) if row["id"] == url.rpartition("/")[2])
        row.update(*json.values())
        return Answer(200)

    def put(self, url: str, timeout: int) -> Answer:
        assert timeout
        self.grants.append(url.removeprefix(URL))
        return Answer(204)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pauses pass at once; each moves the clock on by ten seconds."""
    pauses: list[float] = []
    time = SimpleNamespace(monotonic=lambda: 10.0 * len(pauses), sleep=pauses.append)
    monkeypatch.setattr(catalog, "time", time)


def run(keystone: Keystone, folder: Path, monkeypatch: pytest.MonkeyPatch, **changed: Any) -> int:
    (folder / "plan.json").write_text(json.dumps({**WANTED, **changed}), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["catalog.py", str(folder / "plan.json")])
    monkeypatch.setattr(requests, "Session", lambda: keystone)
    for name in ("ADMIN_PASSWORD", "PASSWORD_NOVA", "PASSWORD_GLANCE"):
        monkeypatch.setenv(name, name.lower())
    return catalog.main()


def test_empty_keystone_gets_all_and_the_second_time_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keystone = Keystone()
    assert run(keystone, tmp_path, monkeypatch) == 0
    assert {kind: len(rows) for kind, rows in keystone.items.items()} == {
        "projects": 1,
        "roles": 3,
        "users": 2,
        "services": 1,
        "endpoints": 3,
    }
    before = keystone.writes
    assert run(keystone, tmp_path, monkeypatch) == 0
    assert keystone.writes == before


def test_users_have_their_own_passwords_and_roles_in_the_project_of_services(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keystone = Keystone()
    run(keystone, tmp_path, monkeypatch)
    project = keystone.items["projects"][0]["id"]
    roles = {row["name"]: row["id"] for row in keystone.items["roles"]}
    for user in keystone.items["users"]:
        assert user["password"] == f"password_{user['name']}"
        for role in ("service", "admin"):
            assert f"/projects/{project}/users/{user['id']}/roles/{roles[role]}" in keystone.grants
    assert len(keystone.grants) == 4


def test_endpoint_that_leads_elsewhere_is_changed_and_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keystone = Keystone()
    run(keystone, tmp_path, monkeypatch)
    moved = [{**WANTED["services"][0], "url": "http://images"}]
    run(keystone, tmp_path, monkeypatch, services=moved)
    assert [row["url"] for row in keystone.items["endpoints"]] == ["http://images"] * 3
    assert {row["interface"] for row in keystone.items["endpoints"]} == {"public", "internal", "admin"}
    assert "changed ['url']" in capsys.readouterr().out


def test_password_of_a_user_that_is_there_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keystone = Keystone()
    there = {"id": "n", "name": "nova", "domain_id": "default", "password": "own"}
    keystone.items["users"] = [there]
    run(keystone, tmp_path, monkeypatch)
    assert there["password"] == "own"


def test_no_password_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(Keystone(), tmp_path, monkeypatch)
    assert "password_" not in "".join(capsys.readouterr())


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("trouble", [503, 401, requests.ConnectionError("refused"), requests.ReadTimeout("slow")])
def test_keystone_that_does_not_answer_yet_is_asked_again(
    trouble: Exception | int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keystone = Keystone(*[trouble] * 3)
    assert run(keystone, tmp_path, monkeypatch) == 0
    assert keystone.troubles == []


@pytest.mark.usefixtures("quick")
def test_keystone_that_never_gives_a_token_is_an_end_that_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match="keystone gives no token: 503"):
        run(Keystone(*[503] * 100), tmp_path, monkeypatch)


def test_refused_write_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keystone = Keystone()
    monkeypatch.setattr(keystone, "put", lambda *_, **__: Answer(403, "no"))
    with pytest.raises(requests.HTTPError):
        run(keystone, tmp_path, monkeypatch)
