# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A Docker engine's images in memory: reads a docker-archive as engines do, and refuses one that is not sound.

tests/integration/test_load.py holds it and a real engine to the same assertions.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from docker.errors import DockerException, ImageLoadError, ImageNotFound


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True)
class FakeImage:
    """An image as the SDK shows it."""

    id: str
    attrs: dict[str, Any]


@dataclass
class FakeDocker:
    """The client and its `images` in one."""

    forgetful: bool = False
    refusal: str = ""
    gone: bool = False
    loads: int = 0
    held: dict[str, FakeImage] = field(default_factory=dict)

    @property
    def images(self) -> "FakeDocker":
        return self

    def get(self, name: str, /) -> FakeImage:
        if self.gone:
            raise DockerException("connection refused")
        if name not in self.held:
            raise ImageNotFound(name)
        return self.held[name]

    def load(self, data: Iterable[bytes], /) -> list[FakeImage]:
        if self.refusal:
            raise ImageLoadError(self.refusal)
        with tarfile.open(fileobj=io.BytesIO(b"".join(data))) as archive:
            found = {name: image for entry in self._listing(archive) for name, image in self._take(archive, entry)}
        self.loads += 1
        self.held |= {} if self.forgetful else found
        return list(found.values())

    def _listing(self, archive: tarfile.TarFile) -> Any:
        return json.loads(self._read(archive, "manifest.json"))

    def _take(self, archive: tarfile.TarFile, entry: dict[str, Any]) -> list[tuple[str, FakeImage]]:
        config = self._read(archive, entry["Config"])
        wanted = json.loads(config)["rootfs"]["diff_ids"]
        if [digest_of(self._read(archive, name)) for name in entry["Layers"]] != wanted:
            raise ImageLoadError("invalid diffID")
        image = FakeImage(digest_of(config), {"RootFS": {"Type": "layers", "Layers": wanted}})
        return [(name, image) for name in entry["RepoTags"]]

    @staticmethod
    def _read(archive: tarfile.TarFile, name: str) -> bytes:
        file = archive.extractfile(name)
        assert file is not None
        return file.read()
