# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Tools really are brought: from a wheel, from a server, from source; whole or not at all."""

import hashlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path

import pytest

from stackway import clock, process
from stackway.console import PlainReporter, SilentReporter
from stackway.errors import FailedError, RefusedError, StackwayError, UnavailableError, WrongInputError
from stackway.settings import default_settings, load_settings
from stackway.tools.doctor import doctor_report
from stackway.tools.provision import provide, provide_all
from stackway.tools.survey import FORCE, SITE_FILE, open_bench, plan

PROGRAM = b"#!/bin/sh\necho demo 1.2.3\n"
SITE = """\
[tools.demo]
purpose = "demonstrates"
for = ["tests"]
version = "1.2.3"
accept = "===1.2.3"
ask = {{arguments = ["--version"], pattern = 'demo (\\S+)'}}

[[tools.demo.ways]]
kind = "path"

[[tools.demo.ways]]
kind = "download"
url = "{url}"
sha256 = "{sha256}"
size = {size}
takes = "a moment"
"""
SILENT = SilentReporter()


class Server(ThreadingHTTPServer):
    """Serves one file on loopback, and counts how often it was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = PROGRAM
        self.announced: int | None = None
        self.seconds = 0.0
        self.asked = threading.Semaphore(0)
        self.times = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/demo"


class Handler(BaseHTTPRequestHandler):
    """Answers every request with the server's content, slowly when told so."""

    server: Server

    def do_GET(self) -> None:
        self.server.times += 1
        self.server.asked.release()
        self.send_response(200)
        self.send_header("Content-Length", str(self.server.announced or len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content[:5])
        self.wfile.flush()
        clock.sleep(self.server.seconds)
        self.wfile.write(self.server.content[5:])

    def log_message(self, *_: object) -> None:
        """Tell nothing."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        pin(server, tmp_path, monkeypatch)
        yield server
        server.shutdown()
        thread.join()


def pin(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes = PROGRAM) -> None:
    """Point STACKWAY_TOOLS to a file that pins `content` at the server."""
    site = folder / "site.toml"
    site.write_text(SITE.format(url=server.url, sha256=hashlib.sha256(content).hexdigest(), size=len(content)))
    monkeypatch.setenv(SITE_FILE, str(site))


def installed(cache: Path) -> list[str]:
    """Return what is in the cache besides the locks."""
    return sorted(path.name for path in (cache / "tools").iterdir() if path.name != ".locks")


def test_a_download_is_installed_once_and_then_found(server: Server, tmp_path: Path) -> None:
    first = provide("demo", tmp_path / "cache", SILENT)
    second = provide("demo", tmp_path / "cache", SILENT)
    assert first == second
    assert first.read_bytes() == PROGRAM
    assert os.access(first, os.X_OK)
    assert server.times == 1


def test_what_is_done_is_told_before_and_after(server: Server, tmp_path: Path) -> None:
    told = StringIO()
    provide("demo", tmp_path / "cache", PlainReporter(told))
    lines = [line.split("] ", 1)[1] for line in told.getvalue().splitlines()]
    assert lines[0] == f"getting demo 1.2.3: from {server.url} (a moment)"
    assert lines[-1].startswith("demo 1.2.3: installed in ")


@pytest.mark.parametrize(
    ("content", "announced", "family"),
    [
        (PROGRAM.replace(b"demo", b"evil"), None, RefusedError),
        (PROGRAM[:-3], None, RefusedError),
        (PROGRAM + b"more", None, RefusedError),
        (PROGRAM[:-3], len(PROGRAM), UnavailableError),
    ],
)
def test_other_bytes_are_refused_and_nothing_is_left(
    server: Server, tmp_path: Path, content: bytes, announced: int | None, family: type[StackwayError]
) -> None:
    server.content, server.announced = content, announced
    with pytest.raises(family):
        provide("demo", tmp_path / "cache", SILENT)
    assert installed(tmp_path / "cache") == []


def test_a_server_that_is_away_is_unavailable(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.server_port = 9
    pin(server, tmp_path, monkeypatch)
    with pytest.raises(UnavailableError, match="could not be fetched"):
        provide("demo", tmp_path / "cache", SILENT)


def test_a_program_of_another_version_is_not_kept(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content = PROGRAM.replace(b"1.2.3", b"1.2.4")
    pin(server, tmp_path, monkeypatch, server.content)
    with pytest.raises(FailedError, match=r"version 1\.2\.4 is not ===1\.2\.3"):
        provide("demo", tmp_path / "cache", SILENT)
    assert installed(tmp_path / "cache") == []


@pytest.mark.usefixtures("server")
def test_a_changed_program_is_found_and_replaced(tmp_path: Path) -> None:
    program = provide("demo", tmp_path / "cache", SILENT)
    program.write_bytes(PROGRAM + b"rm -rf /\n")
    told = StringIO()
    assert provide("demo", tmp_path / "cache", PlainReporter(told)) == program
    assert program.read_bytes() == PROGRAM
    assert "was changed by somebody" in told.getvalue()
    assert len(installed(tmp_path / "cache")) == 1


def test_two_runs_at_once_install_once(server: Server, tmp_path: Path) -> None:
    server.seconds = 0.5
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: provide("demo", tmp_path / "cache", SILENT), range(4)))
    assert len(set(paths)) == 1
    assert server.times == 1


def test_a_run_killed_half_way_leaves_nothing_in_the_way(server: Server, tmp_path: Path) -> None:
    server.seconds = 30.0
    cache = tmp_path / "cache"
    code = (
        "import sys, pathlib; from stackway.console import SilentReporter; from stackway.tools.provision import provide;"
        "provide('demo', pathlib.Path(sys.argv[1]), SilentReporter())"
    )
    command = process.Command((sys.executable, "-c", code, str(cache)), {"PYTHONPATH": os.pathsep.join(sys.path)})
    run = process.start(command, tmp_path / "log")
    assert server.asked.acquire(timeout=30), run.tail()
    os.killpg(run.process.pid, signal.SIGKILL)
    run.process.wait()
    assert [name for name in installed(cache) if not name.startswith(".demo-1.2.3-")] == []
    server.seconds = 0.0
    assert provide("demo", cache, SILENT).read_bytes() == PROGRAM
    assert len(installed(cache)) == 1


def test_a_forced_way_is_the_only_one(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{FORCE}DEMO", "path")
    with pytest.raises(UnavailableError) as caught:
        provide("demo", tmp_path / "cache", SILENT)
    assert "download: the way 'path' is asked for" in caught.value.details
    assert server.times == 0


@pytest.mark.usefixtures("server")
def test_a_way_that_the_tool_does_not_have_is_wrong_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{FORCE}DEMO", "wheel")
    with pytest.raises(WrongInputError, match="demo has no way 'wheel'"):
        provide("demo", tmp_path / "cache", SILENT)


@pytest.mark.usefixtures("server")
def test_a_program_on_path_with_the_right_version_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin/demo"
    program.parent.mkdir()
    program.write_bytes(PROGRAM)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    assert provide("demo", tmp_path / "cache", SILENT) == program
    program.write_bytes(PROGRAM.replace(b"1.2.3", b"1.2.2"))
    assert provide("demo", tmp_path / "cache", SILENT) != program


def test_the_python_package_tells_where_uv_is(tmp_path: Path) -> None:
    import uv

    assert provide("uv", tmp_path, SILENT) == Path(uv.find_uv_bin())


def test_hadolint_comes_from_its_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{FORCE}HADOLINT", "wheel")
    program = provide("hadolint", tmp_path / "cache", SILENT)
    assert program.is_relative_to(tmp_path / "cache")
    assert "2.15.1" in process.run(process.Command((str(program), "--version"))).stdout


def test_a_changed_hadolint_is_mended_from_the_same_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{FORCE}HADOLINT", "wheel")
    program = provide("hadolint", tmp_path / "cache", SILENT)
    good = program.read_bytes()
    with program.open("r+b") as file:
        file.write(b"garbage")
    assert provide("hadolint", tmp_path / "cache", SILENT).read_bytes() == good


@pytest.mark.parametrize(("told", "status"), [("GitVersion:    v2.5.1", "present"), ("GitVersion: devel", "install")])
def test_a_program_may_have_another_name_than_its_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str, status: str
) -> None:
    (tmp_path / "cosign").write_text(f"#!/bin/sh\necho '{told}'\n")
    (tmp_path / "cosign").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    bench = open_bench(tmp_path / "cache")
    assert plan(bench, bench.catalogue.tool("cosign2")).status == status
    assert plan(bench, bench.catalogue.tool("cosign3")).status == "install"


def test_an_index_that_is_away_says_how_to_name_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{FORCE}HADOLINT", "wheel")
    for name, value in (("DEFAULT_INDEX", "http://127.0.0.1:9/simple"), ("NO_CACHE", "1"), ("HTTP_RETRIES", "0")):
        monkeypatch.setenv(f"UV_{name}", value)
    with pytest.raises(UnavailableError, match="Python package index could not be reached") as caught:
        provide("hadolint", tmp_path / "cache", SILENT)
    assert "UV_DEFAULT_INDEX" in caught.value.resolution
    assert installed(tmp_path / "cache") == []


def test_a_module_proxy_that_is_away_says_how_to_name_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{FORCE}BUILDX", "go")
    monkeypatch.setenv("GOPROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "modules"))
    with pytest.raises(UnavailableError, match="Go module proxy could not be reached") as caught:
        provide("buildx", tmp_path / "cache", SILENT)
    assert "set GOPROXY to your mirror" in caught.value.resolution
    assert installed(tmp_path / "cache") == []


def test_the_doctor_describes_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACKWAY_CACHE", str(tmp_path / "cache"))
    report = doctor_report(load_settings(tmp_path))
    assert {plan.tool.name: plan.status.value for plan in report.plans}["uv"] == "present"
    assert report.is_ready("lint")
    assert report.machine.processors >= 1
    assert "STACKWAY_CACHE" in dict(report.tables())["Settings"].to_text()
    assert not (tmp_path / "cache").exists()


@pytest.mark.engine
def test_the_builder_is_compiled_into_the_user_cache() -> None:
    programs = provide_all(("buildkitd", "buildx"), default_settings(os.environ).cache_path, SILENT)
    assert set(programs) == {"runc", "buildkitd", "buildx"}
    for name, arguments, version in (("buildkitd", "--version", "v0.32.2"), ("buildx", "version", "v0.36.1")):
        told = process.run(process.Command((str(programs[name]), arguments))).stdout
        assert version in told.split()


@pytest.mark.engine
def test_a_debian_package_is_installed_and_starts_nothing(tmp_path: Path) -> None:
    program = provide("docker-registry", tmp_path / "cache", SILENT)
    assert os.access(program, os.X_OK)
    running = process.run(process.Command(("ps", "-eo", "comm="))).stdout.split()
    assert "docker-registry" not in running
