# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Real Trivy over images that were really built, with databases whose content the tests have written."""

import json
import os
import shutil
import sys
import tarfile
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from buildkit.registry import Manifest, open_registry
from buildkit.store import Blob, Store
from stackway import clock, process
from stackway.console import SilentReporter
from stackway.files import digest_file
from stackway.process import Command, Completed
from stackway.settings import default_settings
from stackway.tools.provision import provide
from tests.advisories import Advisory, Database
from tests.integration.builder import REPOSITORY, TinyCheckout, private_cache, tiny_checkout
from tests.integration.runtime import running_registry

pytestmark = pytest.mark.engine

# In two parts, so that no scanner of this repository takes it for one that is ours.
SECRET = "AKIA" + "QYLPMN5HHHFPZAM2"
HOLES = [
    Advisory("CVE-2026-1001", "netbase", "debian 13", fixed="99", severity="CRITICAL"),
    Advisory("CVE-2026-1002", "packaging", fixed="999.1", severity="HIGH"),
    Advisory("CVE-2026-1003", "bash", "debian 13", severity="HIGH"),
    Advisory("CVE-2012-1004", "pbr", fixed="2012.1.1", severity="HIGH"),
]


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory, builder_cache: Path) -> TinyCheckout:
    """A checkout with an image that carries a secret and one with Python packages, both built."""
    folder = tmp_path_factory.mktemp("scan")
    checkout = tiny_checkout(folder / "checkout", builder_cache)
    file = {"template": "leak.conf.j2", "path": "/etc/leaky/leak.conf", "render": "image", "format": "text"}
    checkout.add("leaky", config={"leak": file})
    templates = checkout.root / "images/leaky/templates"
    templates.mkdir()
    (templates / "leak.conf.j2").write_text(f"[aws]\naws_access_key_id = {SECRET}\n")
    checkout.add_python("snake", distribution="pbr")
    checkout.build()
    shutil.copytree(REPOSITORY / "policies", checkout.root / "policies")
    return checkout


@pytest.fixture
def fresh(leaky: TinyCheckout) -> TinyCheckout:
    """The same checkout without a database, with no record of a scan, and with the repository's policies."""
    for path in (leaky.cache / "trivy/db", leaky.state / "scans", leaky.root / "policies"):
        shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(REPOSITORY / "policies", leaky.root / "policies")
    return leaky


@pytest.fixture
def known(fresh: TinyCheckout, tmp_path: Path) -> TinyCheckout:
    """The checkout with a database of today that knows the holes."""
    bring(fresh, Database(HOLES), tmp_path / "database")
    return fresh


def bring(checkout: TinyCheckout, database: Database, folder: Path) -> None:
    completed = checkout.release("scan", "db", "import", str(database.write(folder)))
    assert completed.code == 0, completed.stderr


def scan(checkout: TinyCheckout, *words: str) -> Completed:
    return checkout.release("scan", "--offline", *words)


