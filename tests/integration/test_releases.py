# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""A release from a real build and a real scan: signed, promoted through three environments, refused on the way, rolled back."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from stackway import clock, process
from stackway.process import Completed
from tests.advisories import Advisory, Database
from tests.integration.builder import REPOSITORY, TinyCheckout, tiny_checkout

pytestmark = pytest.mark.engine

PASSWORD = "canary of the key"
HOLE = Advisory("CVE-2026-1002", "packaging", fixed="999.1", severity="CRITICAL")
FREEZE = "freeze: [{from: 2020-01-01, to: 2199-12-31, reason: for ever}]"
STAGING = (
    "source: dev\ntrust: {keys: [keys/release.pub], threshold: 1}\ngates: {live: {maxAge: 1h}, scan: {policy: prod}}\n"
)
PROD = """\
source: staging
trust: {keys: [keys/release.pub, keys/second.pub], threshold: 2, promoters: [keys/ops.pub]}
gates:
  live: {maxAge: 1h}
  soak: 0m
  scan: {policy: prod}
  approvals: {by: [keys/ops.pub], atLeast: 1}
  lineage: [dev, staging]
"""
DEV = "development: true\ntrust: {keys: [keys/*.pub]}\ngates: {candidates: true}\n"


@dataclass(frozen=True)
class Site:
    """A checkout with a small built image, three environments and three keys."""

    checkout: TinyCheckout

    @property
    def root(self) -> Path:
        return self.checkout.root

    def release(self, *words: str, key: str = "") -> Completed:
        given = ("--key", f"{self.root}/keys/{key}.key", "--password-file", f"{self.root}/password") if key else ()
        return self.checkout.release(*words, *given)

    def done(self, *words: str, key: str = "") -> str:
        completed = self.release(*words, key=key)
        assert completed.code == 0, f"{words}\n{completed.stdout}\n{completed.stderr}"
        return completed.stdout

    def refused(self, *words: str, key: str = "", code: int = 4) -> str:
        completed = self.release(*words, key=key)
        assert completed.code == code, f"{words}\n{completed.stdout}\n{completed.stderr}"
        assert "error: " in completed.stderr
        assert PASSWORD not in completed.stdout + completed.stderr
        return completed.stderr

    def environment(self, name: str, text: str) -> None:
        folder = self.root / "environments"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.yaml").write_text(f"name: {name}\nsummary: {name} of the tests\n{text}")

    def database(self, *advisories: Advisory) -> None:
        folder = Database(list(advisories)).write(self.root / "database")
        self.done("scan", "db", "import", str(folder))
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, builder_cache: Path) -> Site:
    """A site whose image is built, and scanned by a database that knows nothing bad."""
    checkout = tiny_checkout(tmp_path_factory.mktemp("releases") / "checkout", builder_cache)
    checkout.add_python("snake")
    checkout.build()
    shutil.copytree(REPOSITORY / "policies", checkout.root / "policies")
    site = Site(checkout)
    (site.root / "password").write_text(f"{PASSWORD}\n")
    for name, text in (("dev", DEV), ("staging", STAGING), ("prod", PROD)):
        site.environment(name, text)
    for name in ("release", "second", "ops"):
        site.done("keygen", f"{site.root}/keys/{name}", "--password-file", f"{site.root}/password")
    site.database()
    site.done("scan", "--offline", "--series", "2026.1")
    return site


@pytest.fixture
def site(built: Site) -> Site:
    """The same site before its first release."""
    for name in ("releases", "channels", "keys"):
        shutil.rmtree(built.checkout.state / name, ignore_errors=True)
    return built


