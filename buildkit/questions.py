# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What each lock is asked for, read off the specs. Pure. A lock whose question has changed is out of date."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from buildkit.locks import input_digest, normal_name
from buildkit.models import Base, Override, Series, Service
from stackway.documents import Document
from stackway.errors import Problem

_SOON = timedelta(days=30)


@dataclass(frozen=True)
class SystemQuestion:
    """Debian packages asked of a suite, beyond the stages below."""

    suite: str
    packages: tuple[str, ...]
    below: tuple[str, ...]

    @property
    def header(self) -> dict[str, str]:
        """The lock's header lines."""
        asked = {"suite": self.suite, "packages": self.packages, "below": self.below}
        return {
            "suite": self.suite,
            "asked": " ".join(self.packages) or "the essential packages",
            "input": input_digest(asked),
        }


@dataclass(frozen=True)
class PythonQuestion:
    """Distributions asked of the index: name → version, where an empty version leaves it to the constraints."""

    requirements: Mapping[str, str]
    pinned: Mapping[str, str]
    constraints: str
    python: str
    platform: str

    @property
    def header(self) -> dict[str, str]:
        """The lock's header lines."""
        asked = {
            "requirements": dict(self.requirements),
            "pinned": dict(self.pinned),
            "constraints": self.constraints,
            "python": self.python,
            "platform": self.platform,
        }
        target = f"CPython {self.python}, {self.platform}"
        return {"target": target, "constraints": self.constraints, "input": input_digest(asked)}


def os_question(base: Base) -> SystemQuestion:
    """Return what a base's root file system is made of."""
    return SystemQuestion(base.suite, base.operating_system, ())


def interpreter_question(base: Base) -> SystemQuestion:
    """Return what a base's Python stage adds."""
    return SystemQuestion(base.suite, (*base.operating_system, *base.interpreter), ("os",))


def backends_question(base: Base) -> PythonQuestion:
    """Return what builds, in a base's builder, the distributions that have no wheel."""
    return PythonQuestion(dict(base.backends), dict(base.backends), "", base.python, base.platform)


def system_question(service: Service, base: Base) -> SystemQuestion:
    """Return what an image adds to its base by Debian packages."""
    if service.layout == "python":
        below: tuple[str, ...] = ("os", "interpreter")
        packages = (*base.operating_system, *base.interpreter, *service.packages.system)
    else:
        below, packages = ("os",), (*base.operating_system, *service.packages.system)
    return SystemQuestion(base.suite, packages, below)


def python_question(service: Service, series: Series, base: Base) -> PythonQuestion:
    """Return what an image's Python environment is made of."""
    pinned = {normal_name(name): item.version for name, item in overrides(service, series).items()}
    if service.distribution:
        pinned[normal_name(service.distribution)] = service.version
    names = {normal_name(name) for name in (*series.packages, *service.packages.python)}
    requirements = {name: pinned.get(name, "") for name in sorted(names)}
    return PythonQuestion(requirements, pinned, series.constraints.digest, base.python, base.platform)


def overrides(service: Service, series: Series) -> dict[str, Override]:
    """Return the overrides that hold for an image; its own win over its series'."""
    return {**series.overrides, **service.overrides}


def expiring(given: Mapping[str, Override], document: Document, today: date) -> list[Problem]:
    """Return a problem for each override that still holds but not for long."""
    return [
        Problem(f"the override of {name} expires on {item.expires}", document.place(("overrides", name, "expires")))
        for name, item in given.items()
        if timedelta(0) < item.expires - today <= _SOON
    ]


def expired(given: Mapping[str, Override], document: Document, today: date) -> list[Problem]:
    """Return a problem for each override whose day has come: from that day on (UTC) it no longer holds."""
    return [
        Problem(
            f"the override of {name} expired on {item.expires} ({item.reason})",
            document.place(("overrides", name, "expires")),
            f"{item.owner} decides: remove the override, or give it another day and say why.",
        )
        for name, item in given.items()
        if item.expires <= today
    ]