def judgements(checkout: TinyCheckout, *words: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Scan; return (image, finding) → judgement."""
    content = json.loads(scan(checkout, "--output", "json", *words).stdout)
    return {
        (item["image"], judgement["id"]): judgement
        for item in content["images"]
        for judgement in item["verdict"]["judgements"]
    }


def assert_told(completed: Completed, code: int, *texts: str) -> None:
    """The error is in three parts, has this exit code, and says all of this."""
    assert completed.code == code, completed.stderr
    assert [text for text in ("error: ", "hint: ", *texts) if text not in completed.stderr] == [], completed.stderr


def records(checkout: TinyCheckout, image: str) -> Path:
    return checkout.state / "scans" / image


def test_planted_holes_are_named_with_layer_line_and_remedy(known: TinyCheckout) -> None:
    found = judgements(known)
    hole = found["leaky:1.0", "CVE-2026-1001"]
    assert hole["outcome"] == "failed"
    assert hole["origin"] == "images/leaky/service.yaml:11 (images/leaky/1.0.system.lock:6)"
    assert hole["layer"] == "layer 2: system packages of leaky"
    assert "netbase is to be 99 or later" in hole["remedy"]
    python = found["snake:2026.1", "CVE-2026-1002"]
    assert python["origin"].startswith("images/snake/service.yaml:")
    assert '`packaging: {version: "999.1"' in python["remedy"]
    assert python["layer"].endswith("Python packages of snake alone")
    assert found["leaky:1.0", "CVE-2026-1003"]["outcome"] == "warned"


def test_planted_secret_is_named_with_layer_and_spec_line(known: TinyCheckout) -> None:
    completed = scan(known, "--output", "json", "leaky")
    assert completed.code == 4
    verdict = json.loads(completed.stdout)["images"][0]["verdict"]
    secret = next(item for item in verdict["judgements"] if item["category"] == "secret")
    assert (secret["outcome"], secret["subject"]) == ("failed", "/etc/leaky/leak.conf:2")
    line = (known.root / secret["origin"].rpartition(":")[0]).read_text().splitlines()
    assert "/etc/leaky/leak.conf" in line[int(secret["origin"].rpartition(":")[2]) - 1]
    assert secret["layer"].startswith("layer 3: ADD ")
    everything = [path.read_text() for path in (known.state / "scans").rglob("*") if path.is_file()]
    assert not any(SECRET in text for text in (*everything, completed.stdout, completed.stderr))


def test_explanation_says_where_why_and_what_to_do(known: TinyCheckout) -> None:
    scan(known)
    completed = known.release("scan", "explain", "CVE-2026-1001")
    assert completed.code == 0
    for text in (
        "leaky:1.0",
        "failed",
        "rule 1 of prod",
        "images/leaky/service.yaml:11",
        "release spec lock --upgrade",
    ):
        assert text in completed.stdout
    assert "none of the 2 images" in known.release("scan", "explain", "CVE-2026-9999").stdout


def test_nothing_is_scanned_twice_and_a_newer_database_needs_no_image(known: TinyCheckout, tmp_path: Path) -> None:
    scan(known)
    kept = json.loads(known.release("scan", "--offline", "--dry-run", "--output", "json").stdout)
    assert {item["action"] for item in kept["actions"]} == {"keep"}
    blobs = known.state / "store/blobs"
    newer = [*HOLES, Advisory("CVE-2026-1005", "bash", "debian 13", fixed="98")]
    bring(known, Database(newer), tmp_path / "newer")
    blobs.rename(blobs.with_name("hidden"))
    try:
        assert "is missing" in scan(known).stderr
    finally:
        blobs.with_name("hidden").rename(blobs)
    plan = json.loads(known.release("scan", "--offline", "--dry-run", "--output", "json").stdout)
    assert {item["action"] for item in plan["actions"]} == {"rejudge"}
    assert judgements(known)["leaky:1.0", "CVE-2026-1005"]["fixed"] == "98"
    again = (records(known, "leaky-1.0") / "report.json").read_text()
    assert scan(known, "--force").code == 4
    assert (records(known, "leaky-1.0") / "report.json").read_text() == again


def test_new_holes_are_marked_as_new(known: TinyCheckout, tmp_path: Path) -> None:
    scan(known)
    bring(known, Database([*HOLES, Advisory("CVE-2026-1005", "bash", "debian 13")]), tmp_path / "newer")
    content = json.loads(scan(known, "--output", "json", "leaky").stdout)
    assert content["images"][0]["new"] == [["CVE-2026-1005", "bash"]]
    difference = known.release(
        "scan",
        "--diff",
        str(records(known, "leaky-1.0") / "previous.json"),
        "leaky:1.0",
    )
    assert [line.split()[:3] for line in difference.stdout.splitlines()[1:]] == [["new", "high", "CVE-2026-1005"]]


def test_lists_of_parts_are_valid_cyclonedx_and_equal_each_time(known: TinyCheckout) -> None:
    scan(known)
    lists = {path: path.read_bytes() for path in (known.state / "scans").glob("*/sbom.json")}
    assert len(lists) == 2
    for path, content in lists.items():
        assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(content.decode()) is None
        assert str(known.root).encode() not in content
        path.unlink()
    shutil.rmtree(known.cache / "trivy/fanal")
    scan(known, "--force")
    assert {path: path.read_bytes() for path in lists} == lists


@pytest.mark.parametrize("where", ["layout", "list"])
def test_stock_trivy_honours_the_vex(known: TinyCheckout, where: str) -> None:
    assert judgements(known)["snake:2026.1", "CVE-2012-1004"]["outcome"] == "not affected"
    digest = known.digests()["snake:2026.1"]
    folder = records(known, "snake-2026.1")
    target = ("image", "--input", f"store@{digest}") if where == "layout" else ("sbom", str(folder / "sbom.json"))
    reported = stock(known, *target)
    assert reported == {hole.id for hole in HOLES}
    assert reported - stock(known, *target, "--vex", str(folder / "vex.json")) == {"CVE-2012-1004"}


def stock(checkout: TinyCheckout, *words: str) -> set[str]:
    """Return the holes that Trivy reports by itself."""
    program = provide("trivy", checkout.cache, SilentReporter())
    options = ("--cache-dir", str(checkout.cache / "trivy"), "--quiet", "--skip-db-update", "--skip-java-db-update")
    offline = (
        "--offline-scan",
        "--skip-version-check",
        "--disable-telemetry",
        "--scanners",
        "vuln",
        "--format",
        "json",
    )
    command = Command((str(program), words[0], *options, *offline, *words[1:]), directory=checkout.state)
    results = json.loads(process.run(command).stdout)["Results"]
    return {item["VulnerabilityID"] for result in results for item in result.get("Vulnerabilities", [])}


def except_for(checkout: TinyCheckout, **changes: Any) -> None:
    given = {
        "id": "CVE-2026-1001",
        "package": "netbase",
        "owner": "the tests",
        "reason": "a hole of ours",
        "expires": (clock.now() + timedelta(days=60)).date().isoformat(),
        **changes,
    }
    exceptions = [{key: value for key, value in given.items() if value is not None}]
    content = {"apiVersion": "stackway/v1", "kind": "ScanExceptions", "exceptions": exceptions}
    (checkout.root / "policies/exceptions.yaml").write_text(json.dumps(content, indent=1))


def test_exception_lets_a_finding_pass_and_says_who_answers(known: TinyCheckout) -> None:
    except_for(known)
    hole = judgements(known)["leaky:1.0", "CVE-2026-1001"]
    assert hole["outcome"] == "excepted"
    assert hole["reason"].startswith("the tests answers for it until ")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"owner": None}, "'exceptions.0.owner' is missing"),
        ({"expires": "2026-01-01"}, "the exception for CVE-2026-1001 ended on 2026-01-01"),
        ({"pacakge": "netbase", "package": None}, "Did you mean 'package'?"),
    ],
)
def test_unusable_exception_stops_the_scan(known: TinyCheckout, changes: dict[str, Any], told: str) -> None:
    except_for(known, **changes)
    completed = scan(known)
    assert completed.code == 2
    assert "error: policies/exceptions.yaml cannot be used\n  policies/exceptions.yaml:" in completed.stderr
    assert told in completed.stderr


def test_without_database_and_network_it_says_how_to_bring_one(fresh: TinyCheckout) -> None:
    assert_told(scan(fresh), 1, "there is no vulnerability database", "release scan db import")
    assert_told(fresh.offline("scan"), 1, "no newer vulnerability database can be fetched", "release scan db import")


def test_stale_database_is_refused_or_warned_of_by_policy(fresh: TinyCheckout, tmp_path: Path) -> None:
    old = replace(Database(HOLES[2:]), updated=clock.now() - timedelta(days=9))
    bring(fresh, old, tmp_path / "old")
    assert_told(scan(fresh), 1, "the database is 9 days old, 24h are allowed", "release scan db update")
    warned = json.loads(scan(fresh, "--policy", "dev", "--output", "json", "snake").stdout)
    assert warned["images"][0]["verdict"]["reasons"] == ["the database is 9 days old, 7d are allowed"]
    assert warned["images"][0]["outcome"] == "passed"


def test_unreachable_newer_database_is_told_of(known: TinyCheckout, tmp_path: Path) -> None:
    bring(known, replace(Database(HOLES), updated=clock.now() - timedelta(hours=12)), tmp_path / "old")
    completed = known.offline("scan")
    assert completed.code == 4
    assert "the database is 12 hours old; no newer vulnerability database can be fetched" in completed.stderr


def test_damaged_database_is_no_pass(known: TinyCheckout, tmp_path: Path) -> None:
    good = (known.cache / "trivy/db/trivy.db").read_bytes()
    (known.cache / "trivy/db/trivy.db").write_bytes(good[:4096] + b"\xff" * (len(good) - 4096))
    assert_told(scan(known), 1, "the scanner failed on leaky:1.0")
    (known.cache / "trivy/db/trivy.db").write_bytes(good[:5000])
    assert_told(scan(known), 1, "the vulnerability database cannot be used", "no whole bbolt file")
    broken = Database(HOLES).write(tmp_path / "broken")
    (broken / "trivy.db").write_bytes(b"not a database")
    (known.cache / "trivy/db/trivy.db").write_bytes(good)
    assert_told(known.release("scan", "db", "import", str(broken)), 1, "the vulnerability database cannot be used")
    assert scan(known).code == 4


def test_database_comes_from_a_mirror(fresh: TinyCheckout, tmp_path: Path) -> None:
    with running_registry() as host:
        put_database(f"{host}/mirror/trivy-db", Database(HOLES).write(tmp_path / "database"))
        completed = fresh.release("scan", STACKWAY_SCAN_DATABASE=f"{host}/mirror/trivy-db:2")
        assert completed.code == 4, completed.stderr
        assert "there is no vulnerability database yet; fetching one" in completed.stderr
        state = json.loads(fresh.release("scan", "db", "status", "--output", "json").stdout)
    assert state["source"] == f"{host}/mirror/trivy-db:2"


def put_database(target: str, folder: Path) -> None:
    """Push a database as its makers do: an artifact with one layer, a tar archive."""
    with tarfile.open(folder / "db.tar.gz", "w:gz") as tar:
        for name in ("trivy.db", "metadata.json"):
            tar.add(folder / name, name)
    (folder / "config").write_text("{}")
    host, _, name = target.partition("/")
    repository = open_registry(host).repository(name)
    blobs = []
    for path, media in (("config", "unknown.config.v1+json"), ("db.tar.gz", "trivy.db.layer.v1.tar+gzip")):
        blob = Blob(f"application/vnd.aquasec.{media}", digest_file(folder / path), (folder / path).stat().st_size)
        repository.upload(blob, partial((folder / path).open, "rb"))
        title = {"org.opencontainers.image.title": path}
        blobs.append({"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size, "annotations": title})
    media = "application/vnd.oci.image.manifest.v1+json"
    content = {"schemaVersion": 2, "mediaType": media, "config": blobs[0], "layers": blobs[1:]}
    repository.put_manifest(Manifest(json.dumps(content).encode(), media), "2")


def test_missing_image_is_named(known: TinyCheckout) -> None:
    known.add("absent")
    try:
        assert_told(scan(known), 1, "absent:1.0 is not in the store", "release build")
    finally:
        known.remove("absent")


@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        ("sleep 60", "the scanner did not finish with leaky:1.0"),
        ("echo out of cheese >&2; exit 9", "out of cheese"),
        ("kill -SEGV $$", "was ended by signal 11"),
        ('while [ "$1" != --output ]; do shift; done; echo \'{"SchemaVersion": 2, "Resu\' >"$2"', "cannot be used"),
    ],
)
def test_scanner_that_misbehaves_is_an_error(known: TinyCheckout, tmp_path: Path, behaviour: str, told: str) -> None:
    program = tmp_path / "bin/trivy"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "Version: 0.76.0" && exit\n{behaviour}\n')
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    completed = known.release("scan", "--offline", "--timeout", "1", "leaky", PATH=path, STACKWAY_TOOL_TRIVY="path")
    assert_told(completed, 1, told)
    assert not (records(known, "leaky-1.0") / "verdict-prod.json").exists()


def test_scanner_that_attackers_published_is_not_started(known: TinyCheckout, tmp_path: Path) -> None:
    program = tmp_path / "bin/trivy"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Version: 0.69.4" && exit\ntouch "$0.started"\n')
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    completed = known.release("scan", "--offline", PATH=path, STACKWAY_TOOL_TRIVY="path")
    assert_told(completed, 1, "0.69.4", "GHSA-69fq-xp46-6x23")
    assert not program.with_name("trivy.started").exists()


def test_outputs_are_written_for_people_and_code_hosts(known: TinyCheckout, tmp_path: Path) -> None:
    scan(known, "--to", str(tmp_path / "out"))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"index.html", "results.sarif", "scan.json", "summary.md"}
    log = json.loads((tmp_path / "out/results.sarif").read_text())
    placed = {
        result["ruleId"]: result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for result in log["runs"][0]["results"]
    }
    assert placed["CVE-2026-1001"] == "images/leaky/1.0.system.lock"
    assert str(known.root) not in (tmp_path / "out/index.html").read_text()


def test_images_of_both_series_are_scanned(real_store: Store, tmp_path: Path) -> None:
    cache = default_settings(os.environ).cache_path
    shelf = private_cache(tmp_path / "cache")
    (cache / "trivy/fanal").mkdir(parents=True, exist_ok=True)
    (shelf / "trivy").mkdir()
    (shelf / "trivy/fanal").symlink_to(cache / "trivy/fanal")
    database = Database(
        [Advisory("CVE-2026-2001", "requests", fixed="999"), Advisory("CVE-2026-2002", "bash", "debian 13")]
    )
    words = ("--root", str(REPOSITORY), "--cache", str(shelf))
    release = (sys.executable, "-m", "pipeline.cli")
    imported = ("scan", "db", "import", str(database.write(tmp_path / "database")))
    process.run(Command((*release, *words, *imported), directory=REPOSITORY))
    target = ("--to", str(tmp_path / "out"), "--policy", "dev", "--output", "json")
    scanned = process.run(Command((*release, *words, "scan", "--offline", *target), directory=REPOSITORY), check=False)
    images = {item["image"]: item for item in json.loads(scanned.stdout)["images"]}
    assert set(images) == set(real_store.images())
    assert {item["outcome"] for item in images.values()} == {"passed"}
    found = {name: {item["id"] for item in image["verdict"]["judgements"]} for name, image in images.items()}
    assert "CVE-2026-2001" in found["nova:2025.1"]
    assert "CVE-2026-2001" in found["nova:2026.1"]
    assert "CVE-2026-2002" in found["mariadb:11.8"]
    assert not any(item["category"] == "secret" for image in images.values() for item in image["verdict"]["judgements"])
