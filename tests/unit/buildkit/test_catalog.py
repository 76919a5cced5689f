# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A checkout's files become resolved specs, or one error that names every problem of every file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buildkit.catalog import Catalog, load_catalog
from stackway.errors import WrongInputError
from tests.fakes.checkout import SPECS, FakeCheckout

KEYSTONE, GLANCE, MEMCACHED = (f"images/{name}/service.yaml" for name in ("keystone", "glance", "memcached"))
SERIES, BASE = "images/series/2026.1.yaml", "images/bases/trixie.yaml"


@pytest.fixture
def checkout(tmp_path: Path) -> FakeCheckout:
    return FakeCheckout(tmp_path)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return FakeCheckout(tmp_path_factory.mktemp("checkout")).catalog()


def problems(checkout: FakeCheckout, overlay: str = "") -> list[str]:
    with pytest.raises(WrongInputError, match=r"^the specs cannot be used$") as caught:
        checkout.catalog(overlay)
    return [str(problem) for problem in caught.value.problems]


def images(services: list[Any]) -> list[str]:
    return [service.image for service in services]


def test_a_service_is_its_two_files_merged_in_each_series_that_has_one(catalog: Catalog) -> None:
    assert sorted(catalog.services) == [
        ("glance", "2026.1"),
        ("keystone", "2025.1"),
        ("keystone", "2026.1"),
        ("memcached", "1.6"),
    ]
    keystone = catalog.service("keystone", "2025.1")
    assert (keystone.version, keystone.summary) == ("27.0.0", "keystone of the tests")


def test_each_value_knows_the_file_that_says_it(catalog: Catalog) -> None:
    resolved = catalog.resolved("keystone", "2026.1")
    assert str(resolved.document.place(("version",))) == "images/keystone/2026.1.yaml:3"
    assert resolved.document.place(("summary",)).file == KEYSTONE
    assert resolved.folder == catalog.root / "images/keystone"


@pytest.mark.parametrize(
    ("name", "series", "base"),
    [("keystone", "2025.1", "bookworm"), ("keystone", "2026.1", "trixie"), ("memcached", "1.6", "trixie")],
)
def test_the_base_is_the_services_own_or_its_series(catalog: Catalog, name: str, series: str, base: str) -> None:
    assert catalog.base_of(catalog.service(name, series)).name == base


def test_a_series_has_its_services_and_its_infrastructure(catalog: Catalog) -> None:
    assert images(catalog.members("2026.1")) == ["glance:2026.1", "keystone:2026.1", "memcached:1.6"]
    assert images(catalog.members("2025.1")) == ["keystone:2025.1", "memcached:1.6"]


def test_siblings_are_the_python_images_of_the_series(catalog: Catalog) -> None:
    assert images(catalog.siblings(catalog.service("glance", "2026.1"))) == ["glance:2026.1", "keystone:2026.1"]
    assert images(catalog.siblings(catalog.service("memcached", "1.6"))) == []


@pytest.mark.parametrize(
    ("words", "series", "chosen"),
    [
        ([], None, ["glance:2026.1", "keystone:2025.1", "keystone:2026.1", "memcached:1.6"]),
        ([], "2025.1", ["keystone:2025.1", "memcached:1.6"]),
        (["keystone"], None, ["keystone:2025.1", "keystone:2026.1"]),
        (["memcached", "keystone:2026.1"], None, ["keystone:2026.1", "memcached:1.6"]),
        (["keystone", "keystone:2025.1"], "2025.1", ["keystone:2025.1"]),
    ],
)
def test_words_select_images_in_a_stable_order(
    catalog: Catalog, words: list[str], series: str | None, chosen: list[str]
) -> None:
    assert images(catalog.select(words, series)) == chosen


@pytest.mark.parametrize(
    ("ask", "brief", "resolution"),
    [
        (lambda it: it.select(["keystnoe"]), "there is no image 'keystnoe'", "Did you mean 'keystone'?"),
        (lambda it: it.select(["glance"], "2025.1"), "there is no image 'glance'", "`release spec list`"),
        (lambda it: it.select([], "2026.2"), "there is no series '2026.2'", "Did you mean '2026.1'?"),
        (lambda it: it.service("keystone", "2026.2"), "there is no image 'keystone:2026.2'", "'keystone:2026.1'?"),
        (lambda it: load_catalog(it.root, "xyzzy"), "there is no overlay 'xyzzy'", "overlays/xyzzy"),
        (lambda it: load_catalog(it.root / "images"), "there is no folder 'images' here", "release --root DIR"),
    ],
    ids=range(6),
)
def test_what_names_nothing_is_told_with_the_nearest_name(
    catalog: Catalog, ask: Callable[[Catalog], object], brief: str, resolution: str
) -> None:
    with pytest.raises(WrongInputError) as caught:
        ask(catalog)
    assert caught.value.brief == brief
    assert resolution in caught.value.resolution


