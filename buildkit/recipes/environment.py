# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""environment.py UV REQUIREMENTS FILES VENV TREE [NAME...]: installs REQUIREMENTS into TREE/VENV, always the same bytes.

Runs in the builder with no network. The tests that distributions carry, two fifths of all code, are left out, but of those
named NAME. Byte-code: marshal marks objects that have more than one reference in the compiling
process, so a .pyc depends on what that process compiled before. One forked child of the same pristine parent for each
top-level entry, files sorted, gives the same bytes whatever the number of jobs and whichever other packages there are.
"""

import contextlib
import csv
import os
import py_compile
import re
import shutil
import subprocess
import sys

CONSTANT_TIME = 315532800  # 1980-01-01: cache keys hold no times, so a layer's must be the same in every build


def install(uv: str, requirements: str, files: str, place: tuple[str, str]) -> None:
    venv, tree = place
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/tmp",
        "UV_CACHE_DIR": "/tmp/uv",
        "UV_LINK_MODE": "hardlink",
        "UV_NO_CONFIG": "1",
        "UV_NO_PROGRESS": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SOURCE_DATE_EPOCH": str(CONSTANT_TIME),
    }
    target = ["--python", f"{venv}/bin/python", "--prefix", f"{tree}{venv}"]
    sources = ["--offline", "--no-index", "--find-links", files, "--no-deps", "--require-hashes", "-r", requirements]
    done = subprocess.run([uv, "pip", "install", "-q", *target, *sources], env=environment, check=False)
    shutil.rmtree("/tmp/uv", ignore_errors=True)
    if done.returncode:
        sys.exit(done.returncode)


def forget_uv(site: str) -> None:
    """Take away what uv notes about this installation: it holds times, and no program reads it."""
    for info in sorted(name for name in os.listdir(site) if name.endswith(".dist-info")):
        record = os.path.join(site, info, "RECORD")
        dropped = tuple(f"{info}/{name}" for name in ("uv_cache.json", "REQUESTED"))
        for name in dropped:
            if os.path.exists(os.path.join(site, name)):
                os.unlink(os.path.join(site, name))
        with open(record, encoding="utf-8") as file:
            rows = [row for row in file if not row.startswith(dropped)]
        os.unlink(record)
        with open(record, "w", encoding="utf-8") as file:
            file.writelines(sorted(rows))


def leave_out_tests(site: str, kept: set[str]) -> None:
    for info in sorted(name for name in os.listdir(site) if name.endswith(".dist-info")):
        if re.sub(r"[-_.]+", "-", info.removesuffix(".dist-info").rsplit("-", 1)[0]).lower() in kept:
            continue
        record = os.path.join(site, info, "RECORD")
        with open(record, encoding="utf-8") as file:
            rows = {row[0]: row for row in csv.reader(file)}
        tests = [path for path in rows if "tests" in path.split("/")[:-1]]
        for path in tests:
            with contextlib.suppress(FileNotFoundError):  # two distributions may bring the same file
                os.unlink(os.path.join(site, path))
        os.unlink(record)
        with open(record, "w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(row for path, row in rows.items() if path not in tests)
    for folder, _, _ in os.walk(site, topdown=False):
        if not os.listdir(folder):
            os.rmdir(folder)


def weight(entry: str) -> int:
    return sum(len(files) for _, _, files in os.walk(entry))


def compile_entry(entry: str, tree: str) -> None:
    files = [entry] if os.path.isfile(entry) else sorted(os.path.join(d, f) for d, _, fs in os.walk(entry) for f in fs)
    for file in files:
        if file.endswith(".py"):
            # Templates and leftovers of Python 2 get no byte-code, as with pip.
            with contextlib.suppress(py_compile.PyCompileError):
                mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
                py_compile.compile(file, dfile=file.removeprefix(tree), doraise=True, invalidation_mode=mode)


def compile_all(site: str, tree: str) -> None:
    entries = [
        os.path.join(site, name) for name in os.listdir(site) if not name.endswith((".dist-info", ".so", ".pth"))
    ]
    live, jobs = 0, len(os.sched_getaffinity(0))
    for entry in sorted(sorted(entries), key=weight, reverse=True):
        if live == jobs:
            reap()
            live -= 1
        if os.fork() == 0:
            compile_entry(entry, tree)
            os._exit(0)
        live += 1
    for _ in range(live):
        reap()


def reap() -> None:
    if os.wait()[1] != 0:
        sys.exit("byte-compilation failed")


def settle(tree: str) -> None:
    for folder, folders, files in os.walk(tree):
        for name in [*folders, *files]:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                os.chmod(path, 0o755 if os.path.isdir(path) or os.access(path, os.X_OK) else 0o644)
            os.utime(path, (CONSTANT_TIME, CONSTANT_TIME), follow_symlinks=False)
    os.utime(tree, (CONSTANT_TIME, CONSTANT_TIME))


def main() -> None:
    uv, requirements, files, venv, tree, *kept = sys.argv[1:]
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.argv], dict(os.environ, PYTHONHASHSEED="0"))
    install(uv, requirements, files, (venv, tree))
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = f"{tree}{venv}/lib/{version}/site-packages"
    if os.path.isdir(site):
        forget_uv(site)
        leave_out_tests(site, set(kept))
        compile_all(site, tree)
    settle(tree)


if __name__ == "__main__":
    main()
