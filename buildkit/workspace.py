# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Lays contexts out as one folder that every image of a build is built from: packages as hard links, texts as files.

What is there already and right stays, so a builder is sent only what is new. File times and modes are fixed: they must
not depend on who laid the folder out, or when.
"""

import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from buildkit.bake import BOOTSTRAP_TAG
from buildkit.context import BuildContext, Toolset, needs_backends
from buildkit.dockerfile import Stage
from buildkit.fetch import ArtifactCache
from buildkit.locks import Pin, SystemLock
from buildkit.rootfs import write_bootstrap
from stackway.files import (
    canonical_json,
    digest_bytes,
    digest_file,
    digest_json,
    place,
    scratch_directory,
    write_atomic,
)

CONSTANT_TIME = 315532800  # 1980-01-01
_FOLDER_MODE = 0o755
_BOOTSTRAP_FORMAT = 1  # raise it when buildkit.rootfs writes other bytes


class Workspace:
    """The folder of a checkout's builds."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        self._artifacts = ArtifactCache(cache / "artifacts")
        self._bootstraps = cache / "bootstraps"

    @property
    def context(self) -> Path:
        """What the builder gets."""
        return self.folder / "context"

    def output(self, slug: str) -> Path:
        """Return where the builder writes an image."""
        return self.folder / "output" / slug

    def report(self, slug: str) -> str:
        """Return what an image's checks said; empty when they were not run."""
        try:
            return (self.folder / "output" / f"{slug}-smoke" / "report").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def failed_checks(self) -> frozenset[str]:
        """Return the images (by slug) whose checks did not pass when they were last run."""
        slugs = [path.name.removesuffix("-smoke") for path in self.outputs() if path.name.endswith("-smoke")]
        return frozenset(slug for slug in slugs if not passed(self.report(slug)))

    def outputs(self) -> list[Path]:
        """Return the folders that the builder has written."""
        return sorted((self.folder / "output").glob("*"))

    def clear(self) -> None:
        """Remove all of it; the next build lays it out anew."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def lay_out(self, contexts: Iterable[BuildContext], tools: Toolset, uv: Path) -> None:
        """Make the folder hold all that `contexts` need."""
        with_uv = False
        for context in contexts:
            self._base(context)
            self._image(context)
            with_uv = with_uv or bool(context.stages)
        for name, text in tools.recipes.items():
            self._text(f"recipes/{name}", text)
        if with_uv:
            self._link("tools/uv", uv)
        for folder in self.context.glob("**/"):
            folder.chmod(_FOLDER_MODE)

    def _base(self, context: BuildContext) -> None:
        locks, base = context.locks.base, context.base
        self._debs(f"debs/{base.name}-os", locks.os)
        self._debs(f"debs/{base.name}-interpreter", locks.interpreter)
        key = digest_json([_BOOTSTRAP_FORMAT, base.usr_merge, [item.digest for item in locks.os.packages]])
        tar = self._bootstraps / f"{key.removeprefix('sha256:')}.tar"
        if not tar.exists():
            with scratch_directory(self._bootstraps, ".part-") as scratch:
                made = scratch / "bootstrap.tar"
                debs = [self._artifacts.path(item.digest) for item in locks.os.packages]
                write_bootstrap(debs, made, usr_merge=base.usr_merge)
                made.chmod(0o444)
                made.replace(tar)
        self._layout(f"bootstrap/{base.name}", tar)

    def _layout(self, name: str, tar: Path) -> None:
        """Make the folder `name` an OCI image layout of one layer: a builder takes such a thing once, whoever wants it."""
        marker, folder = self.folder / "markers" / f"{name.replace('/', '_')}.json", self.context / name
        content = json.dumps([tar.name, tar.stat().st_size]).encode()
        if folder.is_dir() and marker.exists() and marker.read_bytes() == content:
            return
        marker.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        layer = digest_file(tar)
        blobs = folder / "blobs/sha256"
        blobs.mkdir(parents=True)
        place(tar, blobs / layer.removeprefix("sha256:"))
        for path, text in bootstrap_layout(layer, tar.stat().st_size).items():
            write_atomic(folder / path, text)
        write_atomic(marker, content)

    def _image(self, context: BuildContext) -> None:
        self._text(f"dockerfiles/{context.slug}.Dockerfile", context.dockerfile)
        self._bytes(f"files/{context.slug}.tar", files_tar(context))
        self._text(f"smoke/{context.slug}/check.sh", context.smoke)
        self._folder_of_texts(f"smoke/{context.slug}/files", context.smoke_files)
        if context.locks.system.packages:
            self._debs(f"debs/{context.slug}", context.locks.system)
        for stage in context.stages:
            self._python(stage, context.locks.base.backends.pins if needs_backends(context) else ())

    def _python(self, stage: Stage, backends: Iterable[Pin]) -> None:
        self._text(f"{stage.folder}/requirements.txt", "".join(f"{pin.requirement}\n" for pin in stage.pins))
        built = () if all(pin.filename.endswith(".whl") for pin in stage.pins) else tuple(backends)
        self._links(f"{stage.folder}/files", {pin.filename: pin.digest for pin in (*stage.pins, *built)})

    def _debs(self, name: str, lock: SystemLock) -> None:
        self._links(name, {f"{index:03d}_{item.name}.deb": item.digest for index, item in enumerate(lock.packages)})

    def _links(self, name: str, files: Mapping[str, str]) -> None:
        """Make the folder `name` hold exactly these hard links of artifacts (file name → digest)."""
        marker, folder = self.folder / "markers" / f"{name.replace('/', '_')}.json", self.context / name
        content = json.dumps(dict(files), sort_keys=True).encode()
        if folder.is_dir() and marker.exists() and marker.read_bytes() == content:
            return
        marker.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file, digest in files.items():
            place(self._artifacts.path(digest), folder / file)
        write_atomic(marker, content)

    def _link(self, name: str, source: Path) -> None:
        target = self.context / name
        if (
            target.exists()
            and target.stat().st_size == source.stat().st_size
            and target.stat().st_mtime == source.stat().st_mtime
        ):
            return
        target.unlink(missing_ok=True)
        place(source, target)

    def _folder_of_texts(self, name: str, texts: Mapping[str, str]) -> None:
        folder = self.context / name
        wanted = {path.lstrip("/") for path in texts}
        for path in [path for path in folder.rglob("*") if path.is_file()]:
            if str(path.relative_to(folder)) not in wanted:
                path.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        for target, text in texts.items():
            self._text(f"{name}{target}", text)

    def _text(self, name: str, text: str) -> None:
        self._bytes(name, text.encode())

    def _bytes(self, name: str, content: bytes) -> None:
        path = self.context / name
        if path.exists() and path.read_bytes() == content:
            return
        write_atomic(path, content)
        os.utime(path, (CONSTANT_TIME, CONSTANT_TIME))


def passed(report: str) -> bool:
    """Tell whether a report of checks ends well; one that is cut short does not."""
    return report.endswith("exit code 0\n")


def bootstrap_layout(layer: str, size: int) -> dict[str, bytes]:
    """Return the files of an OCI image layout (image-spec 1.1) around a layer that is a plain tar, without the layer."""
    config = canonical_json({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer]}})
    kind = "application/vnd.oci.image"
    parts = {"config": ("config.v1+json", digest_bytes(config), len(config)), "layer": ("layer.v1.tar", layer, size)}
    config_part, layer_part = (
        {"mediaType": f"{kind}.{name}", "digest": digest, "size": length} for name, digest, length in parts.values()
    )
    head = {"schemaVersion": 2, "mediaType": f"{kind}.manifest.v1+json"}
    manifest = canonical_json({**head, "config": config_part, "layers": [layer_part]})
    entry = {"mediaType": f"{kind}.manifest.v1+json", "digest": digest_bytes(manifest), "size": len(manifest)}
    named = {**entry, "annotations": {"org.opencontainers.image.ref.name": BOOTSTRAP_TAG}}
    index = {"schemaVersion": 2, "mediaType": f"{kind}.index.v1+json", "manifests": [named]}
    return {
        **{f"blobs/sha256/{digest_bytes(item).removeprefix('sha256:')}": item for item in (config, manifest)},
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": canonical_json(index),
    }


def files_tar(context: BuildContext) -> bytes:
    """Return the tar of an image's own files and directories: fixed times, owners by number, sorted."""
    user = context.service.user
    entries: dict[str, tuple[bytes | None, int, int]] = {}
    for folder in (user.home, *context.service.directories):
        _parents(entries, folder)
        entries[folder.strip("/")] = (None, 0o750, user.uid)
    for path, (text, mode) in context.files.items():
        _parents(entries, path)
        entries[path.strip("/")] = (text.encode(), mode, 0)
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, (content, mode, owner) in sorted(entries.items()):
            member = tarfile.TarInfo(name)
            member.mode, member.uid, member.gid, member.mtime = mode, owner, owner, CONSTANT_TIME
            member.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            member.size = len(content or b"")
            archive.addfile(member, io.BytesIO(content or b""))
    return output.getvalue()


def _parents(entries: dict[str, tuple[bytes | None, int, int]], path: str) -> None:
    parts = path.strip("/").split("/")[:-1]
    for depth in range(1, len(parts) + 1):
        entries.setdefault("/".join(parts[:depth]), (None, 0o755, 0))
