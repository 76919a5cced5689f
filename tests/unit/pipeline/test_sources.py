# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The lines that an image was made from: those of this checkout, and what of them is other than in the release."""

from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

import pytest

from buildkit.catalog import Catalog, load_catalog
from buildkit.models import Service
from pipeline.sources import Source, Sources, source_nodes
from pipeline.tracing import sources_of
from stackway.files import digest_bytes
from tests.fakes.sites import ROOT, content

GLANCE = ("glance", "2026.1")


@cache
def checkout() -> Sources:
    return sources_of(cast("Any", SimpleNamespace(catalog=load_catalog(ROOT))), content())


def found(sources: Sources | None, name: str = "glance", process: str = "api") -> list[Source]:
    image = next(item for item in content().images if item.name == name)
    return list(source_nodes(content(), image, process, sources))


def changed(**values: Any) -> Sources:
    """Return the checkout with other values in the spec of glance."""
    catalog = checkout().catalog
    own = catalog.services[GLANCE]
    spec = Service.model_validate({**own.spec.model_dump(mode="json", by_alias=True), **values})
    return replace(checkout(), catalog=with_service(catalog, replace(own, spec=spec)))


def with_service(catalog: Catalog, resolved: Any) -> Catalog:
    services = {key: item for key, item in catalog.services.items() if key != GLANCE}
    return replace(catalog, services={**services, **({GLANCE: resolved} if resolved else {})})


def differing(sources: Sources) -> list[str]:
    return [f"{item.name} {item.note}" for item in found(sources) if item.state != "holds"]


@pytest.mark.parametrize("name", [item.name for item in content().images])
def test_lines_of_the_checkout_that_a_release_was_made_from_all_hold(name: str) -> None:
    rows = found(checkout(), name)
    assert {item.state for item in rows} == {"holds"}
    for item in rows:
        file, _, lines = item.name.partition(":")
        last = int(lines.rpartition("-")[2] or 1)
        assert len((ROOT / file).read_text(encoding="utf-8").splitlines()) >= last >= 1


def test_line_of_the_version_is_the_one_that_says_it() -> None:
    (row,) = (item for item in found(checkout()) if item.note.startswith("version: "))
    file, _, line = row.name.partition(":")
    written = (ROOT / file).read_text(encoding="utf-8").splitlines()[int(line) - 1]
    assert written.split() == row.note.split()


def test_process_that_the_service_has_not_has_no_lines() -> None:
    assert any(item.note == "process api" for item in found(checkout()))
    assert not any(item.note.startswith("process ") for item in found(checkout(), process="none"))


def test_value_that_is_other_now_is_told_with_both_and_the_line_that_says_so() -> None:
    (told,) = differing(changed(version="99.0.0"))
    assert told.startswith("images/glance/2026.1.yaml:")
    assert 'version: the release has "32.0.0", this checkout "99.0.0"' in told


def test_many_other_values_are_counted_and_long_ones_cut() -> None:
    rows = differing(changed(settings={f"key{number:02d}": "x" * 200 for number in range(20)}))
    assert len(rows) == 9
    assert "more values" in rows[-1]
    assert all(len(row) < 300 for row in rows)


def test_image_that_the_checkout_has_no_more_differs() -> None:
    sources = replace(checkout(), catalog=with_service(checkout().catalog, None))
    assert differing(sources) == ["glance:2026.1 this checkout has no such image"]


@pytest.mark.parametrize("kind", ["series", "bases"])
def test_series_or_base_that_the_checkout_has_no_more_differs(kind: str) -> None:
    nothing: dict[str, Any] = {kind: {}}
    catalog = replace(checkout().catalog, **nothing)
    assert [row.partition(" ")[2] for row in differing(replace(checkout(), catalog=catalog))] == [
        "this checkout has it no more"
    ]


def template() -> str:
    return next(name for name in checkout().texts if name.startswith("glance/") and "api.conf" in name)


def test_template_that_is_other_now_is_told_by_its_digests() -> None:
    sources = replace(checkout(), texts={**checkout().texts, template(): "other"})
    (row,) = (item for item in found(sources) if item.state == "differs")
    assert row.digest == digest_bytes(checkout().texts[template()].encode())
    assert digest_bytes(b"other")[:19] in row.note


def test_template_that_is_gone_is_told() -> None:
    texts = {name: text for name, text in checkout().texts.items() if name != template()}
    assert [row.partition(" ")[2] for row in differing(replace(checkout(), texts=texts))] == [
        "this checkout has it no more"
    ]


def test_without_a_checkout_nothing_is_said_to_hold() -> None:
    assert [(item.kind, item.state) for item in found(None)] == [("spec", "unknown")]
