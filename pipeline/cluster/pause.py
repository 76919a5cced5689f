# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The image of a pod's sandbox, made here: one layer with one program, as an OCI archive. Pure; equal input, equal bytes."""

import io
import json
import tarfile
from typing import Any

from buildkit.store import CONTAINERD_NAME, REF_NAME
from stackway.files import canonical_json, digest_bytes

_OCI = "application/vnd.oci.image"


def pause_archive(program: bytes, name: str, architecture: str) -> bytes:
    """Return the archive of an image called `name` whose only file is `program`."""
    layer = _tar({"pause": program}, mode=0o755)
    config = canonical_json(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Entrypoint": ["/pause"], "User": "65534:65534"},
            "rootfs": {"type": "layers", "diff_ids": [digest_bytes(layer)]},
        }
    )
    manifest = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_OCI}.manifest.v1+json",
            "config": _descriptor(f"{_OCI}.config.v1+json", config),
            "layers": [_descriptor(f"{_OCI}.layer.v1.tar", layer)],
        }
    )
    entry = _descriptor(f"{_OCI}.manifest.v1+json", manifest)
    entry["annotations"] = {CONTAINERD_NAME: name, REF_NAME: name}
    blobs = {f"blobs/sha256/{digest_bytes(blob).removeprefix('sha256:')}": blob for blob in (layer, config, manifest)}
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    return _tar({"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index, **blobs}, mode=0o644)


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_bytes(content), "size": len(content)}


def _tar(members: dict[str, bytes], *, mode: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
