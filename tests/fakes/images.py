# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Small images as a builder leaves them, put into a real store: each layer holds the files it is given."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import zstandard

from buildkit.store import Store, StoredImage

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+zstd"
Files = Mapping[str, bytes]


def plain_layer(files: Files) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def write_layout(folder: Path, layers: Sequence[Files], config: Mapping[str, Any] | None = None) -> None:
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(kind: str, content: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    plain = [plain_layer(files) for files in layers]
    diff_ids = [f"sha256:{hashlib.sha256(content).hexdigest()}" for content in plain]
    settings = {"architecture": "amd64", "os": "linux", "config": dict(config or {})}
    configuration = json.dumps(settings | {"rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": put(CONFIG, configuration),
        "layers": [put(LAYER, zstandard.compress(content)) for content in plain],
    }
    (folder / "index.json").write_text(json.dumps({"manifests": [put(MANIFEST, json.dumps(manifest).encode())]}))


def fill_store(folder: Path, images: Mapping[str, Sequence[Files]]) -> tuple[Store, list[StoredImage]]:
    store = Store(folder / "store")
    for number, layers in enumerate(images.values()):
        write_layout(folder / f"layout-{number}", layers)
    layouts = {name: folder / f"layout-{number}" for number, name in enumerate(images)}
    return store, list(store.add(layouts).values())


def damage(store: Store, digest: str) -> None:
    """Change one byte of a blob; its size stays."""
    path = store.path(digest)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)
