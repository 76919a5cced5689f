# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases.provenance import BUILD_TYPE, make_provenance
from stackway.files import canonical_json, digest_bytes
from tests.fakes.releases import service

NOVA = service("nova")
SPEC = digest_bytes(b"spec")
HEX = digest_bytes(b"part").removeprefix("sha256:")


def dependencies(**inputs: str) -> list[dict[str, Any]]:
    named = {name.replace("_", " "): value for name, value in inputs.items()}
    found: list[dict[str, Any]] = make_provenance(NOVA, SPEC, named)["buildDefinition"]["resolvedDependencies"]
    return found


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("Python package oslo.db", f"1.0 sha256:{HEX}", {"uri": "pkg:pypi/oslo.db@1.0", "digest": {"sha256": HEX}}),
        (
            "system package g++",
            f"4:1+b1 sha256:{HEX}",
            {"uri": "pkg:deb/debian/g%2B%2B@4%3A1%2Bb1", "digest": {"sha256": HEX}},
        ),
        ("base image", f"debian sha256:{HEX}", {"name": "base image", "digest": {"sha256": HEX}}),
        ("context", f"sha256:{HEX}", {"name": "context", "digest": {"sha256": HEX}}),
        ("Python package odd", f"sha256:{HEX}", {"name": "Python package odd", "digest": {"sha256": HEX}}),
    ],
)
def test_an_input_with_a_digest_becomes_a_dependency(name: str, value: str, expected: dict[str, Any]) -> None:
    made = make_provenance(NOVA, SPEC, {name: value})["buildDefinition"]
    assert (made["resolvedDependencies"], made["internalParameters"]) == ([expected], {})


@pytest.mark.parametrize("value", ["", "1.0", "sha256:abc", f"sha256:{HEX}0", f"sha256:{HEX}\n", f"sha512:{HEX}"])
def test_an_input_without_a_digest_is_no_dependency(value: str) -> None:
    made = make_provenance(NOVA, SPEC, {"builder": value})["buildDefinition"]
    assert (made["resolvedDependencies"], made["internalParameters"]) == ([], {"builder": value})


def test_provenance_names_the_spec_and_the_builder() -> None:
    made = make_provenance(NOVA, SPEC, {"builder": "BuildKit 0.32.2"})
    assert made["buildDefinition"]["buildType"] == BUILD_TYPE
    assert made["buildDefinition"]["externalParameters"] == {"service": "nova", "series": "2026.1", "spec": SPEC}
    assert made["runDetails"]["builder"]["id"] == "urn:stackway:builder:BuildKit%200.32.2"
    assert make_provenance(NOVA, SPEC, {})["runDetails"]["builder"]["id"] == "urn:stackway:builder:unknown"


@given(st.dictionaries(st.text(max_size=9), st.text(max_size=9) | st.just(f"a sha256:{HEX}"), max_size=6), st.randoms())
def test_every_input_is_told_once_in_whatever_order(inputs: dict[str, str], chance: Any) -> None:
    shuffled = dict(chance.sample(sorted(inputs.items()), len(inputs)))
    made = make_provenance(NOVA, SPEC, inputs)
    assert make_provenance(NOVA, SPEC, shuffled) == made
    parts = made["buildDefinition"]
    assert len(parts["internalParameters"]) + len(parts["resolvedDependencies"]) == len(inputs)


def test_provenance_holds_no_time() -> None:
    assert b"Time" not in canonical_json(make_provenance(NOVA, SPEC, {"builder": "b"}))
    assert dependencies(Python_package_b=f"1 sha256:{HEX}", Python_package_a=f"1 sha256:{HEX}")[0]["uri"].endswith(
        "/a@1"
    )
