# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Environments that come and go: what a new one takes over, and an end that takes everything of its own and nothing else."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import yaml

from pipeline import demand
from pipeline.demand import environment_text, inventory, remove
from pipeline.manifests.objects import ENVIRONMENT
from releases.environment import Environment
from releases.keyring import Place
from stackway.console import SilentReporter
from stackway.errors import FailedError, RefusedError, WrongInputError
from tests.fakes.cluster import FakeCluster, Key, KilledError

if TYPE_CHECKING:
    from pipeline.api import Api

ROOT = Path(__file__).parents[3]
DEV = yaml.safe_load((ROOT / "environments" / "dev.yaml").read_text())
FULL: dict[str, Any] = {
    **DEV,
    "source": "staging",
    "store": "oci://registry.example/stackway",
    "channel": {"expires": "9d"},
    "region": "RegionTwo",
    "cluster": {"context": "lab", "namespace": "theirs", "overcommit": 4},
    "external": {"messaging": {"hosts": ["broker.example"], "secret": "broker"}},
}
MINE = Environment.model_validate({**DEV, "name": "mine", "cluster": {"namespace": "mine"}})


def like(content: dict[str, Any]) -> Place:
    return Place(Environment.model_validate(content), cast("Any", None), cast("Any", None))


def made(content: dict[str, Any]) -> Environment:
    return Environment.model_validate(yaml.safe_load(environment_text(like(content), "mine")))


def cluster(owner: str | None = "mine", **given: Any) -> FakeCluster:
    """Return a cluster with a namespace of that owner, and a workload with pods in it."""
    labels = {ENVIRONMENT: owner} if owner else {}
    template: dict[str, Any] = {"metadata": {"labels": {}}}
    rows: list[dict[str, Any]] = [
        {"kind": "Namespace", "metadata": {"name": "mine", "labels": labels}},
        {"kind": "Deployment", "metadata": {"name": "api"}, "spec": {"replicas": 2, "template": template}},
        {"kind": "PersistentVolumeClaim", "metadata": {"name": "data"}},
    ]
    return FakeCluster({(item["kind"], item["metadata"]["name"]): item for item in rows}, **given)


def end(found: FakeCluster) -> None:
    remove(cast("Api", found), MINE, SilentReporter())


@pytest.mark.parametrize("content", [DEV, FULL], ids=["dev", "full"])
def test_new_environment_is_the_other_in_a_namespace_of_its_own(content: dict[str, Any]) -> None:
    other, found = Environment.model_validate(content), made(content)
    assert (found.name, found.cluster.namespace) == ("mine", "mine")
    assert found.cluster == other.cluster.model_copy(update={"namespace": "mine"})
    assert (found.services, found.trust, found.region) == (other.services, other.trust, other.region)
    assert found.development


def test_new_environment_has_no_gates_and_nothing_that_belongs_to_the_other_alone() -> None:
    found = made(FULL)
    assert (found.source, found.store) == (None, None)
    assert found.external == Environment.model_validate(DEV).external
    assert (found.gates.live, found.gates.soak, list(found.gates.lineage)) == (None, None, [])


def test_file_of_a_new_environment_makes_the_same_one_again() -> None:
    text = environment_text(like(FULL), "mine")
    assert environment_text(like(yaml.safe_load(text)), "mine").splitlines()[4:] == text.splitlines()[4:]


def test_environment_that_is_not_for_trying_is_no_pattern() -> None:
    with pytest.raises(WrongInputError, match="no pattern"):
        made({**DEV, "development": False})


def test_nothing_there_is_nothing_to_remove() -> None:
    empty = FakeCluster()
    end(empty)
    assert not inventory(cast("Api", empty), MINE)["exists"]
    assert empty.writes == 0


def test_inventory_counts_pods_and_changes_nothing() -> None:
    found = cluster()
    assert inventory(cast("Api", found), MINE) == {
        "environment": "mine",
        "namespace": "mine",
        "exists": True,
        "pods": 2,
    }
    assert found.writes == 0


@pytest.mark.parametrize("owner", ["dev", None])
def test_namespace_of_somebody_else_is_never_touched(owner: str | None) -> None:
    found = cluster(owner)
    with pytest.raises(RefusedError, match="does not belong to mine"):
        end(found)
    assert found.writes == 0


def test_what_makes_pods_goes_before_them_and_the_namespace_last() -> None:
    found = cluster()
    end(found)
    assert found.objects == {}
    kinds = [key[0] for _, key in found.written]
    assert kinds.index("Deployment") < kinds.index("Pod") < kinds.index("PersistentVolumeClaim")
    assert kinds[-1] == "Namespace"


def test_end_that_was_cut_off_is_ended_by_the_next() -> None:
    whole = cluster()
    end(whole)
    for deadly in range(1, whole.writes + 1):
        found = cluster(deadly=deadly, stays_dead=True)
        with pytest.raises(KilledError):
            end(found)
        heir = FakeCluster({key: item for key, item in found.objects.items() if key[0] != "Pod"})
        end(heir)
        assert heir.objects == {}, deadly


class Stubborn(FakeCluster):
    """A cluster in which objects of one kind do not go."""

    stays = ""

    def _drop_all(self, kind: str) -> None:
        if kind != self.stays:
            super()._drop_all(kind)

    def _drop(self, kind: str, name: str) -> None:
        if kind != self.stays:
            super()._drop(kind, name)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("Pod", "2 pods are still there"),
        ("PersistentVolumeClaim", "1 volumes are still there"),
        ("Namespace", "the finalizer of x"),
    ],
)
def test_what_does_not_go_is_told_after_a_while(kind: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demand, "_GONE_SECONDS", 0.05)
    monkeypatch.setattr(demand, "_LOOK", 0.01)
    found = Stubborn(cluster().objects)
    found.stays = kind
    key: Key = ("Namespace", "mine")
    found.objects[key]["status"] = {
        "conditions": [{"status": "False", "message": "well"}, {"status": "True", "message": "the finalizer of x"}]
    }
    with pytest.raises(FailedError, match="the namespace mine does not go") as caught:
        end(found)
    assert caught.value.details == told
