# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The commands that show who moved what on which grounds, and decide it all again."""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stackway.commands import Command, Session
from stackway.errors import ExitCode, FailedError, StackwayError

if TYPE_CHECKING:
    from releases.desk import Desk
    from releases.facts import Candidate
    from releases.release import ReleaseContent


_SHOWN = 20


def _configure_history(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", help="whose records")
    parser.add_argument("--all", action="store_true", help=f"not only the last {_SHOWN}")
    parser.add_argument("--page", metavar="FILE", help="write it as an HTML page too")


def _history(session: Session) -> ExitCode:
    from releases.desk import open_desk, row_of
    from releases.history import history_table
    from releases.page import history_page
    from stackway.files import write_atomic

    desk = open_desk(session, session.arguments.environment, any_head=True, fresh=False)
    entries = desk.chain.entries
    shown = entries if session.arguments.all else entries[-_SHOWN:]
    if session.arguments.page:
        write_atomic(Path(session.arguments.page), history_page(desk.chain).encode())
    value = [{**row_of(item.record), "digest": item.digest, "note": item.note} for item in shown]
    newest = desk.chain.governing()
    told = f"{len(entries)} records" + (f", good until {newest.record.expires}" if newest else "")
    session.show(value, history_table(shown), told)
    return ExitCode.DONE


def _configure_evidence(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environments", nargs="*", metavar="ENV", help="whose records; none means all")


def _evidence(session: Session) -> ExitCode:
    from releases import audit
    from releases.desk import open_desk
    from releases.opening import open_environments

    known = open_environments(session).names()
    desks = {name: open_desk(session, name, any_head=True, fresh=False) for name in known}
    chains = {name: desk.chain for name, desk in desks.items()}
    audits = []
    for name in session.arguments.environments or known:
        if name not in desks:
            open_environments(session).read(name)
        here = desks[name]
        audits.append(audit.audit(chains[name], chains, partial(_images, here), partial(_candidate, here)))
    told = [f"{item.environment}\n{item.to_table().to_text()}" for item in audits if item.findings]
    count = sum(len(item.findings) for item in audits)
    session.show([item.to_dict() for item in audits], *told, f"{count} records decided again")
    if bad := [item for item in audits if not item.is_good]:
        raise FailedError(
            "there are records that nothing bears out",
            details="\n".join(
                f"{item.environment} {row.version}: {'; '.join(row.problems)}"
                for item in bad
                for row in item.findings
                if row.problems
            ),
            resolution="Ask those who signed them; `release history ENV` shows all.",
        )
    return ExitCode.DONE


def _images(desk: "Desk", digest: str) -> dict[str, str] | None:
    content = _release(desk, digest)
    return {image.name: image.manifest.digest for image in content.images} if content else None


def _candidate(desk: "Desk", digest: str) -> "Candidate | None":
    from releases.promotion import candidate_of

    content = _release(desk, digest)
    return candidate_of(content) if content else None


def _release(desk: "Desk", digest: str) -> "ReleaseContent | None":
    """Return a release that is at hand. Its digest names its content, so nobody has to vouch for it here."""
    from releases.verify import read

    try:
        return read(desk.channels.store, digest)
    except StackwayError:
        return None


HISTORY = Command("history", "show who moved what, when and why", _history, _configure_history)
EVIDENCE = Command(
    "verify-evidence", "decide every promotion again, from the records alone", _evidence, _configure_evidence
)
