# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""`release build` on a real BuildKit: good days quickly, bad days without loss."""

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zstandard

from stackway import process
from stackway.process import Command, Completed, Daemon
from tests.integration.builder import TinyCheckout, private_cache
from tests.integration.runtime import mounts_below, wait_for

pytestmark = pytest.mark.engine

ALPHA, BETA = "alpha:1.0", "beta:1.0"
CANARY = "canary-7f3a9e5c"


def statuses(checkout: TinyCheckout) -> dict[str, str]:
    return {image: result["status"] for image, result in checkout.build().items()}


def builders(cache: Path) -> list[int]:
    """Return the pids of the builders that use `cache`: BuildKit, and whatever it has started below its folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word.startswith(bytes(cache / "buildkit")) for word in words) and b"--root" in words:
            found.append(int(path.parent.name))
    return found


def wait_for_step(daemon: Daemon, text: str) -> None:
    wait_for(text, lambda: text in daemon.log.read_text(), 240, daemon)


def assert_in_parts(completed: Completed, *texts: str) -> None:
    """The message has what happened, where, and what to do next; and the texts."""
    assert completed.code == 1, completed.stderr
    error = completed.stderr[completed.stderr.index("error: ") :]
    assert re.search(r"\Aerror: .+\n  .+", error), error
    assert "\nhint: " in error, error
    assert "unexpected" not in error
    for text in texts:
        assert text in error


def test_nothing_to_do_starts_no_program(tiny: TinyCheckout) -> None:
    tiny.build()
    before = sorted(path for path in tiny.state.rglob("*"))
    completed = tiny.sealed("build", "--cache", str(tiny.root / "no-cache"), "--output", "json")
    assert completed.code == 0, completed.stderr
    assert {item["status"] for item in json.loads(completed.stdout)["images"]} == {"kept"}
    assert sorted(path for path in tiny.state.rglob("*")) == before
    assert not (tiny.root / "no-cache").exists()


def test_sealed_run_with_work_to_do_fails(tiny: TinyCheckout) -> None:
    assert "not nothing to do" in tiny.sealed("build", "--cache", str(tiny.cache)).stderr


def test_changed_label_builds_that_image_only(tiny: TinyCheckout) -> None:
    tiny.build()
    before = tiny.digests()
    tiny.add("alpha", labels={"org.example.team": "identity"})
    results = tiny.build()
    assert results[ALPHA]["reason"] == "label org.example.team is new"
    assert (results[ALPHA]["status"], results[BETA]["status"]) == ("built", "kept")
    after = tiny.digests()
    assert (after[ALPHA] == before[ALPHA], after[BETA] == before[BETA]) == (False, True)


def test_failed_step_and_failed_check_are_named_and_stop_no_other_image(tiny: TinyCheckout) -> None:
    tiny.add_broken("broken")
    tiny.add("unwell", checks=[["sh", "-c", "echo the pulse is missing; exit 7"]])
    completed = tiny.release("build")
    assert_in_parts(
        completed, "2 of 4 images could not be built", "broken:1.0: step image:", "unwell:1.0: a check failed"
    )
    assert "dpkg: dependency problems prevent configuration of libpython3.13-stdlib" in completed.stderr
    assert "the pulse is missing" in completed.stderr
    logs = [Path(line) for line in re.findall(r"^ *log: (.+)$", completed.stderr, re.MULTILINE)]
    assert [path.name for path in logs if path.read_text()] == ["broken-1.0.log", "unwell-1.0.log"]
    assert sorted(tiny.images()) == [ALPHA, BETA]


def test_mended_images_are_built_and_the_others_kept(tiny: TinyCheckout) -> None:
    tiny.add("alpha", checks=[["false"]])
    assert tiny.release("build").code == 1
    tiny.add("alpha")
    assert statuses(tiny) == {ALPHA: "built", BETA: "kept"}


def test_failed_check_is_run_again(tiny: TinyCheckout) -> None:
    tiny.add("alpha", checks=[["false"]])
    assert [tiny.release("build", "alpha").code for _ in range(2)] == [1, 1]
    assert tiny.images() == {}


def test_killed_builder_is_told_of_and_the_next_build_works(tiny: TinyCheckout) -> None:
    tiny.add_slow("slow")
    build = tiny.start("build")
    wait_for_step(build, "slow:1.0: smoke")
    for pid in builders(tiny.cache):
        os.kill(pid, signal.SIGKILL)
    assert build.process.wait(60) == 1
    told = build.log.read_text()
    assert "error: the builder ended in the middle of the build" in told
    assert "hint: Run the same command again" in told
    tiny.remove("slow")
    assert statuses(tiny) == {ALPHA: "built", BETA: "built"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_build_leaves_nothing(tiny: TinyCheckout, number: signal.Signals) -> None:
    tiny.build("alpha")
    tiny.add_slow("slow")
    build = tiny.start("build")
    wait_for_step(build, "slow:1.0: smoke")
    build.process.send_signal(number)
    assert build.process.wait(60) == 130
    assert builders(tiny.cache) == []
    assert mounts_below(tiny.cache) == []
    assert sorted(tiny.images()) == [ALPHA]
    assert tiny.release("store", "verify").code == 0


def test_killed_build_takes_its_builder_with_it(tiny: TinyCheckout) -> None:
    tiny.add_slow("slow")
    build = tiny.start("build")
    wait_for_step(build, "slow:1.0: smoke")
    build.process.kill()
    build.process.wait()
    wait_for("end of the builder", lambda: not builders(tiny.cache), 60)
    tiny.remove("slow")
    assert statuses(tiny) == {ALPHA: "built", BETA: "built"}


def test_second_build_of_a_store_says_so_or_waits(tiny: TinyCheckout) -> None:
    tiny.add("alpha", checks=[["sleep", "8"]])
    first = tiny.start("build")
    wait_for_step(first, "alpha:1.0: smoke")
    assert_in_parts(tiny.release("build"), "another build is using this store", str(tiny.state / "store"), "--wait")
    second = tiny.release("build", "--wait", "240")
    assert (first.process.wait(60), second.code) == (0, 0), second.stderr
    assert sorted(tiny.images()) == [ALPHA, BETA]


@pytest.mark.parametrize("noticed_by", ["build", "verify"])
def test_corrupt_blob_is_named_and_built_anew(tiny: TinyCheckout, noticed_by: str) -> None:
    tiny.add("alpha", "media-types")
    tiny.build()
    before, images = tiny.digests(), tiny.images()
    [own] = {layer.digest for layer in images[ALPHA].layers} - {layer.digest for layer in images[BETA].layers}
    flip(tiny.store.path(own), keep_time=noticed_by == "verify")
    if noticed_by == "verify":
        assert_in_parts(tiny.release("store", "verify"), "the store is damaged", f"{ALPHA}: blob {own}")
    results = tiny.build()
    assert results[ALPHA]["reason"] == f"blob {own} in the store is corrupt"
    assert (results[BETA]["status"], tiny.digests()) == ("kept", before)
    assert tiny.release("store", "verify").code == 0


def flip(path: Path, *, keep_time: bool) -> None:
    """Change one byte; a disk that goes bad does it without a new modification time."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    if keep_time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """Put a file system over `folder`, with what is there already, and fill it."""
    content = folder.with_name(f"{folder.name}.away")
    folder.rename(content)
    folder.mkdir()
    process.run(Command(("mount", "-t", "tmpfs", "-o", "size=400m", "full", str(folder))))
    try:
        process.run(Command(("cp", "--archive", f"{content}/.", str(folder))))
        fill(folder / "filler")
        yield
    finally:
        process.run(Command(("umount", str(folder))))


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 16)) == 1 << 16:
                pass
        except OSError:
            return


@pytest.mark.parametrize("folder", ["", "store", "build/output"])
def test_full_disk_is_told_of_and_loses_nothing(tiny: TinyCheckout, folder: str) -> None:
    tiny.build("alpha")
    before = tiny.digests()
    with full_disk(tiny.state / folder):
        assert_in_parts(tiny.release("build"), "o space left on device")
        assert tiny.digests() == before
        assert tiny.release("store", "verify").code == 0
        (tiny.state / folder / "filler").unlink()
        assert statuses(tiny) == {ALPHA: "kept", BETA: "built"}


def test_cached_packages_need_no_network(tiny: TinyCheckout) -> None:
    tiny.add_python("gamma")
    tiny.build()
    before = tiny.digests()
    completed = tiny.offline("build", "--no-cache")
    assert completed.code == 0, completed.stderr
    assert tiny.digests() == before


def test_missing_packages_without_network_fail_at_once(tiny: TinyCheckout, tmp_path: Path) -> None:
    cache = private_cache(tmp_path / "empty")
    (cache / "artifacts").unlink()
    apart = TinyCheckout(tiny.root, cache, {"STACKWAY_DEBIAN_MIRROR": "http://debian.invalid/debian"})
    completed = apart.offline("build", STACKWAY_DEBIAN_SECURITY_MIRROR="http://debian.invalid/debian-security")
    assert_in_parts(completed, "is not in the cache and cannot be fetched", "Connect the machine")
    assert completed.seconds < 60
    assert not (cache / "buildkit").exists()


def test_secrets_of_the_environment_reach_nothing(tiny: TinyCheckout, tmp_path: Path) -> None:
    tiny.add_python("gamma")
    authorities = tmp_path / "authorities.pem"
    authorities.write_text(f"# {CANARY}\n")
    address = f"http://user:{CANARY}@index.invalid/simple"
    names = (
        "UV_INDEX_URL",
        "UV_DEFAULT_INDEX",
        "PIP_INDEX_URL",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "http_proxy",
        "https_proxy",
    )
    secrets = dict.fromkeys(names, address) | {"SSL_CERT_FILE": str(authorities), "STACKWAY_TEST_PASSWORD": CANARY}
    completed = tiny.release("build", "--no-cache", **secrets)
    assert completed.code == 0, completed.stderr
    texts = everything(tiny)
    assert [name for name, content in texts.items() if CANARY.encode() in content] == []
    assert CANARY not in completed.stdout + completed.stderr
    assert [name for name, content in texts.items() if b"gamma of the tests" in content]


def everything(checkout: TinyCheckout) -> dict[str, bytes]:
    """Return name → content of every file of the checkout's state and of the builder's log, layers decompressed."""
    files = [path for path in checkout.state.rglob("*") if path.is_file() and not path.is_symlink()]
    files += [checkout.cache / "buildkit.log"]
    return {str(path): decompressed(path.read_bytes()) for path in files}


def decompressed(content: bytes) -> bytes:
    if not content.startswith(zstandard.FRAME_HEADER):
        return content
    with zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True) as stream:
        return stream.read()


def test_two_builds_from_nothing_are_equal(tiny: TinyCheckout) -> None:
    tiny.add_python("gamma")
    completed = tiny.release("reproduce", "--output", "json", "alpha", "gamma")
    assert completed.code == 0, completed.stderr
    results = json.loads(completed.stdout)
    assert [item["image"] for item in results] == [ALPHA, "gamma:2026.1"]
    assert all(item["first"] == item["second"] and not item["difference"] for item in results)


def test_images_run_as_their_user(tiny: TinyCheckout) -> None:
    user = {"name": "tester", "uid": 4711, "home": "/var/lib/tester"}
    tiny.add("alpha", checks=[["sh", "-c", 'test "$(id -un):$(id -g):$PWD" = tester:4711:/var/lib/tester']], user=user)
    result = tiny.build("alpha")[ALPHA]
    config = json.loads(tiny.store.path(tiny.images()[ALPHA].config.digest).read_bytes())
    assert config["config"]["User"] == "4711:4711"
    assert "+ test 4711 = 4711\n" in Path(result["log"]).read_text()


def test_check_runs_as_the_user_and_says_so_when_not(tiny: TinyCheckout) -> None:
    tiny.add("alpha", checks=[["touch", "/etc/mine"]])
    assert_in_parts(tiny.release("build", "alpha"), "FAILED: touch /etc/mine", "Permission denied")


def test_collecting_removes_images_without_a_spec(tiny: TinyCheckout) -> None:
    tiny.build()
    tiny.remove("beta")
    completed = tiny.release("store", "gc", "--output", "json")
    told = json.loads(completed.stdout)
    assert (told["forgotten"], told["blobs"]) == ([BETA], 2), (
        "its manifest and its configuration; the layers are alpha's too"
    )
    assert tiny.release("store", "verify").code == 0
    assert statuses(tiny) == {ALPHA: "kept"}
