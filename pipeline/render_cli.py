# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The command `release render`: an environment's objects as YAML files. Arguments in, results out."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from stackway.commands import Command, Session
from stackway.errors import ExitCode, StackwayError, WrongInputError

if TYPE_CHECKING:
    from pipeline.api import Api, Object
    from pipeline.manifests.credentials import Credentials
    from pipeline.manifests.site import Site
    from pipeline.outbox import Written
    from pipeline.sheets import Secrecy, Sheets
    from releases.environment import Environment
    from releases.verify import Release


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", help="the environment")
    parser.add_argument("--out", metavar="DIR", help="write a file for each object there; left out: to standard output")
    parser.add_argument("--release", metavar="VERSION", help="version or digest; left out: what is pinned")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--placeholders", action="store_true", help="ask no cluster: Secrets say where their values come from"
    )
    choice.add_argument("--with-secrets", action="store_true", help="write Secrets with their real values (with --out)")


def _render(session: Session) -> ExitCode:
    from pipeline.manifests.render import render
    from pipeline.sheets import sheets

    arguments = session.arguments
    if arguments.with_secrets and not arguments.out:
        raise WrongInputError(
            "secrets are not written to standard output",
            resolution="Name a folder that only you can read with --out DIR.",
        )
    environment, release = _what(session)
    site, secrecy, keys = _site(session, environment, release)
    found = sheets(render(site), secrecy, keys)
    if arguments.out:
        _write(session, site, secrecy, found)
    else:
        texts = [sheet.text for sheet in found.sheets]
        session.show({sheet.path: sheet.text for sheet in found.sheets}, "---\n".join(texts))
    return ExitCode.DONE


def _what(session: Session) -> "tuple[Environment, Release]":
    """Return environment and release, verified by the environment's keys. Raises what verifying raises."""
    from pipeline.deploy_cli import pinned
    from releases.opening import open_environments, open_releases
    from releases.verify import verify

    name, reference = session.arguments.environment, session.arguments.release
    if not reference:
        return pinned(session, name)
    place = open_environments(session).read(name)
    return place.spec, verify(open_releases(session, place), reference, place.keyring, every_byte=False)


def _site(session: Session, environment: "Environment", release: "Release") -> "tuple[Site, Secrecy, list[Object]]":
    """Return the release in its environment, what to write of Secrets, and the keys that the cluster holds."""
    from pipeline.manifests.credentials import names
    from pipeline.manifests.site import Site, services_of
    from pipeline.sheets import Secrecy, placeholders

    services = services_of(release.content, environment)
    wanted = names(services.values())
    api, known = (None, None) if session.arguments.placeholders else _known(session, environment, wanted)
    if api is None or known is None:
        site = Site(release.content, environment, placeholders(wanted), services)
        return site, Secrecy.PLACEHOLDERS, _keys(None, site)
    site = Site(release.content, environment, known, services)
    return site, Secrecy.VALUES if session.arguments.with_secrets else Secrecy.LEFT_OUT, _keys(api, site)


def _known(
    session: Session, environment: "Environment", wanted: list[str]
) -> "tuple[Api, Credentials] | tuple[None, None]":
    """Return the cluster and the credentials that it holds, nothing where there are none.

    Raises what is in the way when values were asked for.
    """
    import base64

    from pipeline.manifests.credentials import Credentials
    from pipeline.manifests.jobs import CREDENTIALS
    from pipeline.target import open_target

    namespace = environment.cluster.namespace
    try:
        api = open_target(session, environment).api
        item = api.get("Secret", CREDENTIALS, namespace) or {}
        found = {key: base64.b64decode(value).decode() for key, value in (item.get("data") or {}).items()}
        if missing := sorted(set(wanted) - found.keys()):
            raise WrongInputError(
                f"the cluster has no credentials for {environment.name} yet",
                details=f"Secret {CREDENTIALS} in {namespace} lacks {', '.join(missing[:5])}",
                resolution=f"`release deploy {environment.name}` draws them.",
            )
    except StackwayError as error:
        if session.arguments.with_secrets:
            raise
        session.reporter.warn(f"{error.brief}: Secrets get placeholders")
        return None, None
    return api, Credentials(found)


def _keys(api: "Api | None", site: "Site") -> "list[Object]":
    """Return the Secrets of keys that were drawn once, with what they hold where there is a cluster to ask."""
    from pipeline.manifests import infrastructure

    found = []
    for service in site.services.values():
        for name, volume in service.volumes.items():
            if volume.source == "secret" and volume.shared:
                item = infrastructure.keys(service.name, name, {})
                item["metadata"]["namespace"] = site.namespace
                there = api.get("Secret", item["metadata"]["name"], site.namespace) if api else None
                found.append({**item, "data": (there or {}).get("data") or {}})
    return found


def _write(session: Session, site: "Site", secrecy: "Secrecy", found: "Sheets") -> None:
    from pipeline import outbox
    from pipeline.sheets import README, Secrecy, Sheet, readme

    folder = Path(session.arguments.out)
    name, version = site.environment.name, str(site.content.version)
    told = Sheet(README, readme(name, version, secrecy, found.left_out))
    done = outbox.write(folder, (told, *found.sheets))
    if secrecy is Secrecy.VALUES:
        session.reporter.warn(
            f"{folder} holds real secrets: do not commit it, and remove it when it is not needed any more"
        )
    for path in done.kept:
        session.reporter.warn(f"{folder / path}: kept, for somebody has changed it; it is no part of this release")
    value = {
        "environment": name,
        "release": version,
        "folder": str(folder),
        "secrets": str(secrecy),
        "leftOut": list(found.left_out),
        **_paths(done),
    }
    count = f"{len(found.sheets)} objects in {folder}: {len(done.written)} files written, {len(done.removed)} removed"
    session.show(value, f"{name}, release {version}: {count}; Secrets: {secrecy}")


def _paths(done: "Written") -> dict[str, list[str]]:
    return {name: list(getattr(done, name)) for name in ("written", "same", "removed", "kept")}


RENDER = Command(
    "render", "write an environment's Kubernetes objects as YAML files, for GitOps or to look at", _render, _configure
)
