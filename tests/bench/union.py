# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Six services from an empty builder, against one environment of all their packages that is installed at once and then split.

The other way keeps the tests of packages and has no checks. Both begin with all packages on disk, and with a bootstrap.
"""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from buildkit.bake import SMOKE, target_of
from buildkit.build import apply, raise_failures
from buildkit.context import BuildContext
from buildkit.prepare import prepare
from stackway.files import write_json
from tests.bench.measure import Result, middle
from tests.bench.together import bake_from_nothing, chosen, open_apart

NAME = "union"
SUMMARY = "six services of 2026.1 from nothing, against one environment split afterwards"
HEAVY = True
_TIMES = 3
_SPLIT = """\
import csv, json, os, sys
tree, groups, out = sys.argv[1], json.load(open(sys.argv[2])), sys.argv[3]
(site,) = [os.path.join(d, "site-packages") for d, ds, _ in os.walk(tree) if "site-packages" in ds]
group_of = {name: group for group, names in groups.items() for name in names}
normal = lambda name: name.lower().replace("_", "-").replace(".", "-")
owner = {}
for info in os.listdir(site):
    if info.endswith(".dist-info"):
        for row in csv.reader(open(os.path.join(site, info, "RECORD"))):
            owner[os.path.normpath(os.path.join(site, row[0]))] = group_of[normal(info[:-10].rsplit("-", 1)[0])]
for folder, _, files in os.walk(tree):
    for file in files:
        path = os.path.join(folder, file)
        source = os.path.join(os.path.dirname(folder), file.split(".cpython-")[0] + ".py")
        group = owner.get(path) or owner.get(source) or "common"
        target = os.path.join(out, group) + path.removeprefix(tree)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.link(path, target)
for folder, folders, _ in os.walk(out):
    os.utime(folder, (315532800, 315532800))
"""
_VENV = """
FROM interpreter AS venv
RUN --network=none \\
    --mount=type=bind,source=union,target=/mnt/python \\
    --mount=type=bind,source=tools/uv,target=/mnt/uv \\
    --mount=type=bind,source=recipes/environment.py,target=/mnt/environment.py \\
    python3 /mnt/environment.py /mnt/uv /mnt/python/requirements.txt /mnt/python/files /opt/venv /tree {names} && \\
    python3 /mnt/python/split.py /tree /mnt/python/groups.json /split
"""


def run(folder: Path) -> Result:
    """Measure. Needs root on Linux, and minutes."""
    checkout = open_apart(folder)
    services = chosen(checkout)
    raise_failures(apply(checkout, prepare(checkout, services)))
    contexts = list(prepare(checkout, services).contexts.values())
    lay_out(checkout.workspace.context, contexts)
    ours = [target_of(context) for context in contexts]
    theirs = add_targets(checkout.workspace.folder / "bake.json", contexts)
    whole = [*ours, *(f"{name}{SMOKE}" for name in ours)]
    pairs = [(bake_from_nothing(checkout, [whole]), bake_from_nothing(checkout, [theirs])) for _ in range(_TIMES)]
    checked, other = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    plain = bake_from_nothing(checkout, [ours])
    facts = {"seconds without checks": plain.wall, "ratio without checks": middle(other).wall / plain.wall}
    what = f"{len(ours)} services from nothing, with checks"
    return Result(NAME, what, checked, "one environment, split, no checks", other, facts)


def lay_out(place: Path, contexts: Iterable[BuildContext]) -> None:
    """Put beside the contexts of the images what one environment of all of them is made from."""
    stages = {stage.folder: stage for context in contexts for stage in context.stages}
    union = place / "union"
    (union / "files").mkdir(parents=True)
    for name in stages:
        for file in (place / name / "files").iterdir():
            if not (union / "files" / file.name).exists():
                os.link(file, union / "files" / file.name)
    pins = {pin.name: pin for stage in stages.values() for pin in stage.pins}
    (union / "requirements.txt").write_text("".join(f"{pin.requirement}\n" for pin in pins.values()))
    (union / "split.py").write_text(_SPLIT)
    groups = {Path(name).name: [pin.name for pin in stage.pins] for name, stage in stages.items()}
    write_json(union / "groups.json", groups)
    for context in contexts:
        head = context.dockerfile.partition("\nFROM interpreter AS python-")[0].rpartition("\n\n#")[0]
        copies = "".join(f"COPY --link --from=venv /split/{Path(stage.folder).name}/ /\n" for stage in context.stages)
        text = f"{head}\n{_VENV.format(names=' '.join(sorted(pins)))}\nFROM interpreter AS image\n{copies}"
        (place / f"dockerfiles/{context.slug}.union.Dockerfile").write_text(text)


def add_targets(bake_file: Path, contexts: Sequence[BuildContext]) -> list[str]:
    """Add the other way's targets to the bake file; return their names."""
    plan, names = json.loads(bake_file.read_text()), []
    for context in contexts:
        name = target_of(context)
        target = {**plan["target"][name], "dockerfile": f"dockerfiles/{context.slug}.union.Dockerfile"}
        target["output"] = [target["output"][0].replace(f"/{context.slug},", f"/{context.slug}-union,")]
        plan["target"][f"{name}-union"] = target
        names.append(f"{name}-union")
    write_json(bake_file, plan)
    return names
