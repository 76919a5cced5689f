# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What a client prints when it fails becomes an error that says what to do."""

import pytest

from stackway.errors import FailedError, RefusedError, StackwayError, UnavailableError
from stackway.tools.trouble import APT, GO, UV, Client, explain

SEEN = [
    (UV, "cause: Hash mismatch for `a==1`\nExpected:\n  sha256:0", RefusedError, "other bytes than those"),
    (GO, "verifying a@v1: checksum mismatch\n\nSECURITY ERROR", RefusedError, "other bytes than those"),
    (APT, "E: Failed to fetch x  Hash Sum mismatch", RefusedError, "other bytes than those"),
    (UV, "error: failed to write: No space left on device (os error 28)", FailedError, "the disk is full"),
    (APT, "E: You don't have enough free space in /var/cache/apt/archives/.", FailedError, "the disk is full"),
    (GO, "link: signal: killed", FailedError, "ran out of memory"),
    (UV, "Because there is no version of a==9 and you require a==9", UnavailableError, "does not have it"),
    (GO, "a@v1: reading x: 410 Gone", UnavailableError, "does not have it"),
    (APT, "E: Unable to locate package a", UnavailableError, "does not have it"),
    (
        GO,
        'Get "x": dial tcp 127.0.0.1:9: connect: connection refused',
        UnavailableError,
        "Go module proxy could not be",
    ),
    (GO, "module lookup disabled by GOPROXY=off", UnavailableError, "Go module proxy could not be reached"),
    (UV, "cause: dns error\ncause: failed to lookup address", UnavailableError, "Python package index could not be"),
    (UV, "Packages were unavailable because the network was disabled", UnavailableError, "could not be reached"),
    (GO, "tls: failed to verify certificate: x509: unknown authority", UnavailableError, "could not be reached"),
    (APT, "W: Failed to fetch x  Could not connect to y:80", UnavailableError, "Debian archive could not be reached"),
    (APT, "W: Could not connect to y:80\nE: Unable to locate package a", UnavailableError, "could not be reached"),
    (GO, "a.go:1:1: syntax error", FailedError, "was not installed"),
]


@pytest.mark.parametrize(("client", "output", "family", "brief"), SEEN)
def test_what_was_printed_decides_the_error(
    client: Client, output: str, family: type[StackwayError], brief: str
) -> None:
    error = explain(client, "demo 1.0", output, "client get demo")
    assert type(error) is family
    assert error.brief.startswith("demo 1.0 was not installed")
    assert brief in error.brief
    assert error.details.startswith("$ client get demo\n")
    assert error.resolution


def test_an_unreachable_proxy_names_the_variable_to_set() -> None:
    error = explain(GO, "demo 1.0", "dial tcp: lookup x: no such host", "go build")
    assert "set GOPROXY to your mirror" in error.resolution


def test_only_the_end_of_a_long_output_is_kept() -> None:
    error = explain(UV, "demo 1.0", "\n".join(str(line) for line in range(1000)), "uv")
    assert error.details.splitlines()[1:] == [str(line) for line in range(975, 1000)]


def test_credentials_of_a_mirror_are_not_repeated() -> None:
    error = explain(GO, "demo 1.0", "Get https://me:secret@mirror/x: dial tcp: i/o timeout", "go build")
    assert "secret" not in error.details
    assert "https://***@mirror/x" in error.details
