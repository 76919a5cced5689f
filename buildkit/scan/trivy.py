# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Runs Trivy: the one place that starts it. Never lets it go to the network by itself, and never lets it run for ever."""

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from buildkit.scan import trivy_report
from buildkit.scan.report import Misconfiguration, Package, Vulnerability
from buildkit.scan.trivy_report import Contents
from stackway import process
from stackway.errors import FailedError
from stackway.files import scratch_directory
from stackway.process import Command, ProcessFailedError, ProcessTimeoutError

# What we ask of it: a change here makes every report out of date.
_QUIET = ("--skip-version-check", "--disable-telemetry")
_OFFLINE = (*_QUIET, "--offline-scan", "--skip-db-update", "--skip-java-db-update")
_IMAGE = ("--scanners", "vuln,secret,license", "--format", "json", "--list-all-pkgs")
_CONFIG = ("--misconfig-scanners", "dockerfile", "--skip-check-update", "--format", "json")
QUESTIONS = " ".join((*_IMAGE, *_CONFIG))
TIMEOUT = 600.0


@dataclass(frozen=True)
class Trivy:
    """The scanner: its program, its version, and its folder of analysed layers and of the database.

    `timeout` is in seconds, for each image.
    """

    program: Path
    version: str
    cache: Path
    timeout: float = TIMEOUT
    # Its cache of layers takes one program at a time; the next would give up after a few seconds.
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def scan(
        self, layout: Path, image: str, digest: str
    ) -> tuple[Contents, tuple[Vulnerability, ...], Mapping[str, object]]:
        """Return what is in an image of an OCI layout, its holes, and its parts as CycloneDX (not normalised)."""
        with scratch_directory(self.cache, "scan") as folder:
            target, listed = folder / "report.json", folder / "sbom.json"
            # Relative, so that no path of this machine gets into what it writes.
            words = (*_OFFLINE, *_IMAGE, "--output", str(target), "--input", f"{layout.name}@{digest}")
            with self._turn:
                self._run(image, ("image", *words), directory=layout.parent)
            report = self._read(target, image)
            found = trivy_report.contents(report, image)
            self._run(image, ("convert", "--format", "cyclonedx", "--output", str(listed), str(target)))
            return found, trivy_report.vulnerabilities(report, found.packages, image), self._json(listed, image)

    def rejudge(self, sbom: Path, image: str, packages: tuple[Package, ...]) -> tuple[Vulnerability, ...]:
        """Return the holes that the database knows today for an image, of which we have the SBOM."""
        with scratch_directory(self.cache, "rejudge") as folder:
            target = folder / "report.json"
            # A list of parts has no layers to remember, so many may be judged at once.
            words = (
                "--cache-backend",
                "memory",
                *_OFFLINE,
                "--scanners",
                "vuln",
                "--format",
                "json",
                "--output",
                str(target),
                str(sbom),
            )
            self._run(image, ("sbom", *words))
            return trivy_report.vulnerabilities(self._read(target, image), packages, image)

    def check_dockerfiles(self, texts: Mapping[str, str]) -> dict[str, tuple[Misconfiguration, ...]]:
        """Return image → rules its Dockerfile breaks, for all at once."""
        names = {f"{number}/Dockerfile": image for number, image in enumerate(sorted(texts))}
        with scratch_directory(self.cache, "config") as folder:
            for name, image in names.items():
                path = folder / "files" / name
                path.parent.mkdir(parents=True)
                path.write_text(texts[image], encoding="utf-8")
            target = folder / "report.json"
            self._run("the Dockerfiles", ("config", *_QUIET, *_CONFIG, "--output", str(target), str(folder / "files")))
            found = trivy_report.misconfigurations(self._read(target, "the Dockerfiles"), "the Dockerfiles")
            return {image: found.get(name, ()) for name, image in names.items()}

    def download(self, repository: str, cache: Path, timeout: float) -> None:
        """Fetch a database into the folder `cache`. Raises FailedError or ProcessTimeoutError when that is not possible."""
        words = ("image", "--quiet", *_QUIET, "--download-db-only", "--no-progress", "--cache-dir", str(cache))
        given = ("--db-repository", repository) if repository else ()
        process.run(Command((str(self.program), *words, *given), timeout=timeout))

    def _run(self, what: str, words: Sequence[str], directory: Path | None = None) -> None:
        command = Command(
            (str(self.program), "--cache-dir", str(self.cache), "--quiet", "--timeout", f"{self.timeout:.0f}s", *words),
            directory=directory,
            # Its own limit ends it with a message; ours is for when it no longer minds its own.
            timeout=self.timeout + 15,
        )
        try:
            process.run(command)
        except ProcessTimeoutError as error:
            raise FailedError(
                f"the scanner did not finish with {what}",
                details=f"{error.details}\nstopped after {self.timeout:.0f} s",
                resolution="Give it more time (`--timeout SECONDS`), or look at what the machine is busy with.",
            ) from error
        except ProcessFailedError as error:
            raise FailedError(
                f"the scanner failed on {what}",
                details=f"{error.brief}\n{error.details}",
                resolution="`release store verify` checks the image, `release scan db status` the database.",
            ) from error

    def _read(self, path: Path, what: str) -> Mapping[str, object]:
        try:
            return trivy_report.parse(path.read_text(encoding="utf-8"), what)
        except (OSError, UnicodeDecodeError) as error:
            raise FailedError(
                f"the scanner wrote no report of {what}", details=str(error), resolution="Scan again."
            ) from error

    def _json(self, path: Path, what: str) -> Mapping[str, object]:
        try:
            content: Mapping[str, object] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise FailedError(
                f"the scanner wrote no list of the parts of {what}", details=str(error), resolution="Scan again."
            ) from error
        return content
