# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Where an environment runs: the API of its cluster, and how the local cluster's node gets images. Decides nothing."""

from collections.abc import Iterable
from dataclasses import dataclass

from buildkit.load import load_containerd
from buildkit.store import Blob, StoredImage
from pipeline.api import Api, open_api
from pipeline.cluster.cluster import Cluster, open_cluster
from releases.environment import Environment
from releases.opening import state_of
from releases.release import ReleaseImage
from releases.verify import Release, image_blobs
from stackway.commands import Session
from stackway.console import Reporter


@dataclass(frozen=True)
class Target:
    """A cluster; `local` is the one that `release cluster` runs, None when a context of the user's is meant."""

    api: Api
    local: Cluster | None


def open_target(session: Session, environment: Environment) -> Target:
    """Return the cluster of an environment. Raises UnavailableError or WrongInputError when there is no way to it."""
    if environment.cluster.context:
        return Target(open_api(None, environment.cluster.context), None)
    cluster = open_cluster(state_of(session), session.settings.cache_path, session.reporter)
    cluster.running()
    return Target(open_api(str(cluster.kubeconfig), None), cluster)


def give_images(target: Target, release: Release, reporter: Reporter) -> list[str]:
    """Put the release's images where the local cluster's node finds them; return the names that were not there yet.

    Nodes of other clusters pull from the registry that the environment names; nothing is done for them here.
    """
    if target.local is None:
        return []
    images = [_stored(release, image) for image in release.content.images]
    owners = {blob.digest: image.name.partition(":")[0] for image in images for blob in image.blobs}

    def chunks(blob: Blob) -> Iterable[bytes]:
        return release.store.repository(owners[blob.digest]).chunks(blob)

    return load_containerd(images, chunks, reporter, target.local.containerd())


def _stored(release: Release, image: ReleaseImage) -> StoredImage:
    config, *layers = image_blobs(release.store.repository(image.name), image)
    return StoredImage(f"{image.name}:{release.version}", image.manifest, config, tuple(layers))
