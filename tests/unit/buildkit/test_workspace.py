# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The folder that builders are given: exactly what the contexts need, the same whoever lays it out, nothing twice."""

import io
import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from buildkit.context import BuildContext, Toolset
from buildkit.fetch import ArtifactCache
from buildkit.locks import Artifact, SystemLock, SystemPackage
from buildkit.prepare import make_contexts
from buildkit.questions import os_question
from buildkit.workspace import CONSTANT_TIME, Workspace, files_tar, passed
from stackway.files import digest_file
from tests.fakes.checkout import EPOCH, FakeCheckout
from tests.fakes.debs import write_deb

TOOLS = Toolset({"system.sh": "install\n"}, "0.9", "BuildKit 1")
LOCK = "images/keystone/2026.1.python.lock"
Contexts = dict[str, BuildContext]


@pytest.fixture
def checkout(tmp_path: Path) -> FakeCheckout:
    """Return a checkout whose bases consist of one real package each."""
    checkout = FakeCheckout(tmp_path)
    checkout.lock()
    for base in checkout.catalog().bases.values():
        deb = write_deb(tmp_path / f"{base.spec.name}.deb", {"etc/hostname": base.spec.name.encode()})
        package = SystemPackage("base", "1", "all", digest_file(deb), deb.stat().st_size, "debian", deb.name)
        header = {**os_question(base.spec).header, "epoch": EPOCH}
        checkout.write(f"images/bases/{base.spec.name}.os.lock", SystemLock((package,), header).to_text())
        cache(checkout).put(package.artifact, [deb.read_bytes()])
    (tmp_path / "uv").write_bytes(b"uv")
    return checkout


def cache(checkout: FakeCheckout) -> ArtifactCache:
    return ArtifactCache(checkout.root / "cache/artifacts")


def fill_cache(checkout: FakeCheckout, contexts: Contexts) -> None:
    """Bring in what the made-up locks name: the digest is that of the name."""
    for context in contexts.values():
        pins = [pin for stage in context.stages for pin in stage.pins] + list(context.locks.base.backends.pins)
        packages = [*context.locks.base.interpreter.packages, *context.locks.system.packages]
        names = {**{pin.filename: pin.digest for pin in pins}, **{item.name: item.digest for item in packages}}
        wanted = [Artifact(name, digest, len(name)) for name, digest in names.items()]
        for artifact in cache(checkout).missing(wanted):
            cache(checkout).put(artifact, [artifact.name.encode()])


def prepare(checkout: FakeCheckout) -> Contexts:
    catalog = checkout.catalog()
    contexts = make_contexts(catalog, catalog.select([]), TOOLS)
    fill_cache(checkout, contexts)
    return contexts


def lay_out(checkout: FakeCheckout, folder: str = "build") -> Workspace:
    workspace = Workspace(checkout.root / folder, checkout.root / "cache")
    workspace.lay_out(prepare(checkout).values(), TOOLS, checkout.root / "uv")
    return workspace


def snapshot(workspace: Workspace) -> dict[str, tuple[int, int]]:
    """Return path → inode and time of change of every file."""
    files = {path: path.stat() for path in workspace.context.rglob("*") if path.is_file()}
    return {str(path.relative_to(workspace.context)): (s.st_ino, s.st_mtime_ns) for path, s in files.items()}


def names(workspace: Workspace, folder: str) -> list[str]:
    return sorted(path.name for path in (workspace.context / folder).iterdir())


def bootstrap(workspace: Workspace) -> Path:
    """Return the layer of a bootstrap, found as a builder finds it: by tag, manifest and digest."""
    layout = workspace.context / "bootstrap/trixie"
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": "bootstrap"}
    manifest = json.loads(blob(layout, entry).read_text())
    (layer,) = manifest["layers"]
    assert json.loads(blob(layout, manifest["config"]).read_text())["rootfs"]["diff_ids"] == [layer["digest"]]
    return blob(layout, layer)


def blob(layout: Path, entry: dict[str, Any]) -> Path:
    path = layout / "blobs" / entry["digest"].replace(":", "/")
    assert (digest_file(path), path.stat().st_size) == (entry["digest"], entry["size"])
    return path


def test_everything_that_dockerfiles_mount_is_there(checkout: FakeCheckout) -> None:
    workspace = lay_out(checkout)
    assert names(workspace, "dockerfiles") == [f"{c.slug}.Dockerfile" for c in prepare(checkout).values()]
    assert names(workspace, "python") == [
        "2026.1-common",
        "glance-2026.1-own",
        "keystone-2025.1-own",
        "keystone-2026.1-own",
    ]
    assert names(workspace, "debs") == [
        "bookworm-interpreter",
        "bookworm-os",
        "memcached-1.6",
        "trixie-interpreter",
        "trixie-os",
    ]
    assert names(workspace, "bootstrap") == ["bookworm", "trixie"]
    assert (workspace.context / "tools/uv").read_bytes() == b"uv"
    assert (workspace.context / "recipes/system.sh").read_text() == "install\n"


