# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Policies and exceptions as people would write them, and one finding of each kind that is no hole."""

from typing import Any

from buildkit.scan.policy import Exemption, Policy
from buildkit.scan.report import Licence, Misconfiguration, PackageKind, Secret, Severity
from tests.fakes.scanned import LAYER, POLICY

SECRET = Secret("/etc/x.conf", 3, "AWS-ACCESS-KEY-ID", Severity.CRITICAL, "a key", LAYER)
GPL = Licence(PackageKind.PYTHON, "requests", "AGPL-3.0-only", "forbidden")
ROOT = Misconfiguration("DS-0002", 4, Severity.HIGH, "root", "runs as root", "Add USER.")
WHOLE = {"id": "CVE-1-1", "package": "requests", "owner": "Ann", "reason": "not ours", "expires": "2026-12-24"}


def policy(**changes: Any) -> Policy:
    """Return the tests' policy with other rules."""
    return Policy.model_validate({**POLICY.model_dump(mode="json", by_alias=True), **changes})


def exemption(**changes: Any) -> Exemption:
    """Return an exception for CVE-1-1 in requests until Christmas Eve of 2026, with changes."""
    return Exemption.model_validate({**WHOLE, **changes})
