# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The kubeconfig of an environment: its cluster, its namespace, nothing else. Reads the user's or the local cluster's."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline.target import Target
from releases.environment import Environment
from stackway.errors import WrongInputError

_PATHS = frozenset({"certificate-authority", "client-certificate", "client-key", "tokenFile"})
_NAMES = (("contexts", "context"), ("clusters", "cluster"), ("users", "user"))


def files_of(target: Target) -> list[Path]:
    """Return the kubeconfig files by which an environment's cluster is reached."""
    if target.local is not None:
        return [target.local.kubeconfig]
    given = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube/config")
    return [Path(name) for name in given.split(os.pathsep) if name]


def kubeconfig_text(target: Target, environment: Environment) -> str:
    """Return a kubeconfig with the environment's context alone, and its namespace. Raises WrongInputError."""
    found = [item for path in files_of(target) for item in _read(path)]
    return str(yaml.safe_dump(only(found, environment), sort_keys=False))


def _read(path: Path) -> list[Mapping[str, Any]]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise WrongInputError("a kubeconfig cannot be read", details=f"{path}: {error}") from error
    return [{**content, "folder": str(path.parent.absolute())}] if isinstance(content, dict) else []


def only(files: list[Mapping[str, Any]], environment: Environment) -> dict[str, Any]:
    """Return what of some kubeconfigs belongs to an environment. Raises WrongInputError when its context is not there."""
    wanted = environment.cluster.context or next(
        (item["current-context"] for item in files if item.get("current-context")), ""
    )
    context = _entry(files, "contexts", wanted)
    if context is None:
        raise WrongInputError(
            f"no kubeconfig has the context {wanted!r}",
            details=f"`cluster.context` of environments/{environment.name}.yaml",
            resolution="Set KUBECONFIG to the file that has it, or correct the environment's file.",
        )
    named = {"contexts": wanted, "clusters": context.get("cluster"), "users": context.get("user")}
    parts = {plural: _entry(files, plural, name) or {} for plural, name in named.items() if name}
    parts["contexts"] = {**context, "namespace": environment.cluster.namespace}
    rows = {plural: [{"name": named[plural], single: parts[plural]}] for plural, single in _NAMES if plural in parts}
    return {"apiVersion": "v1", "kind": "Config", "current-context": wanted, **rows}


def _entry(files: list[Mapping[str, Any]], plural: str, name: str) -> dict[str, Any] | None:
    """Return an entry by its name; paths in it are made to lead from everywhere."""
    single = dict(_NAMES)[plural]
    for file in files:
        for row in file.get(plural) or []:
            if row.get("name") == name:
                entry: dict[str, Any] = dict(row.get(single) or {})
                return {key: _absolute(key, value, str(file.get("folder", ""))) for key, value in entry.items()}
    return None


def _absolute(key: str, value: Any, folder: str) -> Any:
    """Return a value with its path absolute, if it has one; a program without a slash is looked for elsewhere."""
    if key == "exec" and isinstance(value, dict) and "/" in str(value.get("command", "")):
        return {**value, "command": str(Path(folder) / str(value["command"]))}
    return str(Path(folder) / value) if key in _PATHS and isinstance(value, str) else value