def test_packages_are_named_in_unpack_order_and_hard_links_of_the_cache(checkout: FakeCheckout) -> None:
    workspace = lay_out(checkout)
    assert names(workspace, "debs/memcached-1.6") == ["000_usr-is-merged.deb", "001_memcached.deb"]
    lock = prepare(checkout)["memcached:1.6"].locks.system
    deb = workspace.context / "debs/memcached-1.6/001_memcached.deb"
    assert deb.samefile(cache(checkout).path(lock.packages[1].digest))


def test_a_python_stage_gets_its_requirements_and_their_files(checkout: FakeCheckout) -> None:
    workspace = lay_out(checkout)
    lines = (workspace.context / "python/2026.1-common/requirements.txt").read_text().splitlines()
    assert [line.split(" --hash=sha256:")[0] for line in lines] == ["certifi==1.0", "pyuwsgi==2.0.30", "requests==1.0"]
    assert names(workspace, "python/keystone-2026.1-own/files") == ["keystone-29.0.2-py3-none-any.whl"]


def test_a_stage_with_a_source_archive_gets_the_backends_too(checkout: FakeCheckout) -> None:
    path = checkout.root / LOCK
    path.write_text(path.read_text().replace("keystone-29.0.2-py3-none-any.whl", "keystone-29.0.2.tar.gz"))
    workspace = Workspace(checkout.root / "build", checkout.root / "cache")
    catalog = checkout.catalog()
    contexts = make_contexts(catalog, catalog.select([]), TOOLS)
    digest = contexts["keystone:2026.1"].locks.python.by_name["keystone"].digest
    content = b"keystone-29.0.2-py3-none-any.whl"
    cache(checkout).put(Artifact("keystone-29.0.2.tar.gz", digest, len(content)), [content])
    fill_cache(checkout, {image: item for image, item in contexts.items() if image != "keystone:2026.1"})
    workspace.lay_out(contexts.values(), TOOLS, checkout.root / "uv")
    found = names(workspace, "python/keystone-2026.1-own/files")
    assert found == ["keystone-29.0.2.tar.gz", "setuptools-80.9.0-py3-none-any.whl"]
    assert names(workspace, "python/glance-2026.1-own/files") == ["glance-32.0.0-py3-none-any.whl"]


def test_laid_out_twice_nothing_is_written_again(checkout: FakeCheckout) -> None:
    before = snapshot(lay_out(checkout))
    assert snapshot(lay_out(checkout)) == before


def test_a_changed_lock_replaces_only_its_own_folder(checkout: FakeCheckout) -> None:
    before = snapshot(lay_out(checkout))
    path = checkout.root / "images/keystone/2026.1.yaml"
    path.write_text(path.read_text().replace("29.0.2", "29.0.3"))
    checkout_locks = checkout.root / "images/bases"
    kept = {path: path.read_text() for path in checkout_locks.glob("*.os.lock")}
    checkout.lock()
    for lock, text in kept.items():
        lock.write_text(text)
    after = snapshot(lay_out(checkout))
    changed = {path for path in {*before, *after} if before.get(path) != after.get(path)}
    assert changed == {
        "dockerfiles/keystone-2026.1.Dockerfile",
        "python/keystone-2026.1-own/requirements.txt",
        "python/keystone-2026.1-own/files/keystone-29.0.2-py3-none-any.whl",
        "python/keystone-2026.1-own/files/keystone-29.0.3-py3-none-any.whl",
    }


def test_a_folder_that_was_not_finished_is_laid_out_anew(checkout: FakeCheckout) -> None:
    workspace = lay_out(checkout)
    before = names(workspace, "debs/memcached-1.6")
    (workspace.folder / "markers/debs_memcached-1.6.json").unlink()
    (workspace.context / "debs/memcached-1.6/001_memcached.deb").unlink()
    (workspace.context / "debs/memcached-1.6/stray").touch()
    lay_out(checkout)
    assert names(workspace, "debs/memcached-1.6") == before


def test_a_folder_that_broke_off_half_way_is_not_believed(checkout: FakeCheckout) -> None:
    workspace = lay_out(checkout)
    before = names(workspace, "debs/memcached-1.6")
    context = prepare(checkout)["memcached:1.6"]
    unknown = SystemLock((replace(context.locks.system.packages[0], digest="sha256:" + "0" * 64),))
    broken = replace(context, locks=replace(context.locks, system=unknown))
    with pytest.raises(FileNotFoundError):
        workspace.lay_out([broken], TOOLS, checkout.root / "uv")
    lay_out(checkout)
    assert names(workspace, "debs/memcached-1.6") == before


