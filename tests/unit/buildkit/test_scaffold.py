# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A new service's first files make a spec that can be read, in their own folder, over nothing that is there."""

from pathlib import Path

import pytest

from buildkit.scaffold import NewService, scaffold
from buildkit.sources import load_templates
from stackway.errors import WrongInputError
from tests.fakes.checkout import FakeCheckout


@pytest.fixture
def checkout(tmp_path: Path) -> FakeCheckout:
    return FakeCheckout(tmp_path / "root")


def written(checkout: FakeCheckout, wanted: NewService) -> list[str]:
    return [str(path.relative_to(checkout.root)) for path in scaffold(checkout.catalog(), wanted)]


@pytest.mark.parametrize(
    "wanted",
    [
        NewService("heat", "2026.1", "openstack-heat", "26.0.0"),
        NewService("heat", "2025.1", "heat", "24.0"),
        NewService("heat", "2025.1", "heat", "1.10"),
        NewService("octavia-dashboard", "2026.1", "octavia-dashboard", "16.0.0"),
    ],
)
def test_the_written_files_are_a_spec(checkout: FakeCheckout, wanted: NewService) -> None:
    assert written(checkout, wanted) == [
        f"images/{wanted.name}/service.yaml",
        f"images/{wanted.name}/{wanted.series}.yaml",
        f"images/{wanted.name}/templates/{wanted.name}.conf.j2",
    ]
    catalog = checkout.catalog()
    service = catalog.service(wanted.name, wanted.series)
    assert (service.distribution, service.version) == (wanted.distribution, wanted.version)
    name = f"{wanted.name}/{wanted.name}.conf.j2"
    assert load_templates(catalog).environment.get_template(name).name == name


def test_another_series_of_a_service_keeps_what_is_there(checkout: FakeCheckout) -> None:
    before = (checkout.root / "images/glance/service.yaml").read_text()
    wanted = NewService("glance", "2025.1", "glance", "30.0.0")
    assert written(checkout, wanted) == ["images/glance/2025.1.yaml"]
    assert (checkout.root / "images/glance/service.yaml").read_text() == before
    assert checkout.catalog().service("glance", "2025.1").version == "30.0.0"


def test_nothing_is_written_over(checkout: FakeCheckout) -> None:
    checkout.write("images/heat/templates/heat.conf.j2", "mine")
    written(checkout, NewService("heat", "2026.1", "heat", "26.0.0"))
    assert (checkout.root / "images/heat/templates/heat.conf.j2").read_text() == "mine"


@pytest.mark.parametrize(
    ("wanted", "brief"),
    [
        (NewService("keystone", "2026.1", "keystone", "1.0"), "keystone is there already in 2026.1"),
        (NewService("heat", "2027.1", "heat", "1.0"), "there is no series '2027.1'"),
        (NewService("../../heat", "2026.1", "heat", "1.0"), "cannot be written as a service"),
        (NewService("a b", "2026.1", "heat", "1.0"), "cannot be written as a service"),
        (NewService("heat", "2026.1", "he at", "1.0"), "cannot be written as a service"),
        (NewService("heat", "2026.1", "heat", "newest"), "cannot be written as a service"),
        (NewService("heat", "2026.1", "heat", '1"\nuser: "x'), "cannot be written as a service"),
        (NewService("heat: [", "2026.1", "heat", "1.0"), r"service\.yaml cannot be used"),
        (NewService("shared", "2026.1", "shared", "1.0"), "no service can be called 'shared'"),
    ],
)
def test_what_cannot_be_a_service_is_refused(checkout: FakeCheckout, wanted: NewService, brief: str) -> None:
    before = sorted(checkout.root.parent.rglob("*"))
    with pytest.raises(WrongInputError, match=brief):
        scaffold(checkout.catalog(), wanted)
    assert sorted(checkout.root.parent.rglob("*")) == before


def test_a_series_that_is_not_there_is_answered_with_those_that_are(checkout: FakeCheckout) -> None:
    with pytest.raises(WrongInputError) as caught:
        scaffold(checkout.catalog(), NewService("heat", "2027.1", "heat", "1.0"))
    assert caught.value.resolution == "There are: 2025.1, 2026.1."