@pytest.mark.parametrize(
    ("path", "values", "told"),
    [
        (KEYSTONE, {"name": "keystnoe"}, f"{KEYSTONE}:4: name is 'keystnoe', but the file is 'keystone''s"),
        ("images/keystone/2026.1.yaml", {"series": "2025.1"}, "2026.1.yaml:2: series is '2025.1', but the file is"),
        (BASE, {"name": "sid"}, f"{BASE}:4: name is 'sid', but the file is 'trixie''s"),
        (SERIES, {"base": "trixi"}, f"{SERIES}:6: base names 'trixi', which is not there\n    Did you mean 'trixie'?"),
        (MEMCACHED, {"base": "jessie"}, "base names 'jessie', which is not there\n    There are: bookworm, trixie"),
        (MEMCACHED, {"base": None}, "memcached has no base: '1.6' is no series in images/series"),
        (SERIES, {"infrastructure": {"memcached": "1.7"}}, "infrastructure names memcached:1.7, which is not there"),
        (GLANCE, {"upgrade": {"after": ["keyston"]}}, "upgrade names 'keyston', which is not there\n    Did you mean"),
        (GLANCE, {"upgrade": {"after": ["memcached"]}}, "upgrade names 'memcached', which is not there"),
        (GLANCE, {"upgrade": {"after": ["glance"]}}, "the upgrade order of 2026.1 goes round in a circle: glance"),
        (GLANCE, {"lables": {}}, "unknown key 'lables'\n    Did you mean 'labels'?"),
        (GLANCE, {"summary": 3}, "'summary' must be text, not a number\n    Write it in quotes."),
        (GLANCE, {"apiVersion": "v2"}, f"{GLANCE}:2: 'apiVersion': Input should be 'stackway/v1'"),
        (MEMCACHED, {"layout": "python", "packages": {}}, "memcached has no constraints: '1.6' is no series in images"),
    ],
    ids=range(14),
)
def test_a_wrong_spec_is_told_with_file_line_and_remedy(
    checkout: FakeCheckout, path: str, values: dict[str, Any], told: str
) -> None:
    checkout.change(path, **values)
    found = problems(checkout)
    assert any(told in problem for problem in found), found


def test_a_circle_of_upgrades_names_who_is_in_it(checkout: FakeCheckout) -> None:
    checkout.change(KEYSTONE, upgrade={"after": ["glance"]})
    found = problems(checkout)
    assert any("the upgrade order of 2026.1 goes round in a circle: glance, keystone" in told for told in found)


def test_every_problem_of_every_file_is_told_at_once(checkout: FakeCheckout) -> None:
    checkout.change(BASE, nmae="trixie")
    checkout.write(SERIES, "a: &x 1")
    checkout.write("images/keystone/2026.1.yaml", "a: 1\na: 2")
    checkout.change(MEMCACHED, user="root")
    files = [told.split(":")[0] for told in problems(checkout)]
    assert files == [BASE, "images/keystone/2026.1.yaml", MEMCACHED, SERIES]


@pytest.mark.parametrize("path", ["images/keystone/service.yaml", SERIES])
def test_what_is_missing_is_told_by_its_key(checkout: FakeCheckout, path: str) -> None:
    checkout.change(path, apiVersion=None)
    assert f"{path}:1: 'apiVersion' is missing" in problems(checkout)


class TestOverlay:
    """A site's files lie over ours."""

    @pytest.fixture(autouse=True)
    def write_overlay(self, checkout: FakeCheckout) -> None:
        checkout.write("overlays/acme/keystone/service.yaml", {"environment": {"EXAMPLE": None, "SITE": "acme"}})
        checkout.write(
            "overlays/acme/keystone/2026.1.yaml", {"version": "29.0.3", "packages": {"python+": ["ldappool"]}}
        )
        checkout.write("overlays/acme/series/2026.1.yaml", {"infrastructure": {"memcached": None}})
        checkout.write("overlays/acme/horizon/service.yaml", {**SPECS[KEYSTONE], "name": "horizon"})
        checkout.write("overlays/acme/horizon/2026.1.yaml", {"series": "2026.1", "version": "1.0"})

    def test_its_values_win_and_say_where_they_come_from(self, checkout: FakeCheckout) -> None:
        resolved = checkout.catalog("acme").resolved("keystone", "2026.1")
        assert resolved.spec.environment == {"SITE": "acme"}
        assert (resolved.spec.version, resolved.spec.packages.python) == ("29.0.3", ("keystone", "ldappool"))
        assert str(resolved.document.place(("version",))) == "overlays/acme/keystone/2026.1.yaml:2"
        assert resolved.document.place(("packages", "python", 0)).file == KEYSTONE
        assert str(resolved.document.place(("packages", "python", 1))) == "overlays/acme/keystone/2026.1.yaml:5"

    def test_it_may_add_services_and_take_infrastructure_away(self, checkout: FakeCheckout) -> None:
        catalog = checkout.catalog("acme")
        assert images(catalog.members("2026.1")) == ["glance:2026.1", "horizon:2026.1", "keystone:2026.1"]

    def test_without_it_nothing_of_it_is_seen(self, checkout: FakeCheckout) -> None:
        catalog = checkout.catalog()
        assert catalog.service("keystone", "2026.1").version == "29.0.2"
        assert not any(name == "horizon" for name, _ in catalog.services)

    def test_what_is_wrong_in_it_is_told_with_its_file(self, checkout: FakeCheckout) -> None:
        checkout.write("overlays/acme/keystone/service.yaml", {"packages": {"python-": ["nothing"]}, "labls": {}})
        told = problems(checkout, "acme")
        assert any("overlays/acme/keystone/service.yaml:4: 'nothing' is not in 'python'" in line for line in told)