def test_a_file_of_the_checks_that_is_no_longer_wanted_goes(checkout: FakeCheckout) -> None:
    folder = lay_out(checkout).context / "smoke/glance-2026.1/files"
    stray = folder / "etc/glance/old.conf"
    stray.write_text("old")
    lay_out(checkout)
    assert not stray.exists()
    assert (folder / "etc/glance/glance.conf").read_text() == "[database]\nconnection = sqlite://\n"


def tree(workspace: Workspace) -> dict[str, tuple[int, str]]:
    """Return path → mode and digest of everything but uv, whose mode is its installer's."""
    return {
        str(path.relative_to(workspace.context)): (path.stat().st_mode, digest_file(path) if path.is_file() else "")
        for path in workspace.context.rglob("*")
        if path.name != "uv"
    }


def test_the_folder_is_the_same_under_any_umask(checkout: FakeCheckout) -> None:
    found = []
    for number, mask in enumerate((0o022, 0o077, 0o002)):
        before = os.umask(mask)
        try:
            found.append(tree(lay_out(checkout, f"build-{number}")))
            (checkout.root / "cache/bootstraps").rename(checkout.root / f"bootstraps-{number}")
        finally:
            os.umask(before)
    assert found[0] == found[1] == found[2]


def test_texts_have_a_constant_time(checkout: FakeCheckout) -> None:
    context = lay_out(checkout).context
    texts = [*context.glob("dockerfiles/*"), *context.glob("recipes/*"), *context.glob("files/*")]
    assert {path.stat().st_mtime for path in texts} == {CONSTANT_TIME}
    assert len(texts) == 9


def test_a_bootstrap_is_made_once_for_equal_packages(checkout: FakeCheckout) -> None:
    first, second = lay_out(checkout, "one"), lay_out(checkout, "two")
    assert bootstrap(first).samefile(bootstrap(second))
    assert len(list((checkout.root / "cache/bootstraps").iterdir())) == 2


def test_a_cleared_workspace_is_laid_out_anew(checkout: FakeCheckout) -> None:
    workspace = lay_out(checkout)
    before = set(snapshot(workspace))
    workspace.clear()
    assert not workspace.folder.exists()
    assert set(snapshot(lay_out(checkout))) == before


def test_the_image_s_files_have_fixed_modes_owners_and_times(checkout: FakeCheckout) -> None:
    content = files_tar(prepare(checkout)["keystone:2026.1"])
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        found = {item.name: (item.mode, item.uid, item.gid, item.isdir()) for item in archive}
        assert {item.mtime for item in archive.getmembers()} == {CONSTANT_TIME}
    assert found == {
        "etc": (0o755, 0, 0, True),
        "etc/stackway": (0o755, 0, 0, True),
        "etc/stackway/uwsgi": (0o755, 0, 0, True),
        "etc/stackway/uwsgi/api.ini": (0o644, 0, 0, False),
        "var": (0o755, 0, 0, True),
        "var/lib": (0o755, 0, 0, True),
        "var/lib/keystone": (0o750, 42400, 42400, True),
        "var/lib/openstack": (0o750, 42400, 42400, True),
    }


def test_the_order_of_files_and_directories_does_not_matter(checkout: FakeCheckout) -> None:
    checkout.change("images/keystone/2026.1.yaml", directories=["/srv/b", "/srv/a/c", "/srv/a"])
    one = prepare(checkout)["keystone:2026.1"]
    service = one.service.model_copy(update={"directories": one.service.directories[::-1]})
    other = replace(one, service=service, files=dict(reversed(list(one.files.items()))))
    assert files_tar(one) == files_tar(other)


@pytest.mark.parametrize(
    ("report", "is_good"),
    [
        ("+ id\nexit code 0\n", True),
        ("exit code 0", False),
        ("exit code 10\n", False),
        ("exit code 1\n", False),
        ("exit code 0\n+ more\n", False),
        ("", False),
    ],
)
def test_a_report_must_end_well(report: str, *, is_good: bool) -> None:
    assert passed(report) is is_good


def test_failed_and_missing_checks_are_found(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, tmp_path)
    for slug, text in {"a-1": "exit code 0\n", "b-1": "exit code 1\n"}.items():
        (tmp_path / f"output/{slug}-smoke").mkdir(parents=True)
        (tmp_path / f"output/{slug}-smoke/report").write_text(text)
    (tmp_path / "output/c-1-smoke").mkdir()
    (tmp_path / "output/a-1").mkdir()
    assert workspace.failed_checks() == {"b-1", "c-1"}
    assert [workspace.report(slug) for slug in ("a-1", "c-1", "d-1")] == ["exit code 0\n", "", ""]
    assert [path.name for path in workspace.outputs()] == ["a-1", "a-1-smoke", "b-1-smoke", "c-1-smoke"]
