# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""amend.py VENV TREE NAME...: removes distributions from VENV by their RECORD and puts the files of TREE in their place.

Makes the one layer by which an image differs from the layers it shares. TREE may be empty.
"""

import csv
import os
import re
import shutil
import sys

CONSTANT_TIME = 315532800


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def remove(site: str, names: set[str]) -> None:
    for info in sorted(name for name in os.listdir(site) if name.endswith(".dist-info")):
        if normal(info[: -len(".dist-info")].rsplit("-", 1)[0]) not in names:
            continue
        with open(os.path.join(site, info, "RECORD"), encoding="utf-8") as file:
            paths = [os.path.normpath(os.path.join(site, row[0])) for row in csv.reader(file)]
        for path in paths:
            drop(path)
        shutil.rmtree(os.path.join(site, info), ignore_errors=True)


def drop(path: str) -> None:
    folder, name = os.path.split(path)
    cached = os.path.join(folder, "__pycache__")
    if os.path.isdir(cached):
        for compiled in os.listdir(cached):
            if compiled.startswith(name.removesuffix(".py") + ".cpython-"):
                os.unlink(os.path.join(cached, compiled))
    if os.path.lexists(path):
        os.unlink(path)
    for empty in (cached, folder):
        if os.path.isdir(empty) and not os.listdir(empty):
            os.rmdir(empty)


def settle(venv: str) -> None:
    for folder, _, _ in os.walk(venv):
        os.utime(folder, (CONSTANT_TIME, CONSTANT_TIME))


def main() -> None:
    venv, tree, *names = sys.argv[1:]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    remove(f"{venv}/lib/{version}/site-packages", set(names))
    if os.path.isdir(f"{tree}{venv}"):
        shutil.copytree(f"{tree}{venv}", venv, symlinks=True, dirs_exist_ok=True)
    settle(venv)


main()