def test_release_goes_through_three_environments_refused_once_at_each_gate(site: Site) -> None:
    site.done("bundle")
    assert "is not signed" in site.refused("promote", "2026.1.0", "dev")
    site.done("sign")
    site.done("promote", "2026.1.0", "dev")
    assert "none of the keys that count here" in site.refused("promote", "dev", "staging", key="release")
    site.done("sign", key="release")
    assert "live failed: nobody has seen it run in dev" in site.refused("promote", "dev", "staging", key="release")
    site.done("observe", "dev", "--unhealthy", "--requests", "10", "--failures", "9")
    assert "live failed: it is not healthy" in site.refused("promote", "dev", "staging", key="release")
    site.done("observe", "dev", "--healthy", "--requests", "10")
    site.database(HOLE)
    assert "CVE-2026-1002" in site.refused("promote", "dev", "staging", key="release")
    site.database()
    site.done("promote", "dev", "staging", key="release")
    assert "signed by too few" in site.refused("promote", "staging", "prod", key="ops")
    site.done("sign", key="second")
    told = site.refused("promote", "staging", "prod", key="ops")
    assert all(text in told for text in ("live failed", "soak failed", "approvals failed: 0 of 1"))
    site.done("observe", "staging", "--healthy", "--requests", "10", key="release")
    site.refused("approve", "prod", key="release", code=2)
    site.done("approve", "prod", "--reason", "read it", key="ops")
    site.environment("prod", PROD + f"  {FREEZE}\n")
    assert "freeze failed: for ever" in site.refused("promote", "staging", "prod", key="ops")
    site.environment("prod", PROD)
    site.refused("promote", "staging", "prod", key="release", code=2)
    assert site.release("promote", "staging", "prod", "--dry-run").code == 3
    site.done("promote", "staging", "prod", key="ops")
    assert "there already" in site.done("promote", "staging", "prod", "--dry-run")
    assert "borne out" in site.done("verify-evidence")


def test_rollback_names_the_earlier_release_and_history_only_grows(site: Site) -> None:
    for version in ("2026.1.0", "2026.1.1"):
        site.done("bundle", version)
        site.done("sign", version)
        site.done("promote", version, "dev")
    site.refused("promote", "2026.1.0", "dev")
    before = json.loads(site.done("history", "dev", "--output", "json"))
    site.done("rollback", "dev", "--reason", "errors")
    after = json.loads(site.done("history", "dev", "--output", "json"))
    assert after[: len(before)] == before
    assert (after[-1]["kind"], after[-1]["pin"]["version"], after[-1]["reason"]) == ("rollback", "2026.1.0", "errors")
    site.done("verify-evidence", "dev")
    site.refused("rollback", "dev", "--reason", "more", "--to", "2026.1.9")


def test_two_checkouts_in_other_folders_give_the_same_digest(site: Site, tmp_path: Path) -> None:
    site.done("bundle")
    first = json.loads(site.done("show", "--output", "json"))["digest"]
    root = tmp_path / "another place"
    shutil.copytree(site.root, root, ignore=shutil.ignore_patterns("releases", "channels"))
    other = Site(TinyCheckout(root, site.checkout.cache))
    other.done("bundle")
    assert json.loads(other.done("show", "--output", "json"))["digest"] == first


def test_bundle_again_makes_nothing(site: Site) -> None:
    site.done("bundle")
    assert "2026.1.0 is this already" in site.done("bundle")
    assert "2026.1.0" in site.done("list")


def test_images_that_were_not_scanned_need_a_word(site: Site, tmp_path: Path) -> None:
    scans, aside = site.checkout.state / "scans", tmp_path / "scans"
    shutil.move(scans, aside)
    try:
        assert "were not scanned" in site.refused("bundle")
        site.done("bundle", "--unscanned")
        assert "not scanned" in site.done("show")
    finally:
        shutil.move(aside, scans)


def test_images_that_are_not_what_their_specs_say_are_no_release(site: Site) -> None:
    path = site.root / "images/snake/service.yaml"
    text = path.read_text()
    path.write_text(text.replace("snake of the tests", "another snake"))
    try:
        assert "snake:2026.1" in site.refused("bundle", code=1)
    finally:
        path.write_text(text)


def test_export_and_import_bring_release_and_records_to_another_site(site: Site, tmp_path: Path) -> None:
    site.done("bundle")
    site.done("sign", key="release")
    site.done("promote", "2026.1.0", "dev")
    site.done("export", "--to", f"{tmp_path}/r.tar", "--records", "dev")
    place = {"STACKWAY_RELEASES": f"{tmp_path}/elsewhere", "STACKWAY_STATE": f"{tmp_path}/state"}
    shutil.copytree(site.checkout.state / "keys", tmp_path / "state/keys")
    completed = site.checkout.release("import", f"{tmp_path}/r.tar", "--for", "dev", **place)
    assert completed.code == 0, completed.stderr
    assert "signed by keys/release.pub" in completed.stdout
    listed = site.checkout.release("list", **place)
    assert "2026.1.0" in listed.stdout
    assert listed.stdout.splitlines()[1].endswith("dev"), listed.stdout


