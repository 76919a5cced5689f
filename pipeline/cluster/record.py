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
# Of clusters that were started when a machine could have but one.
_FORMER_LINK = "stackway0"


@dataclass(frozen=True)
class Record:
    """The network, link, control groups and programs of a cluster, and where it is; `complete` once it was wholly up."""

    home: str
    network: str
    link: str
    groups: tuple[str, ...]
    tools: Mapping[str, str] = field(default_factory=dict)
    complete: bool = False

    @property
    def addresses(self) -> Addresses:
        """The cluster's addresses."""
        return Addresses(IPv4Network(self.network))

    @property
    def group(self) -> str:
        """The name that all control groups have."""
        return Path(self.groups[0]).name

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
        return Record(
            home=str(content.get("home", home.path)),
            network=content["network"],
            link=str(content.get("link", _FORMER_LINK)),
            groups=groups,
            tools=dict(content["tools"]),
            complete=bool(content["complete"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WrongInputError(
            "the record of the local cluster cannot be read",
            details=f"{home.record}: {error}",
            resolution=f"End the process that {home.keeper.name} names, remove the link {home.link} and that folder.",
        ) from error


def write_record(home: Home, record: Record) -> None:
    """Write the record, whole or not at all."""
    write_json(home.record, {"schema": _SCHEMA, **asdict(record)})
