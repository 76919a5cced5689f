# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The commands `release build` and `release store`: arguments in, results out. What they do is in `buildkit.build`."""

import argparse
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stackway.commands import Command, Group, Session
from stackway.console import Table
from stackway.errors import ExitCode, FailedError

if TYPE_CHECKING:
    from buildkit.build import BuildReport
    from buildkit.checkout import Checkout
    from buildkit.models import Service
    from buildkit.prepare import PreparedBuild


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Declare how images are named."""
    parser.add_argument("images", nargs="*", metavar="IMAGE", help="`keystone`, `keystone:2026.1`; none means all")
    parser.add_argument("--series", metavar="SERIES", help="only this OpenStack release, with its infrastructure")


def open_checkout(session: Session) -> "Checkout":
    """Return the session's checkout with its specs read."""
    from buildkit.catalog import load_catalog
    from buildkit.checkout import Checkout

    with _kept():
        catalog = load_catalog(session.root, session.settings.overlay.value)
    return Checkout(catalog, session.settings, session.reporter)


@contextmanager
def _kept() -> Iterator[None]:
    """Spare the collector what is made inside: it stays until the program ends, and looking through it takes its time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def select(session: Session, checkout: "Checkout") -> "list[Service]":
    """Return the images that the command line names."""
    return checkout.catalog.select(session.arguments.images, session.arguments.series)


def _configure_build(parser: argparse.ArgumentParser) -> None:
    add_selection(parser)
    parser.add_argument("--dry-run", action="store_true", help="show the plan and why, and stop")
    parser.add_argument(
        "--exit-code", action="store_true", help="with --dry-run: end with 3 when something would be built"
    )
    parser.add_argument("--no-cache", action="store_true", help="build every image anew, without the builder's cache")
    parser.add_argument(
        "--builder", metavar="WAY", help="auto, own, docker, buildx:NAME, remote:ADDRESS, kubernetes:NAMESPACE"
    )
    parser.add_argument(
        "--wait", metavar="SECONDS", type=float, default=0.0, help="seconds to wait for another build of this store"
    )
    parser.add_argument(
        "--load",
        choices=("docker", "containerd"),
        help="afterwards, put the images into this engine (containerd: into CONTAINERD_NAMESPACE)",
    )
    parser.add_argument("--push", metavar="PREFIX", help="afterwards, push the images: PREFIX/keystone:2026.1")


def _build(session: Session) -> ExitCode:
    from buildkit import build
    from buildkit.prepare import prepare

    checkout = open_checkout(session)
    services = select(session, checkout)
    force = "asked to build it anew (--no-cache)" if session.arguments.no_cache else ""
    prepared = prepare(checkout, services, force=force)
    if session.arguments.dry_run:
        session.show(prepared.plan.to_dict(), prepared.plan.to_table())
        pending = session.arguments.exit_code and prepared.plan.builds
        return ExitCode.CHANGES_PENDING if pending else ExitCode.DONE
    report = _apply(session, checkout, prepared)
    session.show(report.to_dict(), report.to_table(), summary(report))
    build.raise_failures(report)
    deliver(session, checkout, services)
    return ExitCode.DONE


def _apply(session: Session, checkout: "Checkout", prepared: "PreparedBuild") -> "BuildReport":
    from buildkit import build

    for action in prepared.plan.builds:
        session.reporter.say(f"{action.image}: to be built: {action.reason}")
    return build.apply(checkout, prepared, cached=not session.arguments.no_cache, wait=session.arguments.wait)


def summary(report: "BuildReport") -> str:
    """Return the closing line of a build."""
    counts = {
        status: sum(result.status == status for result in report.results) for status in ("built", "kept", "failed")
    }
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    return f"{told or 'nothing to do'} in {report.seconds:.1f} s; {report.unique_size / 1e6:.1f} MB in all, shared layers once"


def deliver(session: Session, checkout: "Checkout", services: "list[Service]") -> None:
    """Put the images where the command line asks for them."""
    stored = checkout.store.images()
    images = [stored[service.image] for service in services]
    if session.arguments.load == "docker":
        from buildkit.load import load_docker

        load_docker(checkout.store, images, session.reporter)
    elif session.arguments.load == "containerd":
        from functools import partial

        from buildkit.load import checked_chunks, load_containerd

        load_containerd(images, partial(checked_chunks, checkout.store), session.reporter)
    if session.arguments.push:
        from buildkit.push import push

        report = push(checkout.store, images, session.arguments.push, session.reporter)
        if not session.wants_json:
            session.show(report.to_dict(), report.to_table())


def _list(session: Session) -> ExitCode:
    from buildkit.store import unique_size

    images = sorted(open_checkout(session).store.images().values(), key=lambda image: image.name)
    rows = [
        (image.name, image.manifest.digest, f"{image.size / 1e6:.1f} MB", str(len(image.layers))) for image in images
    ]
    value = [
        {"image": item.name, "digest": item.manifest.digest, "size": item.size, "layers": len(item.layers)}
        for item in images
    ]
    table = Table(("IMAGE", "DIGEST", "SIZE", "LAYERS"), rows, right=("SIZE", "LAYERS"))
    session.show(value, table, f"{len(images)} images, {unique_size(images) / 1e6:.1f} MB, shared layers once")
    return ExitCode.DONE


def _verify(session: Session) -> ExitCode:
    store = open_checkout(session).store
    results = {name: store.check(image, full=True) for name, image in sorted(store.images().items())}
    rows = [(name, "; ".join(wrong) or "every byte is right") for name, wrong in results.items()]
    session.show(results, Table(("IMAGE", "RESULT"), rows))
    if any(results.values()):
        details = "\n".join(f"{name}: {'; '.join(wrong)}" for name, wrong in results.items() if wrong)
        resolution = "`release build` builds what is damaged anew."
        raise FailedError("the store is damaged", details=details, resolution=resolution)
    return ExitCode.DONE


def _collect(session: Session) -> ExitCode:
    checkout = open_checkout(session)
    with checkout.store.exclusive():
        known = {service.spec.image for service in checkout.catalog.services.values()}
        gone = [name for name in checkout.store.images() if name not in known]
        checkout.store.forget(gone)
        checkout.workspace.clear()
        count, size = checkout.store.collect()
    value = {"forgotten": gone, "blobs": count, "bytes": size}
    session.show(value, f"{len(gone)} images forgotten, {count} blobs removed, {size / 1e6:.1f} MB freed")
    return ExitCode.DONE


def _reproduce(session: Session) -> ExitCode:
    from buildkit.reproduce import reproduce

    checkout = open_checkout(session)
    results = reproduce(checkout, select(session, checkout))
    rows = [(item.image, item.first[:19], item.second[:19], item.difference or "equal") for item in results]
    session.show([vars(item) for item in results], Table(("IMAGE", "FIRST", "SECOND", "RESULT"), rows))
    different = [f"{item.image}: {item.difference}" for item in results if item.difference]
    if different:
        raise FailedError(
            f"{len(different)} of {len(results)} images are not reproducible", details="\n".join(different)
        )
    return ExitCode.DONE


def _configure_reproduce(parser: argparse.ArgumentParser) -> None:
    add_selection(parser)
    parser.add_argument("--builder", metavar="WAY", help="as for `release build`")


REPRODUCE = Command(
    "reproduce",
    "build images twice from nothing, in different circumstances, and compare",
    _reproduce,
    _configure_reproduce,
)
BUILD = Command("build", "build images from their specs; what has not changed is kept", _build, _configure_build)
STORE = Group(
    "store",
    "look at the store of images",
    (
        Command("list", "name the images with digest and size", _list),
        Command("verify", "hash every byte of every image", _verify),
        Command("gc", "remove what no spec and no image needs", _collect),
    ),
)
