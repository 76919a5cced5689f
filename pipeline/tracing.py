# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Finds what `release trace` tells: the pod and what is around it, the release of its image, and this checkout's lines."""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from buildkit.checkout import Checkout
from buildkit.lockfiles import find
from buildkit.sources import load_templates
from pipeline.api import Api, Object
from pipeline.lineage import Origin, Subject
from pipeline.look import View
from pipeline.manifests.objects import MANAGED_BY, MANAGER
from pipeline.sight import digest_of, job_of, key_of, revision_of
from pipeline.sources import Sources
from releases import bundle
from releases.assemble import versions
from releases.records import MOVES
from releases.release import ReleaseContent
from releases.repository import ReleaseStore
from releases.verify import read, verify
from stackway.errors import StackwayError, WrongInputError
from stackway.spelling import nearest

_WORKLOADS = ("Deployment", "StatefulSet", "Job")
_KINDS = ("Pod", *_WORKLOADS, "Service")
_DIGEST = re.compile(r"(?:.*@)?(?:sha256:)?([0-9a-f]{12,64})\Z")

Objects = dict[str, list[Object]]


def objects_of(api: Api, namespace: str) -> Objects:
    """Return what a pod may be traced to, by kind."""
    with ThreadPoolExecutor(len(_KINDS)) as pool:
        found = pool.map(lambda kind: api.list(kind, namespace)[0], _KINDS)
        return dict(zip(_KINDS, found, strict=True))


def subject_of(api: Api, namespace: str, objects: Objects, word: str) -> Subject | None:
    """Return what a word means in a namespace: a pod, a workload, or an image by its digest; None for nothing there."""
    names = {kind: _names(api, namespace, kind) for kind in ("ConfigMap", "Secret")}
    known = {kind: found for kind, found in names.items() if found is not None}
    pod = _named(objects["Pod"], word)
    workload = (
        _workload_of(pod, objects)
        if pod
        else next((f for kind in _WORKLOADS if (f := _named(objects[kind], word))), None)
    )
    if pod is None and workload is None:
        return _by_digest(namespace, objects, word)
    spec = pod["spec"] if pod else (workload or {})["spec"]["template"]["spec"]
    key = key_of(pod or workload or {"metadata": {}})
    addresses = tuple(item for item in objects["Service"] if key_of(item) == key)
    return Subject(namespace, spec["containers"][0]["image"], *key, pod, workload, addresses, known)


def _named(items: Sequence[Object], name: str) -> Object | None:
    return next((item for item in items if item["metadata"]["name"] == name), None)


def _names(api: Api, namespace: str, kind: str) -> frozenset[str] | None:
    try:
        return api.names(kind, namespace, f"{MANAGED_BY}={MANAGER}")
    except StackwayError:
        return None


def _workload_of(pod: Object, objects: Objects) -> Object | None:
    """Return what has made a pod: the job that owns it, the set of its process, or the Deployment of its revision too."""
    if name := job_of(pod):
        return _named(objects["Job"], name)
    sets = [item for item in objects["StatefulSet"] if key_of(item) == key_of(pod) != ("", "")]
    own = [
        item for item in objects["Deployment"] if key_of(item) == key_of(pod) and revision_of(item) == revision_of(pod)
    ]
    return next(iter([*own, *sets]), None) if key_of(pod) != ("", "") else None


def _by_digest(namespace: str, objects: Objects, word: str) -> Subject | None:
    found = _DIGEST.match(word)
    if found is None:
        return None
    users: dict[str, str] = {}
    for kind in _WORKLOADS:
        for item in objects[kind]:
            image = item["spec"]["template"]["spec"]["containers"][0]["image"]
            if digest_of(image).removeprefix("sha256:").startswith(found[1]):
                users[f"{kind} {item['metadata']['name']}"] = image
    images = sorted(set(users.values()))
    is_one = len({digest_of(image) for image in images}) == 1
    return Subject(namespace, images[0], users=tuple(sorted(users))) if is_one else None


def refuse(word: str, views: Sequence[View], objects: Sequence[Objects]) -> WrongInputError:
    """Return the error for a word that means nothing anywhere."""
    known = sorted(
        {item["metadata"]["name"] for found in objects for kind in ("Pod", *_WORKLOADS) for item in found[kind]}
    )
    near = nearest(word, known)
    places = ", ".join(f"{view.place.spec.name} (namespace {view.namespace})" for view in views)
    return WrongInputError(
        f"nothing that runs is called {word!r}",
        details=f"looked in: {places or 'nothing'}",
        resolution=f"Did you mean {near!r}?"
        if near
        else "Name a pod, a Deployment, or the digest of an image that runs.",
    )


def origin_of(view: View, store: ReleaseStore, digest: str) -> Origin:
    """Return the release that an image is of: the pinned one if it has it, else the newest that was pinned, else any."""
    if view.release and digest in {image.manifest.digest for image in view.release.content.images}:
        return Origin(view.release.content, tuple(key.name for key in view.release.signers), "", view.chain)
    content = next((found for found in _candidates(view, store) if digest in _digests(found)), None)
    if content is None:
        return Origin(None, (), view.trouble, view.chain)
    try:
        release = verify(store, content.digest, view.place.keyring, every_byte=False)
    except StackwayError as error:
        return Origin(content, (), f"{error.brief} ({type(error).__name__})", view.chain)
    return Origin(release.content, tuple(key.name for key in release.signers), "", view.chain)


def _digests(content: ReleaseContent) -> set[str]:
    return {image.manifest.digest for image in content.images}


def _candidates(view: View, store: ReleaseStore) -> Iterator[ReleaseContent]:
    pins = [item.record.pin for item in reversed(view.chain.entries) if item.record.kind in MOVES]
    references = [pin.digest for pin in pins if pin]
    references += [str(version) for version in reversed(versions(store))]
    for reference in dict.fromkeys(references):
        try:
            yield read(store, reference)
        except StackwayError:
            continue


def sources_of(checkout: Checkout, content: ReleaseContent) -> Sources:
    """Return this checkout's lines, with the files that the release was made from as they are now."""
    catalog = checkout.catalog
    library = load_templates(catalog)
    texts, places = dict(library.texts), dict(library.places)
    constraints = content.data(bundle.SPECS)["series"]["constraints"]["file"]
    for path in (*content.data(bundle.LOCKS), f"constraints/{constraints}"):
        file = find(catalog, path)
        if file.is_file():
            texts[path] = file.read_text(encoding="utf-8")
            places[path] = file.relative_to(catalog.root).as_posix()
    return Sources(catalog, texts, places)
