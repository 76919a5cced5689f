# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
import json
import random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit.scan.sbom import normalise
from stackway.errors import FailedError
from stackway.files import canonical_json

DIGEST = "sha256:" + "a" * 64


def bom(seed: int) -> dict[str, Any]:
    """Return a list as Trivy writes it: the same parts, other identifiers and another order each time."""
    chance = random.Random(seed)

    def name() -> str:
        return str(UUID(int=chance.getrandbits(128)))

    root, system, egg = name(), name(), name()
    components = [
        {"bom-ref": system, "type": "operating-system", "name": "debian", "version": "13.7"},
        {
            "bom-ref": egg,
            "type": "library",
            "name": "egg",
            "purl": "pkg:pypi/egg@1.0",
            "properties": [{"name": "aquasecurity:trivy:FilePath", "value": "opt/egg"}],
        },
        {"bom-ref": "pkg:pypi/requests@2.0", "type": "library", "name": "requests", "purl": "pkg:pypi/requests@2.0"},
    ]
    references = [system, egg, "pkg:pypi/requests@2.0"]
    dependencies = [{"ref": root, "dependsOn": references}, *({"ref": ref, "dependsOn": []} for ref in references)]
    chance.shuffle(components)
    chance.shuffle(references)
    chance.shuffle(dependencies)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "serialNumber": f"urn:uuid:{name()}",
        "metadata": {
            "timestamp": f"2026-11-23T00:00:{seed:02d}Z",
            "component": {"bom-ref": root, "type": "container", "name": f"/somewhere/store-{seed}@{DIGEST}"},
        },
        "components": components,
        "dependencies": dependencies,
        "vulnerabilities": [{"id": "CVE-1-1"}],
    }


@given(st.integers(2, 1 << 32))
def test_two_lists_of_an_image_are_equal_to_the_byte(seed: int) -> None:
    first, second = (canonical_json(normalise(bom(number), "nova:2026.1", DIGEST)) for number in (1, seed))
    assert first == second


def test_nothing_of_the_machine_the_moment_or_the_database_stays() -> None:
    text = json.dumps(normalise(bom(1), "nova:2026.1", DIGEST))
    assert [word for word in ("somewhere", "timestamp", "vulnerabilities", "CVE") if word in text] == []


def test_references_are_named_after_what_they_stand_for() -> None:
    found = normalise(bom(1), "nova:2026.1", DIGEST)
    root = f"pkg:oci/nova@sha256%3A{'a' * 64}"
    names = ["operating-system:debian@13.7", "pkg:pypi/egg@1.0#opt/egg", "pkg:pypi/requests@2.0"]
    assert [item["bom-ref"] for item in found["components"]] == names
    assert {"ref": root, "dependsOn": names} in found["dependencies"]
    assert (found["metadata"]["component"]["name"], found["metadata"]["component"]["bom-ref"]) == ("nova:2026.1", root)


def test_another_image_has_another_serial_number() -> None:
    other = normalise(bom(1), "nova:2026.1", "sha256:" + "b" * 64)
    assert other["serialNumber"] != normalise(bom(1), "nova:2026.1", DIGEST)["serialNumber"]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        [],
        None,
        {"metadata": {}},
        {**bom(1), "components": [{}]},
        {**bom(1), "components": ["egg"]},
        {**bom(1), "components": [{"bom-ref": 5}]},
        {**bom(1), "dependencies": [{"ref": "nothing"}]},
    ],
    ids=[
        "empty",
        "a list",
        "nothing",
        "no root",
        "a part without a name",
        "a part that is a word",
        "a name that is a number",
        "a reference to nothing",
    ],
)
def test_what_is_no_list_of_parts_is_an_error(wrong: Any) -> None:
    with pytest.raises(FailedError, match=r"list of the parts of nova:2026\.1 cannot be used"):
        normalise(wrong, "nova:2026.1", DIGEST)
