# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The commands that lead into an environment: `release client` and `release kubeconfig`. Arguments in, results out."""

import argparse
import json
import sys
from pathlib import Path

from stackway.commands import Command, Session
from stackway.errors import ExitCode, FailedError, WrongInputError

_SECONDS = 300


def _configure_client(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", help="the environment")
    parser.add_argument(
        "words", nargs="+", metavar="WORD", help="what the openstack client is told; write `--` before it"
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=int,
        default=_SECONDS,
        help=f"give up after this time (default: {_SECONDS})",
    )
    parser.add_argument(
        "--input", metavar="FILE", help="what the client reads; `-` is standard input (default: nothing)"
    )
    parser.add_argument("--out", metavar="FILE", help="write there, byte by byte, what the client writes")


def _client(session: Session) -> ExitCode:
    from pipeline.client import run_client, site_of
    from pipeline.deploy_cli import pinned
    from pipeline.target import open_target
    from stackway.files import write_atomic

    arguments = session.arguments
    environment, release = pinned(session, arguments.environment)
    site = site_of(release.content, environment)
    given = read_input(arguments.input)
    ended = run_client(open_target(session, environment).api, site, arguments.words, arguments.timeout, given)
    if ended.code:
        raise FailedError(
            f"the openstack client ended with exit code {ended.code}",
            details=(ended.errors or ended.output).strip()[-2000:],
            resolution="It says what is wrong; `release status` says whether all services answer.",
        )
    if ended.errors.strip():
        session.reporter.say(ended.errors.strip())
    if arguments.out:
        write_atomic(Path(arguments.out), ended.content)
        session.show(
            {"file": arguments.out, "bytes": len(ended.content)}, f"{len(ended.content)} bytes: {arguments.out}"
        )
        return ExitCode.DONE
    if ended.output.encode() != ended.content:
        raise WrongInputError(
            "what the openstack client has written is no text",
            details=f"{len(ended.content)} bytes",
            resolution="Give --out FILE: it keeps them as they are.",
        )
    session.show(_value(ended.output), ended.output)
    return ExitCode.DONE


def read_input(name: str | None) -> bytes:
    """Return what the client is to read. Raises WrongInputError when it cannot be read here."""
    if name is None:
        return b""
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise WrongInputError(
            f"{name} cannot be read: {error.strerror}", resolution="Name a file to --input."
        ) from error


def _value(output: str) -> object:
    """Return output as data when it is JSON, else as text."""
    try:
        found: object = json.loads(output)
    except ValueError:
        return output
    return found


def _configure_kubeconfig(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", help="the environment")
    parser.add_argument("--out", metavar="FILE", help="write a kubeconfig of its own there, that only you can read")


def _kubeconfig(session: Session) -> ExitCode:
    from pipeline.kubeconfig import files_of, kubeconfig_text
    from pipeline.target import open_target
    from releases.opening import open_environments
    from stackway.files import write_atomic

    spec = open_environments(session).read(session.arguments.environment).spec
    target = open_target(session, spec)
    if session.arguments.out:
        path = Path(session.arguments.out).absolute()
        write_atomic(path, kubeconfig_text(target, spec).encode(), mode=0o600)
        session.show({"kubeconfig": str(path), "namespace": spec.cluster.namespace}, f"export KUBECONFIG={path}")
        return ExitCode.DONE
    paths = [str(path) for path in files_of(target)]
    context = [f"--context={spec.cluster.context}"] if spec.cluster.context else []
    words = ["kubectl", *context, f"--namespace={spec.cluster.namespace}"]
    value = {"kubeconfig": paths, "context": spec.cluster.context, "namespace": spec.cluster.namespace}
    session.show(value, f"export KUBECONFIG={':'.join(paths)}\n{' '.join(words)} get pods")
    return ExitCode.DONE


CLIENT = Command(
    "client", "run the openstack client inside an environment, as its administrator", _client, _configure_client
)
KUBECONFIG = Command("kubeconfig", "say how kubectl reaches an environment", _kubeconfig, _configure_kubeconfig)
