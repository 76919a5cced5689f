# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Makes keystone know the cloud: service users with their roles, services and endpoints. What is there already stays.

Argument: a JSON file with {"url", "region", "users": [names], "services": [{"type", "name", "description", "url"}]}.
Passwords come as environment variables: ADMIN_PASSWORD and PASSWORD_<USER>. Needs requests, which clients of OpenStack have.
"""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

_PATIENCE = 120.0


class Keystone:
    """The identity API as the administrator."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()

    def log_in(self, password: str) -> None:
        """Get a token; keystone may not answer yet."""
        domain = {"id": "default"}
        user = {"name": "admin", "domain": domain, "password": password}
        scope = {"project": {"name": "admin", "domain": domain}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                answer = self.session.post(f"{self.url}/auth/tokens", json=body, timeout=30)
                if answer.status_code == 201:
                    self.session.headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]
                    return
                reason = f"{answer.status_code}: {answer.text[:300]}"
            except (requests.ConnectionError, requests.Timeout) as error:
                reason = str(error)[:300]
            if time.monotonic() > deadline:
                sys.exit(f"keystone gives no token: {reason}")
            time.sleep(0.5)

    def find(self, kind: str, **query: str) -> list[dict[str, Any]]:
        answer = self.session.get(f"{self.url}/{kind}", params=query, timeout=30)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()[kind]
        return found

    def ensure(
        self, kind: str, one: str, query: dict[str, Any], body: dict[str, Any], change: dict[str, Any] | None = None
    ) -> str:
        """Return the id of what is meant, made now when it is not there, changed when it differs."""
        for item in self.find(kind, **query):
            differs = {key: value for key, value in (change or {}).items() if item.get(key) != value}
            if differs:
                self.session.patch(
                    f"{self.url}/{kind}/{item['id']}", json={one: differs}, timeout=30
                ).raise_for_status()
                print(f"{one} {query}: changed {sorted(differs)}", flush=True)
            return str(item["id"])
        answer = self.session.post(f"{self.url}/{kind}", json={one: {**query, **body}}, timeout=30)
        answer.raise_for_status()
        print(f"{one} {query}: made", flush=True)
        return str(answer.json()[one]["id"])

    def grant(self, project: str, user: str, role: str) -> None:
        path = f"{self.url}/projects/{project}/users/{user}/roles/{role}"
        self.session.put(path, timeout=30).raise_for_status()


def main() -> int:
    with open(sys.argv[1], encoding="utf-8") as file:
        wanted = json.load(file)
    keystone = Keystone(wanted["url"])
    keystone.log_in(os.environ["ADMIN_PASSWORD"])
    project = keystone.ensure("projects", "project", {"name": "service", "domain_id": "default"}, {})
    roles = {name: keystone.ensure("roles", "role", {"name": name}, {}) for name in ("service", "admin", "member")}

    def user(name: str) -> None:
        password = os.environ[f"PASSWORD_{name.upper()}"]
        query = {"name": name, "domain_id": "default"}
        found = keystone.ensure("users", "user", query, {"password": password, "default_project_id": project})
        for role in ("service", "admin"):
            keystone.grant(project, found, roles[role])

    def service(row: dict[str, Any]) -> None:
        query = {"type": row["type"], "name": row["name"]}
        found = keystone.ensure("services", "service", query, {"description": row["description"]})
        for interface in ("public", "internal", "admin"):
            query = {"service_id": found, "interface": interface, "region_id": wanted["region"]}
            keystone.ensure("endpoints", "endpoint", query, {"url": row["url"]}, {"url": row["url"]})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(user, wanted["users"]))
        list(pool.map(service, wanted["services"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
