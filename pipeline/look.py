# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Looks at an environment: its objects, figures and pin, as one sight. Changes nothing, decides nothing.

Of Secrets and ConfigMaps only names are asked for, except an upgrade's own journal: whoever looks needs no right to read them.
"""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeline.api import Api, Object
from pipeline.manifests.objects import COMPONENT, MANAGED_BY, MANAGER, NAME
from pipeline.manifests.site import services_of
from pipeline.measurements import Measurements, Use, nothing, read_measurements, read_uses
from pipeline.rollout.journal import Follower
from pipeline.rollout.standing import Standing, standing
from pipeline.sight import WATCHED, Expected, Sight, digest_of, expected_of, labels_of
from pipeline.target import open_target
from releases import records
from releases.channel import Channels
from releases.keyring import Place
from releases.opening import open_environments, open_releases, state_of
from releases.records import MOVES, Chain
from releases.verify import Release, read, verify
from stackway import clock
from stackway.commands import Session
from stackway.errors import StackwayError

PROBER = frozenset({"prober", "probe"})
_PARALLEL = 8


@dataclass(frozen=True)
class View:
    """An environment with its cluster and what is pinned there; `trouble` says why nothing of a pin is known."""

    place: Place
    api: Api
    chain: Chain
    release: Release | None
    trouble: str
    follower: Follower

    @property
    def namespace(self) -> str:
        """Where it runs."""
        return self.place.spec.cluster.namespace

    @cached_property
    def expected(self) -> Expected | None:
        """What should run."""
        if self.release is None:
            return None
        content, spec = self.release.content, self.place.spec
        return expected_of(content, spec, services_of(content, spec), {})

    @cached_property
    def others(self) -> Mapping[str, str]:
        """Images of the releases that were pinned here before: digest → version; one that is gone is left out."""
        found: dict[str, str] = {}
        for entry in self.chain.entries:
            pin = entry.record.pin
            if pin and self.release and entry.record.kind in MOVES and pin.digest != self.release.digest:
                try:
                    content = read(self.release.store, pin.digest)
                except StackwayError:
                    continue
                found |= {image.manifest.digest: pin.version for image in content.images}
        return found


def open_view(session: Session, name: str) -> View:
    """Return an environment to look at. Raises WrongInputError or UnavailableError when there is no way to its cluster."""
    place = open_environments(session).read(name)
    api = open_target(session, place.spec).api
    chain, trouble = Chain(name), ""
    release = None
    try:
        channels = Channels(open_releases(session, place), state_of(session))
        chain = channels.read(place)
        records.check_fresh(chain, clock.now())
        if chain.pin:
            release = verify(channels.store, chain.pin.digest, place.keyring, every_byte=False)
        else:
            trouble = f"no release is pinned; `release promote VERSION {name}` pins one"
    except StackwayError as error:
        trouble = f"{error.brief}: {error.details.splitlines()[0] if error.details else error.resolution}"
    return View(place, api, chain, release, trouble, Follower(api, place.spec.cluster.namespace))


def objects_now(view: View) -> dict[str, dict[str, Object]]:
    """Return the objects of an environment by kind and name."""
    with ThreadPoolExecutor(_PARALLEL) as pool:
        found = pool.map(lambda kind: view.api.list(kind, view.namespace)[0], WATCHED)
        return {kind: _by_name(items) for kind, items in zip(WATCHED, found, strict=True)}


def _by_name(items: list[Object]) -> dict[str, Object]:
    return {str(item["metadata"]["name"]): item for item in items}


def sight_of(view: View, objects: Mapping[str, Mapping[str, Object]], silence: str = "") -> Sight:
    """Return what is seen of an environment whose `objects` are known, with the figures of this moment."""
    with ThreadPoolExecutor(_PARALLEL) as pool:
        namespace = pool.submit(_namespace, view)
        measured = pool.submit(_measured, view, objects)
        uses = pool.submit(_uses, view)
        rollout = pool.submit(_rollout, view)
        names = {kind: pool.submit(_names, view, kind) for kind in ("ConfigMap", "Secret")}
        known = {kind: found for kind, answer in names.items() if (found := answer.result()) is not None}
    spec = view.place.spec
    return Sight(
        spec.name,
        view.namespace,
        clock.now(),
        {**objects, **namespace.result()},
        _expected(view, objects),
        view.trouble,
        silence,
        measured.result(),
        uses.result(),
        known,
        rollout.result(),
    )


def _expected(view: View, objects: Mapping[str, Mapping[str, Object]]) -> Expected | None:
    """Return what should run; only where something else does, releases that were pinned before are looked through."""
    expected = view.expected
    if expected is None or _digests(objects) <= set(expected.images.values()):
        return expected
    return Expected(expected.version, expected.images, expected.processes, view.others)


def _digests(objects: Mapping[str, Mapping[str, Object]]) -> set[str]:
    found = set()
    for kind in ("Deployment", "StatefulSet"):
        for item in objects.get(kind, {}).values():
            found |= {digest_of(one["image"]) for one in item["spec"]["template"]["spec"]["containers"]}
    return found


def _namespace(view: View) -> dict[str, dict[str, Object]]:
    """Return the namespace by kind and name; no such kind where it cannot be read, for that is not to be without it."""
    try:
        found = view.api.get("Namespace", view.namespace)
    except StackwayError:
        return {}
    return {"Namespace": {view.namespace: found} if found else {}}


def _rollout(view: View) -> Standing | None:
    """Return where the last upgrade stands; whoever may not read its journal does without."""
    try:
        book = view.follower.latest()
    except StackwayError:
        return None
    return standing(book.number, book.plan, book.lines) if book else None


def _names(view: View, kind: str) -> frozenset[str] | None:
    try:
        return view.api.names(kind, view.namespace, f"{MANAGED_BY}={MANAGER}")
    except StackwayError:
        return None


def _uses(view: View) -> dict[str, Use]:
    try:
        return read_uses(view.api.read(f"/apis/metrics.k8s.io/v1beta1/namespaces/{view.namespace}/pods")["items"])
    except (StackwayError, KeyError):
        return {}


def _measured(view: View, objects: Mapping[str, Mapping[str, Object]]) -> Measurements:
    service = next((item for item in objects.get("Service", {}).values() if is_prober(item)), None)
    if service is None:
        return nothing("there is no prober")
    name, ports = service["metadata"]["name"], service["spec"].get("ports") or [{"port": 80}]
    path = f"/api/v1/namespaces/{view.namespace}/services/{name}:{ports[0]['port']}/proxy/status"
    try:
        return read_measurements(view.api.read(path), clock.now())
    except (StackwayError, json.JSONDecodeError) as error:
        return nothing(f"the prober does not answer: {' '.join(_words(error))}"[:300])


def _words(error: Exception) -> Iterator[str]:
    """Yield what an error says, its details on one line."""
    details: Any = getattr(error, "details", "")
    yield f"{error}."
    yield from str(details).split()


def is_prober(item: Object) -> bool:
    """Tell whether an object is of the prober."""
    own = labels_of(item)
    return bool({own.get(NAME, ""), own.get(COMPONENT, "")} & PROBER)
