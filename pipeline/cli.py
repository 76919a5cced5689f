# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The root of the program `release`: mounts the commands of all packages. Imports nothing heavy: `--help` must be quick."""

import gc
import os
import sys

from buildkit.cli import BUILD, REPRODUCE, STORE
from buildkit.scan_cli import SCAN
from buildkit.spec_cli import SPEC
from pipeline.client_cli import CLIENT, KUBECONFIG
from pipeline.cluster_cli import CLUSTER
from pipeline.deploy_cli import DEPLOY
from pipeline.env_cli import DOWN as ENV_DOWN
from pipeline.env_cli import UP as ENV_UP
from pipeline.render_cli import RENDER
from pipeline.rollout_cli import FINALIZE, PAUSE, REPORT, RESUME
from pipeline.status_cli import STATUS
from pipeline.trace_cli import TRACE
from pipeline.up_cli import DOWN, UP
from pipeline.upgrade_cli import UPGRADE
from releases.carry_cli import EXPORT, IMPORT, PUSH
from releases.cli import BUNDLE, KEYGEN, SIGN, VERIFY
from releases.env_cli import ENV
from releases.history_cli import EVIDENCE, HISTORY
from releases.promote_cli import PROMOTE, ROLLBACK
from releases.record_cli import APPROVE, OBSERVE, RENEW
from releases.view_cli import DIFF, LIST, SHOW
from stackway import commands
from stackway.commands import Command, Group, Session
from stackway.errors import ExitCode

SUMMARY = (
    "Build, scan, sign and release the images of an OpenStack control plane, and upgrade it with automatic rollback."
)


def _doctor(session: Session) -> ExitCode:
    from pipeline.cluster.machine import lacking_rights
    from stackway.tools.doctor import doctor_report

    report = doctor_report(session.settings, lacking_rights())
    session.show(report.to_dict(), *(f"{title}\n{table.to_text()}" for title, table in report.tables()))
    return ExitCode.DONE if report.is_ready("build") else ExitCode.FAILED


DOCTOR = Command("doctor", "show what is here, what is missing, and what would be done about it", _doctor)
COMMANDS = (
    UP,
    DOWN,
    BUILD,
    SCAN,
    BUNDLE,
    SIGN,
    VERIFY,
    LIST,
    SHOW,
    DIFF,
    PROMOTE,
    APPROVE,
    OBSERVE,
    ROLLBACK,
    RENEW,
    HISTORY,
    EVIDENCE,
    PUSH,
    EXPORT,
    IMPORT,
    DEPLOY,
    UPGRADE,
    PAUSE,
    RESUME,
    FINALIZE,
    REPORT,
    STATUS,
    TRACE,
    RENDER,
    CLIENT,
    KUBECONFIG,
    CLUSTER,
    Group(ENV.name, ENV.summary, (*ENV.commands, ENV_UP, ENV_DOWN), ENV.standard),
    KEYGEN,
    SPEC,
    STORE,
    REPRODUCE,
    DOCTOR,
)


def main(words: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    # No plugin changes how specs are read, and looking for some costs a third of the start.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # A program of a second has little to collect, but much to look through: a tenth of `spec check` went there.
    gc.set_threshold(100_000, 20, 20)
    return commands.main(commands.build_parser("release", SUMMARY, COMMANDS), words)


if __name__ == "__main__":
    sys.exit(main())
