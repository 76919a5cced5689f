# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What was made outside the cluster's own world, written down before it is made, so that exactly that can be removed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

from pipeline.cluster.layout import Addresses, Home
from stackway.errors import WrongInputError
from stackway.files import read_json, write_json

_SCHEMA = 1


@dataclass(frozen=True)
class Record:
    """The network, the control groups and the programs of a cluster; `complete` once it was up with all it starts with."""

    network: str
    groups: tuple[str, ...]
    tools: Mapping[str, str] = field(default_factory=dict)
    complete: bool = False

    @property
    def addresses(self) -> Addresses:
        """The cluster's addresses."""
        return Addresses(IPv4Network(self.network))

    @property
    def programs(self) -> dict[str, Path]:
        """The programs by the names of the tools."""
        return {name: Path(path) for name, path in self.tools.items()}


def read_record(home: Home) -> Record | None:
    """Return the record, None when there is none. Raises WrongInputError when it cannot be read."""
    if not home.record.exists():
        return None
    content = read_json(home.record)
    try:
        groups = tuple(str(group) for group in content["groups"])
        IPv4Network(content["network"])
        return Record(content["network"], groups, dict(content["tools"]), bool(content["complete"]))
    except (KeyError, TypeError, ValueError) as error:
        raise WrongInputError(
            "the record of the local cluster cannot be read",
            details=f"{home.record}: {error}",
            resolution="End the process named keeper by hand, remove the link stackway0 and that folder.",
        ) from error


def write_record(home: Home, record: Record) -> None:
    """Write the record, whole or not at all."""
    write_json(home.record, {"schema": _SCHEMA, **asdict(record)})
