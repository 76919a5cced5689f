# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A build is prepared from specs, locks, records and the store; what cannot be used is refused before anything happens."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from buildkit.plan import ActionKind, BuildRecord
from buildkit.prepare import check_specs, find_damage, load_records, prepare, render_all, render_dockerfiles
from buildkit.store import Store
from stackway import clock
from stackway.errors import Position, WrongInputError
from stackway.files import write_json
from tests.fakes.checkout import FakeCheckout
from tests.fakes.images import damage, write_layout

KEYSTONE, GLANCE, MEMCACHED = "keystone:2026.1", "glance:2026.1", "memcached:1.6"
SPEC = "images/keystone/2026.1.yaml"
OVERRIDE = {"requests": {"version": "2", "owner": "Tests", "reason": "an example", "expires": "2026-06-15"}}


@pytest.fixture
def checkout(tmp_path: Path) -> FakeCheckout:
    checkout = FakeCheckout(tmp_path)
    checkout.lock()
    return checkout


def actions(checkout: FakeCheckout, *words: str, force: str = "") -> dict[str, tuple[ActionKind, str]]:
    opened = checkout.open()
    plan = prepare(opened, opened.catalog.select(words), force=force).plan
    return {action.image: (action.kind, action.reason) for action in plan.actions}


def build(checkout: FakeCheckout, *words: str) -> dict[str, Path]:
    """Record images as built, with something in the store for each; return image → its record."""
    opened = checkout.open()
    layouts, found = {}, {}
    contexts = prepare(opened, opened.catalog.select(words)).contexts
    for image, context in contexts.items():
        layouts[image] = checkout.root / "layouts" / context.slug
        write_layout(layouts[image], [{image: b"x"}])
    for image, stored in opened.store.add(layouts).items():
        found[image] = opened.records / f"{contexts[image].slug}.json"
        record = {"image": image, "inputs": dict(contexts[image].inputs), "digest": stored.manifest.digest}
        write_json(found[image], record)
    return found


NEVER = (ActionKind.BUILD, "it was never built here")
KEPT = (ActionKind.KEEP, "nothing it is made of has changed")


def test_images_that_are_recorded_and_whole_are_kept(checkout: FakeCheckout) -> None:
    build(checkout, KEYSTONE, MEMCACHED)
    assert actions(checkout, KEYSTONE, GLANCE, MEMCACHED) == {GLANCE: NEVER, KEYSTONE: KEPT, MEMCACHED: KEPT}


def test_preparing_touches_nothing_but_compiled_templates(checkout: FakeCheckout) -> None:
    before = set(checkout.root.rglob("*"))
    actions(checkout)
    assert {path.relative_to(checkout.root).parts[0] for path in set(checkout.root.rglob("*")) - before} == {
        ".stackway"
    }
    assert [path.name for path in (checkout.root / ".stackway").iterdir()] == ["templates"]


def test_a_changed_spec_is_built_and_the_reason_is_told(checkout: FakeCheckout) -> None:
    build(checkout)
    checkout.change("images/memcached/1.6.yaml", version="1.6.39")
    found = actions(checkout, GLANCE, MEMCACHED)
    label = "label org.opencontainers.image.version 1.6.38 \N{RIGHTWARDS ARROW} 1.6.39"
    assert found == {GLANCE: KEPT, MEMCACHED: (ActionKind.BUILD, label)}


def test_force_builds_what_could_be_kept(checkout: FakeCheckout) -> None:
    build(checkout, GLANCE)
    assert actions(checkout, GLANCE, force="asked for") == {GLANCE: (ActionKind.BUILD, "asked for")}


def lose_store(checkout: FakeCheckout) -> None:
    shutil.rmtree(checkout.root / ".stackway/store")


def lose_image(checkout: FakeCheckout) -> None:
    checkout.open().store.forget([GLANCE])


def replace_image(checkout: FakeCheckout) -> None:
    write_layout(checkout.root / "other", [{"other": b"1"}])
    checkout.open().store.add({GLANCE: checkout.root / "other"})


def rot(checkout: FakeCheckout) -> None:
    store = checkout.open().store
    damage(store, store.images()[GLANCE].layers[0].digest)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lose_store, "it is not in the store"),
        (lose_image, "it is not in the store"),
        (replace_image, "it is not in the store"),
        (rot, "in the store is corrupt"),
    ],
)
def test_a_recorded_image_that_is_not_whole_is_built(
    checkout: FakeCheckout, harm: Callable[[FakeCheckout], None], reason: str
) -> None:
    build(checkout, GLANCE)
    harm(checkout)
    kind, told = actions(checkout, GLANCE)[GLANCE]
    assert kind is ActionKind.BUILD
    assert told.endswith(reason)


@pytest.mark.parametrize("content", ["", "{", "[]", "7", "{}", '{"image": "glance:2026.1", "inputs": {}}'])
def test_a_record_that_cannot_be_read_counts_as_none(checkout: FakeCheckout, content: str) -> None:
    build(checkout, GLANCE)[GLANCE].write_text(content)
    assert actions(checkout, GLANCE) == {GLANCE: NEVER}


def test_records_are_read_by_image(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"image": "a:1", "inputs": {"x": "1"}, "digest": "sha256:1"})
    (tmp_path / "note.txt").write_text("no record")
    assert load_records(tmp_path) == {"a:1": BuildRecord("a:1", {"x": "1"}, "sha256:1")}
    assert load_records(tmp_path / "nowhere") == {}


