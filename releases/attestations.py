# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Which statements belong to a release: its own signature, and for each image signature and evidence. Pure.

What is signed and what is expected when it is checked come from here, so they cannot drift apart.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from releases.release import REPOSITORY, MixedReleaseError, ReleaseContent, ReleaseImage, identity
from releases.statements import PROVENANCE, SBOM, SCAN, SIGNATURE, SUMMARY, VEX, Statement, Subject, make_statement

DEVELOPMENT = "dev.stackway.development"
RELEASE = "dev.stackway.release"


def annotations(content: ReleaseContent, *, development: bool) -> dict[str, str]:
    """Return the remarks that are signed with every signature of a release."""
    return {RELEASE: str(content.version), **({DEVELOPMENT: "true"} if development else {})}


def release_subject(content: ReleaseContent, *, development: bool) -> Subject:
    """Return the release as what a signature is about."""
    return Subject(identity(REPOSITORY), content.digest, annotations(content, development=development))


def image_subject(image: ReleaseImage, *, development: bool) -> Subject:
    """Return an image as what a signature is about; it may be in many releases, so none is named."""
    remarks = {DEVELOPMENT: "true"} if development else {}
    return Subject(image.identity, image.manifest.digest, remarks)


def signature(subject: Subject) -> Statement:
    """Return the statement that means "signed" and nothing else."""
    return make_statement(subject, SIGNATURE, {})


def evidence(content: ReleaseContent, image: ReleaseImage, subject: Subject) -> Iterator[Statement]:
    """Yield the statements about an image, whose predicates are files of the release. Raises MixedReleaseError."""
    try:
        yield from _evidence(content, image, subject)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise MixedReleaseError(
            f"the evidence about {image.name} cannot be read",
            details=f"{content.digest}: {type(error).__name__}: {error}"[:300],
            resolution="Do not use it, and do not sign it. Get the release anew from whoever made it.",
        ) from error


def _evidence(content: ReleaseContent, image: ReleaseImage, subject: Subject) -> Iterator[Statement]:
    folder = f"images/{image.name}"
    yield make_statement(subject, PROVENANCE, content.files[f"{folder}/provenance.json"].content)
    if image.scanned:
        yield make_statement(subject, SBOM, content.files[f"{folder}/sbom.json"].content)
        yield make_statement(subject, SCAN, scan_predicate(content.data(f"{folder}/scan.json")))
        yield make_statement(subject, VEX, content.files[f"{folder}/vex.json"].content)
        yield make_statement(subject, SUMMARY, verdict_summary(content, image))


def scan_predicate(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a scan report as cosign's predicate for vulnerabilities. Its times are those of the database."""
    key = report["key"]
    database = key["database"]
    return {
        "invocation": {"uri": "", "event_id": "", "builder.id": ""},
        "scanner": {
            "uri": f"pkg:github/aquasecurity/trivy@{key['scanner']}",
            "version": key["scanner"],
            "db": {
                "uri": database["source"],
                "version": str(database["version"]),
                "lastUpdate": database["updated"],
            },
            "result": dict(report),
        },
        "metadata": {"scanStartedOn": database["updated"], "scanFinishedOn": database["updated"]},
    }


def verdict_summary(content: ReleaseContent, image: ReleaseImage) -> dict[str, Any]:
    """Return the verdict over an image as a verification summary (slsa.dev/verification_summary/v1)."""
    verdict = content.data(f"images/{image.name}/verdict.json")
    return {
        "verifier": {"id": "urn:stackway:gate:v1"},
        "timeVerified": content.data(f"images/{image.name}/scan.json")["key"]["database"]["updated"],
        "resourceUri": f"{image.identity}@{image.manifest.digest}",
        "policy": {
            "uri": f"urn:stackway:policy:{verdict['policy']}",
            "digest": {"sha256": str(verdict["rules"]).removeprefix("sha256:")},
        },
        "inputAttestations": [{"digest": {"sha256": str(verdict["report"]).removeprefix("sha256:")}}],
        "verificationResult": "PASSED" if verdict["outcome"] == "passed" else "FAILED",
        "verifiedLevels": [],
    }
