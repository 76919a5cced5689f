# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Which Python distributions share a layer. Pure.

OpenStack's constraints give one version per package, so a series is one consistent environment; it is cut into one layer
per set of images that need the same packages. The cut is recorded (`images/series/<series>.layers.lock`), so that a change
in one image's lock reaches no other image: what differs from the recorded layers goes into a layer of that image alone.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from buildkit.locks import Pin, PythonLock, content_lines, parse_pins
from stackway.errors import Position, Problem, WrongInputError

COMMON = "common"
_WORTH = 300_000  # compressed bytes from which a set of images gets a layer of its own
_MANY = 3  # from this many names on, a set is named by its members and not by who is missing
_SAME = 0.9  # share of a layer's bytes an image must want for the layer to be worth having
_TITLE = re.compile(r"\[([a-z0-9-]+)\] ?(.*)")


@dataclass(frozen=True)
class Layer:
    """Distributions that lie in one layer, and the images (names of services) that stand on it."""

    name: str
    images: tuple[str, ...]
    pins: tuple[Pin, ...]

    @property
    def size(self) -> int:
        """Bytes of its files as they were fetched."""
        return sum(pin.size for pin in self.pins)


@dataclass(frozen=True)
class Arrangement:
    """How an image's environment is put together: shared layers, then its own, then what differs from the shared ones."""

    shared: tuple[Layer, ...]
    own: tuple[Pin, ...]
    replaced: tuple[Pin, ...]
    removed: tuple[str, ...]

    @property
    def amended(self) -> tuple[str, ...]:
        """Names whose files in the shared layers have to go."""
        return tuple(sorted({*self.removed, *(pin.name for pin in self.replaced)}))


def arrange(image: str, lock: PythonLock, layers: Iterable[Layer]) -> Arrangement:
    """Return how `image` gets exactly the environment of its lock out of the recorded layers."""
    shared = tuple(layer for layer in layers if image in layer.images)
    there = {pin.name: pin for layer in shared for pin in layer.pins}
    wanted = dict(sorted({pin.name: pin for pin in lock.pins}.items()))
    own = tuple(pin for name, pin in wanted.items() if name not in there)
    replaced = tuple(pin for name, pin in wanted.items() if name in there and there[name].digest != pin.digest)
    removed = tuple(sorted(there.keys() - wanted.keys()))
    return Arrangement(shared, own, replaced, removed)


def partition(locks: Mapping[str, PythonLock]) -> tuple[Layer, ...]:
    """Cut the environments of a series into shared layers: one for each set of images whose packages are worth it.

    Only packages that all their users have in the same file are shared; the rest stays with each image.
    """
    users: dict[Pin, set[str]] = defaultdict(set)
    for image, lock in locks.items():
        for pin in lock.pins:
            users[pin].add(image)
    names = [pin.name for pin in users]
    sets: dict[frozenset[str], list[Pin]] = defaultdict(list)
    for pin, images in users.items():
        if names.count(pin.name) == 1 and len(images) > 1:
            sets[frozenset(images)].append(pin)
    return _worthwhile(sets, frozenset(locks))


def _worthwhile(sets: Mapping[frozenset[str], list[Pin]], everybody: frozenset[str]) -> tuple[Layer, ...]:
    layers = []
    for images, pins in sorted(sets.items(), key=lambda item: (-len(item[0]), sorted(item[0]))):
        if images == everybody or sum(pin.size for pin in pins) >= _WORTH:
            layers.append(_layer(layer_name(images, everybody), images, pins))
    return tuple(layers)


def layer_name(images: frozenset[str], everybody: frozenset[str]) -> str:
    """Return the name of the layer that a set of images shares."""
    if images == everybody:
        return COMMON
    missing = everybody - images
    if len(missing) < len(images) and len(missing) < _MANY:
        return "without-" + "-".join(sorted(missing))
    return "-".join(sorted(images))


def _layer(name: str, images: Iterable[str], pins: Iterable[Pin]) -> Layer:
    return Layer(name, tuple(sorted(images)), tuple(sorted(pins, key=lambda pin: pin.name)))


def keep(layers: Iterable[Layer], locks: Mapping[str, PythonLock]) -> tuple[Layer, ...]:
    """Return the recorded layers for changed locks: the same content, so no other image changes; only who stands on them may.

    An image stands on a layer while it wants nearly all of it.
    """
    kept = []
    for layer in layers:
        images = [image for image, lock in locks.items() if _wants(lock, layer)]
        if images:
            kept.append(_layer(layer.name, images, layer.pins))
    return tuple(kept)


def _wants(lock: PythonLock, layer: Layer) -> bool:
    wanted = {pin.digest for pin in lock.pins}
    return sum(pin.size for pin in layer.pins if pin.digest in wanted) >= _SAME * max(layer.size, 1)


def layers_text(series: str, layers: Iterable[Layer]) -> str:
    """Return the content of a layers lock."""
    lines = [f"# Layers that the Python images of {series} share. Written by `release spec lock`; do not edit."]
    for layer in layers:
        lines.append(f"[{layer.name}] {' '.join(layer.images)}")
        lines += [f"{pin.requirement}  # {pin.filename} {pin.size}" for pin in layer.pins]
    return "\n".join(lines) + "\n"


def parse_layers(text: str, name: str) -> tuple[Layer, ...]:
    """Return the layers in `text`. Raises WrongInputError with file and line for a line it cannot read."""
    layers: list[Layer] = []
    lines = text.splitlines()
    titles = [(number, found) for number, line in enumerate(lines) if (found := _TITLE.fullmatch(line))]
    _refuse_strays(lines[: titles[0][0] if titles else len(lines)], name)
    for index, (number, found) in enumerate(titles):
        end = titles[index + 1][0] if index + 1 < len(titles) else len(lines)
        section = content_lines(lines[number + 1 : end], number + 2)
        layers.append(Layer(found.group(1), tuple(found.group(2).split()), parse_pins(section, name)))
    return tuple(layers)


def _refuse_strays(lines: Iterable[str], name: str) -> None:
    """Refuse what stands in no layer: pins below a damaged title would be lost without a word."""
    if strays := content_lines(lines):
        place = Position(name, strays[0][0])
        problem = Problem("the line is in no layer", place, "A layer begins with `[name] images`.")
        raise WrongInputError.from_problems(
            f"{name} cannot be used", [problem], "Layers are written by `release spec lock`; restore the file."
        )
