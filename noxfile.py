# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What one can do here. `nox -l` lists it; words after `--` go to the program that a session runs."""

from pathlib import Path

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "tests"]
nox.options.error_on_missing_interpreters = True

LOCKS = ("run", "tests", "lint")


def install(session: nox.Session, lock: str = "run") -> None:
    """Install exactly what requirements/<lock>.txt names, by hash, and this checkout."""
    session.install("--require-hashes", "-r", f"requirements/{lock}.txt")
    session.install("--no-deps", "--no-build-isolation", "-e", ".")


@nox.session(default=False)
def up(session: nox.Session) -> None:
    """Go the whole way: images, signed release, Kubernetes, and an OpenStack control plane that answers"""
    install(session)
    session.run("release", "up", *session.posargs)


@nox.session(default=False)
def down(session: nox.Session) -> None:
    """End what `up` has started, and leave nothing behind"""
    install(session)
    session.run("release", "down", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build all images, or those named: nox -s build -- keystone --series 2026.1"""
    install(session)
    session.run("release", "build", *session.posargs)


@nox.session(default=False)
def scan(session: nox.Session) -> None:
    """Scan all images, or those named, and judge them: nox -s scan -- --policy staging"""
    install(session)
    session.run("release", "scan", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests: unit, integration with real tools, builder and images, and a real cloud on a real cluster"""
    install(session, "tests")
    session.run("pytest", "-n", "auto", "tests/unit", *session.posargs)
    session.run("pytest", "tests/integration", *session.posargs)
    session.run("pytest", "tests/e2e", *session.posargs)


@nox.session(default=False)
def e2e(session: nox.Session) -> None:
    """Run the tests of a real cloud on a real cluster alone: it is deployed, used, and broken on purpose"""
    install(session, "tests")
    session.run("pytest", "tests/e2e", *session.posargs)


@nox.session(default=False)
def faults(session: nox.Session) -> None:
    """Break upgrades of a real cloud in every way of the catalogue, and see each go back by itself (half an hour)"""
    install(session, "tests")
    session.run("pytest", "tests/faults", *session.posargs)


@nox.session(default=False)
def schemas(session: nox.Session) -> None:
    """Rehearse that the old series' code works on the schemas that the new one has expanded, service by service"""
    install(session, "tests")
    session.run("release", "build")
    session.run("pytest", "tests/schemas", *session.posargs)


@nox.session
def unit(session: nox.Session) -> None:
    """Run the tests that need no process, no network and no root"""
    install(session, "tests")
    session.run("pytest", "-n", "auto", "tests/unit", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types, layers, Dockerfiles, scripts and schema"""
    install(session, "lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("lint-imports")
    scripts = [*Path("buildkit/recipes").glob("*.sh"), *Path("pipeline/programs").glob("*.sh")]
    session.run("shellcheck", *[str(path) for path in sorted(scripts)])
    session.run("release", "spec", "check")
    session.run("release", "spec", "schema", "--check")
    session.run("release", "env", "schema", "--check")
    rendered = session.create_tmp()
    session.run("release", "spec", "render", "--to", rendered)
    session.run("hadolint", *[str(path) for path in sorted(Path(rendered).glob("*/Dockerfile"))])
    session.run("shellcheck", "--shell=sh", *[str(path) for path in sorted(Path(rendered).glob("*/smoke/check.sh"))])


@nox.session(default=False)
def golden(session: nox.Session) -> None:
    """Write the golden Dockerfiles and plans of the tests anew; read the difference before you commit it"""
    install(session, "tests")
    session.run(
        "pytest", "-q", "tests/unit/test_golden.py", "tests/unit/test_docs.py", env={"STACKWAY_GOLDEN": "write"}
    )
    session.run("git", "diff", "--stat", "--", "tests/data/golden", "docs", "CONTRIBUTING.md", external=True)


@nox.session(default=False)
def reproduce(session: nox.Session) -> None:
    """Build images twice from nothing and compare them byte for byte: nox -s reproduce -- keystone"""
    install(session)
    session.run("release", "reproduce", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure against peers, side by side in one run; writes JSON: nox -s bench -- --output bench.json"""
    install(session, "tests")
    session.install("--require-hashes", "-r", "requirements/bench.txt")
    session.run("python", "-m", "tests.bench", *session.posargs)


@nox.session(default=False)
def update_pins(session: nox.Session) -> None:
    """Resolve our own requirements anew and show what changes in the images' locks"""
    session.install("uv")
    groups = {"run": (), "tests": ("--group", "tests"), "lint": ("--group", "lint")}
    for name, options in groups.items():
        compile_lock(session, "pyproject.toml", name, *options)
    compile_lock(session, "requirements/bench.in", "bench")
    compile_lock(session, "requirements/nox.in", "nox")
    install(session)
    session.run("release", "spec", "lock", "--upgrade", "--dry-run")


def compile_lock(session: nox.Session, source: str, name: str, *options: str) -> None:
    """Write requirements/<name>.txt."""
    fixed = ("--generate-hashes", "--universal", "--python-version", "3.11", "--no-header", "--quiet", "--upgrade")
    session.run(
        "uv", "pip", "compile", source, "requirements/build.in", *options, *fixed, "-o", f"requirements/{name}.txt"
    )
