# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""An environment's kubeconfig: its context alone, from the files that kubectl would read, usable from everywhere."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from pipeline.kubeconfig import files_of, kubeconfig_text, only
from pipeline.target import Target
from releases.environment import Environment
from stackway.errors import WrongInputError

REMOTE = Target(cast("Any", None), None)


def environment(context: str | None = "prod") -> Environment:
    there = {"context": context, "images": "registry.example.org/x"} if context else {}
    cluster = {"namespace": "cloud", **there}
    return Environment.model_validate({"name": "prod", "summary": "of the tests", "cluster": cluster})


def config(name: str, **user: Any) -> dict[str, Any]:
    """Return a kubeconfig with one context, whose cluster and user have names of their own."""
    return {
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": f"{name}-cluster", "user": f"{name}-user"}}],
        "clusters": [{"name": f"{name}-cluster", "cluster": {"server": f"https://{name}"}}],
        "users": [{"name": f"{name}-user", "user": {"token": "t", **user}}],
    }


def written(folder: Path, monkeypatch: pytest.MonkeyPatch, **files: Any) -> Target:
    """Write kubeconfigs, let KUBECONFIG name them in this order, and return a cluster that is reached by them."""
    for name, content in files.items():
        (folder / name).write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(["", *(str(folder / name) for name in files)]))
    return REMOTE


def test_context_is_taken_alone_with_the_namespace_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = written(tmp_path, monkeypatch, a=config("lab"), b=config("prod"))
    found = yaml.safe_load(kubeconfig_text(target, environment()))
    assert found == {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "prod",
        "contexts": [
            {"name": "prod", "context": {"cluster": "prod-cluster", "user": "prod-user", "namespace": "cloud"}}
        ],
        "clusters": [{"name": "prod-cluster", "cluster": {"server": "https://prod"}}],
        "users": [{"name": "prod-user", "user": {"token": "t"}}],
    }


def test_local_cluster_is_the_current_context_of_its_own_file(tmp_path: Path) -> None:
    path = tmp_path / "local"
    path.write_text(yaml.safe_dump(config("local")), encoding="utf-8")
    target = Target(cast("Any", None), cast("Any", SimpleNamespace(kubeconfig=path)))
    assert files_of(target) == [path]
    assert "https://local" in kubeconfig_text(target, environment(None))


def test_first_file_that_has_an_entry_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = written(tmp_path, monkeypatch, a=config("prod", token="first"), b=config("prod", token="second"))
    assert "first" in kubeconfig_text(target, environment())


def test_default_file_is_that_of_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in (None, ""):
        monkeypatch.delenv("KUBECONFIG", raising=False) if given is None else monkeypatch.setenv("KUBECONFIG", given)
        assert files_of(REMOTE) == [tmp_path / ".kube/config"]


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({"client-key": "pki/key"}, {"client-key": "FOLDER/pki/key"}),
        ({"client-certificate": "/etc/cert"}, {"client-certificate": "/etc/cert"}),
        ({"tokenFile": "token"}, {"tokenFile": "FOLDER/token"}),
        ({"client-key-data": "abcd"}, {"client-key-data": "abcd"}),
        ({"exec": {"command": "./bin/get"}}, {"exec": {"command": "FOLDER/bin/get"}}),
        ({"exec": {"command": "aws", "args": ["a/b"]}}, {"exec": {"command": "aws", "args": ["a/b"]}}),
    ],
)
def test_paths_lead_from_everywhere(
    user: dict[str, Any], expected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = written(tmp_path, monkeypatch, a=config("prod", **user))
    text = kubeconfig_text(target, environment()).replace(str(tmp_path), "FOLDER")
    assert yaml.safe_load(text)["users"][0]["user"] == {"token": "t", **expected}


@pytest.mark.parametrize(
    "content", ["", "[]", "text", "contexts:", "current-context: prod", yaml.safe_dump(config("lab"))]
)
def test_context_that_is_nowhere_is_named_with_what_to_do(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = written(tmp_path, monkeypatch, a=content)
    with pytest.raises(WrongInputError, match="'prod'") as caught:
        kubeconfig_text(target, environment())
    assert caught.value.resolution


@pytest.mark.parametrize("content", [b"a: [", b"\xff\xfe\xff", b"a: \x00"])
def test_file_that_is_no_yaml_is_named(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = written(tmp_path, monkeypatch, a="")
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(WrongInputError, match="cannot be read") as caught:
        kubeconfig_text(target, environment())
    assert str(tmp_path / "a") in caught.value.details


def test_file_that_is_not_there_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = written(tmp_path, monkeypatch, a="", b=config("prod"))
    (tmp_path / "a").unlink()
    assert "https://prod" in kubeconfig_text(target, environment())


def test_context_without_a_user_has_none() -> None:
    given = config("prod")
    del given["contexts"][0]["context"]["user"]
    found = only([given], environment())
    assert "users" not in found
    assert found["clusters"][0]["cluster"]["server"] == "https://prod"