def test_only_recorded_images_are_looked_at(tmp_path: Path) -> None:
    assert find_damage(Store(tmp_path / "store"), tmp_path / "records") == {}


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what sets the clock, UTC."""
    return lambda text: monkeypatch.setattr(clock, "now", lambda: datetime.fromisoformat(text).replace(tzinfo=UTC))


def test_an_override_holds_to_the_last_second_of_the_day_before(
    checkout: FakeCheckout, at: Callable[[str], None]
) -> None:
    checkout.change(SPEC, overrides=OVERRIDE)
    checkout.lock()
    at("2026-06-14T23:59:59")
    assert actions(checkout, KEYSTONE) == {KEYSTONE: NEVER}
    at("2026-06-15T00:00:00")
    with pytest.raises(WrongInputError, match="overrides have expired") as caught:
        actions(checkout, KEYSTONE)
    assert caught.value.details.startswith(f"{SPEC}:")
    assert "the override of requests expired on 2026-06-15 (an example)" in caught.value.details


def test_an_expired_override_stops_only_the_images_it_bears_on(
    checkout: FakeCheckout, at: Callable[[str], None]
) -> None:
    checkout.change(SPEC, overrides=OVERRIDE)
    checkout.lock()
    at("2027-01-01")
    assert actions(checkout, GLANCE, "keystone:2025.1").keys() == {GLANCE, "keystone:2025.1"}


def test_an_expired_override_of_a_series_is_told_once_and_replaced_by_an_image_s_own(
    checkout: FakeCheckout, at: Callable[[str], None]
) -> None:
    series: dict[str, Any] = {"version": "2.0.30", "owner": "Tests", "reason": "old", "expires": "2026-06-15"}
    checkout.change("images/series/2026.1.yaml", overrides={"pyuwsgi": series})
    checkout.change(SPEC, overrides={"pyuwsgi": {**series, "expires": "2999-12-31"}})
    checkout.lock()
    at("2027-01-01")
    assert actions(checkout, KEYSTONE, MEMCACHED).keys() == {KEYSTONE, MEMCACHED}
    with pytest.raises(WrongInputError) as caught:
        actions(checkout)
    lines = (checkout.root / "images/series/2026.1.yaml").read_text().splitlines()
    place = Position("images/series/2026.1.yaml", lines.index('   "expires": "2026-06-15"') + 1)
    assert [item.position for item in caught.value.problems] == [place]


@pytest.mark.parametrize(("day", "warnings"), [("2026-05-15", 0), ("2026-05-16", 1), ("2026-06-14", 1)])
def test_an_override_that_ends_soon_is_a_warning(
    checkout: FakeCheckout, at: Callable[[str], None], day: str, warnings: int
) -> None:
    checkout.change(SPEC, overrides=OVERRIDE)
    checkout.lock()
    at(day)
    opened = checkout.open()
    found = check_specs(opened, opened.catalog.select([]))
    assert len(found) == warnings
    assert all("the override of requests expires on 2026-06-15" in text for text in found)


def test_locks_that_do_not_match_are_refused(checkout: FakeCheckout) -> None:
    checkout.change(SPEC, version="29.0.3")
    with pytest.raises(WrongInputError, match="the locks do not match the specs"):
        actions(checkout)
    assert actions(checkout, GLANCE) == {GLANCE: NEVER}


def test_a_template_that_cannot_be_rendered_is_named_with_its_line(checkout: FakeCheckout) -> None:
    checkout.write("images/keystone/templates/keystone.conf.j2", "[DEFAULT]\nx = {{ nowhere.y }}\n")
    with pytest.raises(WrongInputError) as caught:
        actions(checkout, KEYSTONE)
    assert caught.value.details == "images/keystone/templates/keystone.conf.j2:2: 'nowhere' is undefined"


def test_everything_rendered_lies_below_its_image(checkout: FakeCheckout) -> None:
    catalog = checkout.catalog()
    texts = render_all(catalog, catalog.select([KEYSTONE, MEMCACHED]))
    assert sorted(texts) == [
        "keystone-2026.1/Dockerfile",
        "keystone-2026.1/deployment/etc/keystone/keystone.conf",
        "keystone-2026.1/image/etc/stackway/uwsgi/api.ini",
        "keystone-2026.1/smoke/check.sh",
        "memcached-1.6/Dockerfile",
        "memcached-1.6/smoke/check.sh",
    ]
    assert texts["keystone-2026.1/deployment/etc/keystone/keystone.conf"] == "[DEFAULT]\ndebug = false\n"
    assert json.dumps(texts) == json.dumps(render_all(catalog, catalog.select([KEYSTONE, MEMCACHED])))


def test_dockerfiles_alone_are_those_of_everything_rendered(checkout: FakeCheckout) -> None:
    catalog = checkout.catalog()
    services = catalog.select([])
    everything = render_all(catalog, services)
    expected = {name: text for name, text in everything.items() if name.endswith("/Dockerfile")}
    assert render_dockerfiles(catalog, services) == expected
    assert len(expected) == len(services)


def test_dockerfiles_alone_need_no_other_template(checkout: FakeCheckout) -> None:
    checkout.write("images/keystone/templates/keystone.conf.j2", "{{ nowhere.y }}\n")
    catalog = checkout.catalog()
    assert sorted(render_dockerfiles(catalog, catalog.select([KEYSTONE]))) == ["keystone-2026.1/Dockerfile"]


def test_dockerfiles_alone_are_refused_for_locks_that_do_not_match(checkout: FakeCheckout) -> None:
    checkout.change(SPEC, version="29.0.3")
    catalog = checkout.catalog()
    with pytest.raises(WrongInputError, match="the locks do not match the specs"):
        render_dockerfiles(catalog, catalog.select([KEYSTONE]))
