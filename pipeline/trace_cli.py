# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The command `release trace`: from a pod back to who let it run, and to the lines it was made from."""

import argparse
from typing import TYPE_CHECKING

from stackway.commands import Command, Session
from stackway.errors import ExitCode, StackwayError, UnavailableError, WrongInputError

if TYPE_CHECKING:
    from pipeline.look import View
    from pipeline.sources import Sources
    from releases.release import ReleaseContent


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what", metavar="POD", help="a pod, a Deployment or StatefulSet, or the digest of an image that runs"
    )
    parser.add_argument("--env", metavar="ENV", help="where it runs; left out: looked for in all environments")
    parser.add_argument("-n", "--namespace", metavar="NAMESPACE", help="or the namespace of an environment")


def _trace(session: Session) -> ExitCode:
    from pipeline.lineage import trace
    from pipeline.tracing import objects_of, origin_of, refuse, subject_of
    from releases.opening import open_releases

    views, looked = _views(session), []
    for view in views:
        looked.append(objects_of(view.api, view.namespace))
        subject = subject_of(view.api, view.namespace, looked[-1], session.arguments.what)
        if subject is not None:
            origin = origin_of(view, open_releases(session, view.place), subject.digest)
            sources = _sources(session, origin.content) if origin.content else None
            node = trace(subject, origin, sources)
            session.show(node.to_dict(), "\n".join(node.lines()))
            return ExitCode.DONE if node.is_sound else ExitCode.FAILED
    raise refuse(session.arguments.what, views, looked)


def _views(session: Session) -> "list[View]":
    """Return the environments to look in. Raises WrongInputError or UnavailableError when there is none."""
    from pipeline.look import open_view
    from releases.opening import open_environments

    arguments, environments = session.arguments, open_environments(session)
    if arguments.env:
        return [open_view(session, arguments.env)]
    views, namespaces = [], set()
    for name in environments.names():
        try:
            namespace = environments.read(name).spec.cluster.namespace
            namespaces.add(namespace)
            if arguments.namespace in (None, namespace):
                views.append(open_view(session, name))
        except StackwayError as error:
            session.reporter.warn(f"{name}: {error.brief}")
    if arguments.namespace and arguments.namespace not in namespaces:
        raise WrongInputError(
            f"no environment has the namespace {arguments.namespace!r}",
            details=f"there are: {', '.join(sorted(namespaces)) or 'none'}",
            resolution="Name the environment with --env.",
        )
    if not views:
        raise UnavailableError(
            "no environment can be looked at",
            resolution="`release cluster up` starts a cluster; `release env check` more.",
        )
    return views


def _sources(session: Session, content: "ReleaseContent") -> "Sources | None":
    """Return this checkout's lines; where it has none it is told why, and the way ends before."""
    from buildkit.cli import open_checkout
    from pipeline.tracing import sources_of

    try:
        return sources_of(open_checkout(session), content)
    except StackwayError as error:
        session.reporter.warn(f"{error.brief}; lines of specs are left out")
        return None


TRACE = Command(
    "trace", "lead a running pod back to its release, who let it run, and the lines of its spec", _trace, _configure
)
