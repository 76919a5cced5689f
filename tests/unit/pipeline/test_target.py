# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Where an environment runs, and which images its node is given."""

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from kubernetes.config import ConfigException

from buildkit.store import Blob, StoredImage
from pipeline import target
from pipeline.target import Target, give_images, open_target
from releases.environment import Environment
from releases.verify import DamagedReleaseError, Release, verify
from stackway.commands import Session
from stackway.console import SilentReporter
from stackway.errors import UnavailableError, WrongInputError
from stackway.files import digest_bytes
from stackway.settings import load_settings
from tests.fakes.releases import FakeReleases, keyring, new_release, new_signer

SILENT = SilentReporter()


def environment(**cluster: Any) -> Environment:
    return Environment.model_validate({"name": "dev", "summary": "of the tests", "cluster": cluster})


def session(root: Path) -> Session:
    return Session(argparse.Namespace(), root, load_settings(root), SILENT, wants_json=False)


def release() -> Release:
    signer, store = new_signer(), FakeReleases()
    new_release(store, "2026.1.0", signer)
    return verify(store, "2026.1.0", keyring(signer))


def local() -> Target:
    return Target(cast("Any", None), cast("Any", SimpleNamespace(containerd=lambda: "the node's")))


def test_environment_without_a_context_needs_the_local_cluster_to_run(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="local cluster does not run"):
        open_target(session(tmp_path), environment())
    assert list(tmp_path.iterdir()) == []


def test_context_that_is_not_there_is_wrong_and_never_the_local_cluster(tmp_path: Path) -> None:
    with pytest.raises(WrongInputError, match="no way to a cluster") as caught:
        open_target(session(tmp_path), environment(context="no-such-context"))
    assert "no-such-context" in caught.value.details
    assert isinstance(caught.value.__cause__, ConfigException)


def test_nodes_of_other_clusters_are_given_nothing() -> None:
    assert give_images(Target(cast("Any", None), None), cast("Release", None), SILENT) == []


def test_node_of_the_local_cluster_is_given_every_image_with_every_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, list[bytes]] = {}

    def load(
        images: Sequence[StoredImage], chunks: Callable[[Blob], Iterable[bytes]], reporter: Any, to: Any
    ) -> list[str]:
        assert (reporter, to) == (SILENT, "the node's")
        given.update({image.name: [b"".join(chunks(blob)) for blob in image.blobs[1:]] for image in images})
        assert all(
            digest_bytes(content) == blob.digest
            for image in images
            for content, blob in zip(given[image.name], image.blobs[1:], strict=True)
        )
        return sorted(given)

    monkeypatch.setattr(target, "load_containerd", load)
    found = release()
    names = [f"{image.name}:2026.1.0" for image in found.content.images]
    assert names
    assert give_images(local(), found, SILENT) == sorted(names)
    assert all(given.values())


def test_image_that_is_not_in_the_place_is_named_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "load_containerd", lambda *_: pytest.fail("nothing may be loaded"))
    found = release()
    missing = found.content.images[-1]
    cast("FakeReleases", found.store).repository(missing.name).manifests.clear()
    with pytest.raises(DamagedReleaseError, match=f"the image {missing.name} of the release is not there"):
        give_images(local(), found, SILENT)
