# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The way to one repository of a registry: its addresses, its questions, and what to say of wrong content."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from buildkit.complaints import Question, WrongContentError
from buildkit.transport import Transport
from stackway.console import printable

if TYPE_CHECKING:
    import requests

TAMPERED = "Do not use it. Ask who runs the registry; what lies between here and there may have changed it."


@dataclass(frozen=True)
class Access:
    """One repository by its registry's name, its own name, and the way there."""

    host: str
    name: str
    transport: Transport

    def __str__(self) -> str:
        return f"{self.host}/{self.name}"

    def ask(self, question: Question, *expect: int) -> "requests.Response":
        """Return the answer, its body unread. Raises what `Transport.ask` raises."""
        return self.transport.ask(question, self.name, *expect)

    def url(self, kind: str, what: str) -> str:
        """Return the address of something in the repository."""
        return f"/v2/{self.name}/{kind}/{what}"

    def follow(self, answer: "requests.Response", target: str) -> str:
        """Return the address that an answer points to. Raises RegistryError for what is none, UntrustedRegistryError."""
        return self.transport.resolve(answer.url, target)

    def check_said(self, answer: "requests.Response", digest: str) -> None:
        """Raise WrongContentError when the registry says that it stored something else than `digest`."""
        said = answer.headers.get("Docker-Content-Digest") or digest
        if said != digest:
            raise self.wrong(digest, f"it stored {said}")

    def wrong(self, what: str, got: str) -> WrongContentError:
        """Return the error for an answer that is not what was asked for."""
        return WrongContentError(
            "the registry does not have what was asked for",
            details=printable(f"{self}: {what}\ngot: {got}"),
            resolution=TAMPERED,
        )
