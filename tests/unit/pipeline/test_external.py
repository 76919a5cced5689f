# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""An environment that has database, broker or cache already: nothing of ours takes their place, all lead to them."""

import base64
from typing import Any

import pytest

from pipeline.manifests.objects import Object
from pipeline.manifests.render import Rendered, render
from tests.fakes.sites import site

DATABASE = {"database": {"host": "galera.test", "port": 3307, "secret": "db-admin"}}
MESSAGING = {"messaging": {"hosts": ["a.test", "b.test"], "virtualHost": "cloud", "secret": "broker"}}
CACHE = {"cache": {"hosts": ["c.test"]}}
ALL = {**DATABASE, **MESSAGING, **CACHE}


def text_of(found: Rendered) -> str:
    """Return every configuration file there is."""
    texts = []
    for item in found.objects:
        if item["kind"] == "ConfigMap":
            texts += item["data"].values()
        elif item["kind"] == "Secret":
            texts += [base64.b64decode(value).decode() for value in item["data"].values()]
    return "\n".join(texts)


def named(found: Rendered, kind: str, name: str) -> Object:
    (item,) = [
        item for item in found.objects if item["kind"] == kind and str(item["metadata"]["name"]).startswith(name)
    ]
    return item


@pytest.mark.parametrize(
    ("external", "gone"),
    [(DATABASE, "mariadb"), (MESSAGING, "rabbitmq"), (CACHE, "memcached")],
    ids=["database", "messaging", "cache"],
)
def test_what_is_there_is_not_brought(external: dict[str, Any], gone: str) -> None:
    found = render(site(external=external))
    assert not [item["metadata"]["name"] for item in found.objects if str(item["metadata"]["name"]).startswith(gone)]
    assert gone not in {stage.name for stage in found.stages}
    names = {stage.name for stage in found.stages}
    assert all(set(stage.after) <= names for stage in found.stages)
    assert f"@{gone}" not in text_of(found)


def test_configuration_leads_to_what_is_there() -> None:
    text = text_of(render(site(external=ALL)))
    assert "@galera.test:3307/nova_api?" in text
    assert ",openstack:" in text
    assert "@a.test:5672," in text
    assert "@b.test:5672/cloud" in text
    assert "c.test:11211" in text


def test_accounts_are_made_before_the_first_schema() -> None:
    found = render(site(external=ALL))
    stages = {stage.name: stage for stage in found.stages}
    assert "database accounts" in stages["keystone database"].after
    job = named(found, "Job", "keystone-accounts")
    env = job["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {item["valueFrom"]["secretKeyRef"]["name"] for item in env} == {"db-admin"}
    assert {item["valueFrom"]["secretKeyRef"]["key"] for item in env} == {"user", "password"}


def test_accounts_are_made_again_when_a_password_is_other() -> None:
    one, two = site(external=DATABASE), site(external=DATABASE)
    two.credentials.values["database.nova"] = "another"  # type: ignore[index]
    jobs = [named(render(item), "Job", "keystone-accounts")["metadata"]["name"] for item in (one, two)]
    assert jobs[0] != jobs[1]


def test_pods_may_reach_the_ports_outside_and_no_others() -> None:
    policy = named(render(site(external=ALL)), "NetworkPolicy", "external")
    assert [port["port"] for port in policy["spec"]["egress"][0]["ports"]] == [3307, 5672, 11211]
    names = [
        item["metadata"]["name"] for item in render(site()).objects if item["metadata"]["name"].startswith("external")
    ]
    assert names == []


def test_password_of_a_foreign_broker_is_quoted() -> None:
    foreign = site(external=MESSAGING)
    foreign.credentials.values.update({"messaging_user": "cloud", "messaging_password": "p@ss/word"})  # type: ignore[attr-defined]
    assert "rabbit://cloud:p%40ss%2Fword@a.test:5672" in text_of(render(foreign))
