# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A registry, or what lies below a prefix of it, as a place for releases. Speaks no protocol itself."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from buildkit import registry
from buildkit.complaints import NotThereError
from buildkit.references import is_digest
from buildkit.registry import MANIFEST_MAX, Manifest, OpenBlob, Registry
from buildkit.store import Blob
from releases.entries import check_place, is_place
from stackway.console import printable


@dataclass(frozen=True)
class RegistryStore:
    """The repositories of a registry below `prefix`, which may be empty."""

    registry: Registry
    prefix: str = ""

    @property
    def address(self) -> str:
        """`oci://host[:port][/prefix]`."""
        return "/".join(part for part in (f"oci://{self.registry.host}", self.prefix) if part)

    def repository(self, name: str) -> "RemoteRepository":
        """Return one of its repositories; nothing is asked yet. Raises WrongInputError for what is no name."""
        check_place(name)
        check_place(self.path(name))
        return RemoteRepository(self, name)

    def path(self, name: str) -> str:
        """Return the name that a repository has in the registry."""
        return f"{self.prefix}/{name}" if self.prefix else name

    def writing(self, wait: float = 0.0) -> AbstractContextManager[None]:  # noqa: ARG002 - a registry cannot be held
        """Hold nothing: what is put in a registry shows at once."""
        return nullcontext()


@dataclass(frozen=True)
class RemoteRepository:
    """One repository below the prefix. All methods raise what `Transport.ask` raises."""

    store: RegistryStore
    name: str

    @property
    def there(self) -> registry.Repository:
        """The repository by its whole name."""
        return self.store.registry.repository(self.store.path(self.name))

    def has(self, blob: Blob) -> bool:
        """Tell whether the blob is there. Raises WrongContentError when another size is known under its digest."""
        return self.there.has(blob)

    def read(self, blob: Blob, most: int = MANIFEST_MAX) -> bytes:
        """Return a small blob. Raises WrongContentError when it is larger than `most` bytes or not the blob."""
        return self.there.read(blob, most)

    def chunks(self, blob: Blob) -> Iterator[bytes]:
        """Yield the blob's bytes. Raises WrongContentError, at the latest after the last, when they are not the blob."""
        return self.there.chunks(blob)

    def upload(self, blob: Blob, source: OpenBlob, *, mount_from: str = "") -> int:
        """Put a blob there; return the bytes sent, 0 when it was there or in `mount_from`, a name below the same prefix."""
        return self.there.upload(blob, source, mount_from=self.store.path(mount_from) if mount_from else "")

    def manifest(self, reference: str) -> Manifest:
        """Return the manifest of a tag or digest. Raises NotThereError, or WrongContentError for what is not it."""
        if not self._is_reference(reference):
            raise NotThereError(
                f"{self.name} has no {printable(reference)!r}",
                details=f"{self.store.address}: this is neither a tag nor a digest",
                resolution="`release list` shows what is there.",
            )
        return self.there.manifest(reference)

    def manifest_digest(self, reference: str) -> str | None:
        """Return the digest of the manifest that a tag or digest stands for, None when it is not there."""
        return self.there.manifest_digest(reference) if self._is_reference(reference) else None

    def put_manifest(self, manifest: Manifest, tag: str = "") -> str:
        """Put a manifest there, under a tag or only its digest; return its digest. Raises WrongInputError for no tag."""
        check_place(self.name, tag)
        return self.there.put_manifest(manifest, tag)

    def referrers(self, digest: str) -> list[Blob]:
        """Return the manifests that refer to `digest`, sorted by digest. Their word is not checked."""
        return self.there.referrers(digest) if is_digest(digest) else []

    def tags(self) -> list[str]:
        """Return all tags, sorted."""
        return self.there.tags()

    def _is_reference(self, text: str) -> bool:
        return is_digest(text) or (text != "" and is_place(self.name, text))