def test_export_over_a_base_has_only_what_is_new(site: Site, tmp_path: Path) -> None:
    site.done("bundle", "2026.1.0")
    site.done("bundle", "2026.1.1")
    site.done("export", "2026.1.0", "--to", f"{tmp_path}/a.tar")
    site.done("export", "2026.1.1", "--to", f"{tmp_path}/b.tar", "--base-release", "2026.1.0")
    assert (tmp_path / "b.tar").stat().st_size < (tmp_path / "a.tar").stat().st_size / 20
    place = {"STACKWAY_RELEASES": f"{tmp_path}/elsewhere"}
    completed = site.checkout.release("import", f"{tmp_path}/b.tar", **place)
    assert completed.code != 0
    assert "Import that one first" in completed.stderr
    for name in ("a", "b"):
        assert site.checkout.release("import", f"{tmp_path}/{name}.tar", **place).code == 0
    assert site.checkout.release("show", "2026.1.1", **place).code == 0


def test_keys_of_others_and_wrong_passwords_are_told(site: Site, tmp_path: Path) -> None:
    site.done("bundle")
    (tmp_path / "wrong").write_text("wrong\n")
    key = f"{site.root}/keys/release.key"
    completed = site.checkout.release("sign", "--key", key, "--password-file", f"{tmp_path}/wrong")
    assert (completed.code, "the password does not open this key" in completed.stderr) == (2, True)
    copy = tmp_path / "loose.key"
    shutil.copy(key, copy)
    copy.chmod(0o644)
    completed = site.checkout.release("sign", "--key", str(copy), "--password-file", f"{site.root}/password")
    assert (completed.code, "others may read this private key" in completed.stderr) == (4, True)
    completed = site.checkout.release("sign", "--key", key)
    assert (completed.code, "nobody is here to type" in completed.stderr) == (2, True)


STEPS = {
    "bundle": ("bundle",),
    "sign": ("sign",),
    "promote": ("promote", "2026.1.0", "dev"),
    "observe": ("observe", "dev", "--healthy"),
    "rollback": ("rollback", "dev", "--reason", "errors"),
    "export": ("export", "2026.1.0", "--to", "{place}/r.tar"),
    "import": ("import", "{place}/good.tar"),
    "push": ("push", "{place}/pushed", "2026.1.0"),
}


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_moment_leaves_a_valid_place_and_can_be_repeated(site: Site, tmp_path: Path, step: str) -> None:
    prepare(site, step, tmp_path)
    words = [word.format(place=tmp_path) for word in STEPS[step]]
    environment = {"STACKWAY_RELEASES": f"{tmp_path}/imported"} if step == "import" else {}
    seconds = measure(site, step)
    for part in (0.5, 0.7, 0.85, 0.97):
        daemon = process.start(site.checkout.command(*words, **environment), tmp_path / "log")
        clock.sleep(seconds * part)
        daemon.process.kill()
        daemon.process.wait()
        listed = site.checkout.release("list", **environment)
        assert listed.code == 0, listed.stderr
    completed = site.checkout.release(*words, **environment)
    assert completed.code == 0, completed.stderr
    where = {"import": f"{tmp_path}/imported", "push": f"{tmp_path}/pushed"}.get(step)
    if step not in {"bundle", "export"}:
        verified = site.checkout.release("verify", "2026.1.0", **({"STACKWAY_RELEASES": where} if where else {}))
        assert verified.code == 0, verified.stderr
    site.done("verify-evidence")


def prepare(site: Site, step: str, folder: Path) -> None:
    """Do what comes before a step."""
    if step == "bundle":
        return
    site.done("bundle")
    if step == "sign":
        return
    site.done("sign")
    if step == "import":
        site.done("export", "--to", f"{folder}/good.tar")
    if step in {"observe", "rollback"}:
        site.done("promote", "2026.1.0", "dev")
    if step == "rollback":
        site.done("bundle", "2026.1.1")
        site.done("sign", "2026.1.1")
        site.done("promote", "2026.1.1", "dev")


def measure(site: Site, step: str) -> float:
    """Return about how long a step takes, by one that changes nothing."""
    started = clock.monotonic()
    site.release("verify", "2026.1.0") if step != "bundle" else site.release("bundle", "--dry-run")
    return clock.monotonic() - started
