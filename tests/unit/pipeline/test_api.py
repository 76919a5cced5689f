# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What is asked of the Kubernetes API, and what its answers mean, whatever they are."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.client import ApiClient, Configuration
from urllib3.exceptions import MaxRetryError, ProtocolError, ReadTimeoutError

from pipeline import deploy
from pipeline.api import Api, RefusedByClusterError, open_api
from pipeline.manifests.render import render
from stackway.errors import FailedError, StackwayError, UnavailableError, WrongInputError
from tests.fakes.sites import site

BROKEN = ProtocolError("Connection broken")


@dataclass
class Answer:
    """What the cluster says: a status, and a body that may break off."""

    status: int = 200
    body: Any = b"{}"
    reason: str = "OK"
    chunks: Sequence[bytes | Exception] = ()
    released: int = 0

    @property
    def response(self) -> "Answer":
        return self

    def getheaders(self) -> dict[str, str]:
        return {"Date": "Mon, 23 Nov 2026 12:00:00 GMT"}

    def read(self) -> bytes:
        if isinstance(self.body, Exception):
            raise self.body
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()

    def stream(self, size: int, *, decode_content: bool) -> Iterator[bytes]:
        assert size > 0
        assert decode_content
        for chunk in self.chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    def release_conn(self) -> None:
        self.released += 1


@dataclass
class Client(ApiClient):
    """The library's own client, whose requests end here."""

    answers: list[Answer | Exception]
    asked: list[tuple[str, str, dict[str, str], dict[str, str], Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(Configuration(host="https://cluster.example"))

    def call_api(self, method: str, url: str, header_params: Any = None, body: Any = None, *_: Any, **__: Any) -> Any:
        parts = urlsplit(url)
        self.asked.append((method, parts.path, dict(parse_qsl(parts.query)), header_params, body))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def talk(*answers: Any) -> tuple[Api, Client]:
    """Return a cluster that answers with these, each a body, an Answer, or an error."""
    given = [item if isinstance(item, Answer | Exception) else Answer(body=item) for item in answers]
    client = Client(given)
    return Api("lab", client), client


def refused(status: int, message: str = "no") -> Answer:
    return Answer(status, {"message": message}, "Reason")


ITEM = {"kind": "Deployment", "metadata": {"name": "api", "namespace": "dev"}, "spec": {}}
ASKED: tuple[Callable[[Api], Any], ...] = (
    lambda api: api.apply(ITEM),
    lambda api: api.create(ITEM),
    lambda api: api.get("Pod", "a", "dev"),
    lambda api: api.list("Pod"),
)
EMPTY = {"metadata": {"resourceVersion": "7"}, "items": None}


@pytest.mark.parametrize(
    ("kind", "namespace", "path"),
    [
        ("Pod", "dev", "/api/v1/namespaces/dev/pods"),
        ("Pod", "", "/api/v1/pods"),
        ("Node", "dev", "/api/v1/nodes"),
        ("Deployment", "dev", "/apis/apps/v1/namespaces/dev/deployments"),
        ("NetworkPolicy", "dev", "/apis/networking.k8s.io/v1/namespaces/dev/networkpolicies"),
        ("HorizontalPodAutoscaler", "dev", "/apis/autoscaling/v2/namespaces/dev/horizontalpodautoscalers"),
        ("RoleBinding", "dev", "/apis/rbac.authorization.k8s.io/v1/namespaces/dev/rolebindings"),
    ],
)
def test_kind_is_asked_for_where_it_is(kind: str, namespace: str, path: str) -> None:
    api, client = talk(EMPTY)
    assert api.list(kind, namespace) == ([], "7")
    assert client.asked[0][:3] == ("GET", path, {})


def test_everything_that_is_rendered_can_be_applied_by_its_own_version() -> None:
    for item in render(site()).objects:
        api, client = talk(item)
        api.apply(item)
        _, path, *_ = client.asked[0]
        base = "/api/v1/" if item["apiVersion"] == "v1" else f"/apis/{item['apiVersion']}/"
        assert path.startswith(base), item["kind"]
        assert path.endswith(f"/{item['metadata']['name']}")
    assert {item["kind"] for item in render(site()).objects} <= {*deploy.KINDS, "Namespace"}


@pytest.mark.parametrize("dry_run", [True, False])
def test_apply_is_under_our_own_name_and_says_when_it_is_a_trial(dry_run: bool) -> None:  # noqa: FBT001
    stored = {**ITEM, "metadata": {**ITEM["metadata"], "generation": 3}}  # type: ignore[dict-item]
    api, client = talk(stored)
    assert api.apply(ITEM, dry_run=dry_run) == stored
    method, path, query, headers, body = client.asked[0]
    assert (method, path) == ("PATCH", "/apis/apps/v1/namespaces/dev/deployments/api")
    assert query == {"fieldManager": "stackway", "force": "true", **({"dryRun": "All"} if dry_run else {})}
    assert headers["Content-Type"] == "application/apply-patch+yaml"
    assert body == ITEM


def test_list_names_the_kind_of_each_object_and_chooses_by_labels() -> None:
    api, client = talk({"metadata": {}, "items": [{"metadata": {"name": "a"}}]})
    assert api.list("Job", "dev", "a=b,c") == ([{"kind": "Job", "metadata": {"name": "a"}}], "")
    assert client.asked[0][2] == {"labelSelector": "a=b,c"}


@pytest.mark.parametrize(
    ("items", "names"),
    [(None, set()), ([], set()), ([{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}], {"a", "b"})],
)
def test_names_are_asked_for_without_what_the_objects_hold(items: Any, names: set[str]) -> None:
    api, client = talk({"items": items})
    assert api.names("Secret", "dev", "a=b") == names
    assert "PartialObjectMetadataList" in client.asked[0][3]["Accept"]


def test_names_of_an_answer_without_items_are_none() -> None:
    assert talk({})[0].names("Secret", "dev", "") == frozenset()


def test_what_is_not_there_is_none_and_removing_it_is_no_error() -> None:
    api, client = talk(refused(404), refused(404))
    assert api.get("Pod", "a", "dev") is None
    api.delete("Pod", "a", "dev")
    assert client.asked[1][:3] == ("DELETE", "/api/v1/namespaces/dev/pods/a", {"propagationPolicy": "Background"})


def test_of_two_who_make_the_same_one_is_told_that_it_was_not_them() -> None:
    api, client = talk(ITEM, refused(409))
    assert [api.create(ITEM), api.create(ITEM)] == [True, False]
    assert client.asked[0][:2] == ("POST", "/apis/apps/v1/namespaces/dev/deployments")


def test_conflict_in_an_apply_says_that_somebody_was_first() -> None:
    with pytest.raises(FailedError, match="somebody else was first") as caught:
        talk(refused(409, "the object has been modified"))[0].apply(ITEM)
    assert "the object has been modified" in caught.value.details


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, RefusedByClusterError), (403, RefusedByClusterError), (422, RefusedByClusterError)]
    + [(status, UnavailableError) for status in (408, 429, 500, 503)],
)
def test_refusal_and_inability_are_told_in_the_clusters_own_words(status: int, error: type[StackwayError]) -> None:
    for ask in ASKED:
        with pytest.raises(error) as caught:
            ask(talk(refused(status, "spec.replicas: invalid"))[0])
        assert f"{status} Reason: spec.replicas: invalid" in caught.value.details


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b"\xff", {"message": "x" * 5000}, BROKEN], ids=repr)
def test_refusal_without_sense_is_a_refusal_still(body: Any) -> None:
    with pytest.raises(StackwayError) as caught:
        talk(Answer(502, body, "Bad Gateway"))[0].apply(ITEM)
    assert len(caught.value.details) <= 1000
    assert "/deployments/api" in caught.value.details


@pytest.mark.parametrize(
    "answer",
    [
        MaxRetryError(None, "/", BROKEN),  # type: ignore[arg-type]
        Answer(body=BROKEN),
        Answer(body=ReadTimeoutError(None, "/", "timed out")),  # type: ignore[arg-type]
        Answer(body=b"<html>a proxy</html>"),
        Answer(body=b""),
    ],
    ids=["not reached", "broken off", "too slow", "a proxy", "nothing"],
)
def test_cluster_that_cannot_be_heard_is_named_and_nothing_is_taken_for_an_answer(answer: Any) -> None:
    for ask in (*ASKED, Api.version):
        with pytest.raises(UnavailableError) as caught:
            ask(talk(answer)[0])
        assert "context lab: " in caught.value.details
        assert caught.value.resolution


def test_what_may_not_be_seen_is_none_and_what_is_not_served_is_not_there() -> None:
    api, _ = talk(refused(403), EMPTY, refused(404), {})
    assert [api.try_list("Node"), api.try_list("Node")] == [None, []]
    assert [api.has("/apis/x"), api.has("/apis/x")] == [False, True]


@pytest.mark.parametrize(
    ("kind", "group", "namespace"), [("Pod", "", "dev"), ("Deployment", "apps", "dev"), ("Namespace", "", "")]
)
def test_right_is_asked_for_by_group_and_namespace(kind: str, group: str, namespace: str) -> None:
    api, client = talk({"status": {"allowed": True}}, {"status": {}}, {})
    assert [api.may("patch", kind, "dev") for _ in range(3)] == [True, False, False]
    about = client.asked[0][4]["spec"]["resourceAttributes"]
    assert (about["verb"], about["group"], about["namespace"]) == ("patch", group, namespace)


@pytest.mark.parametrize(("minor", "version"), [("34", (1, 34)), ("27+", (1, 27)), (30, (1, 30))])
def test_version_is_numbers_whatever_a_vendor_adds(minor: Any, version: tuple[int, int]) -> None:
    api, _ = talk({"major": "1", "minor": minor})
    assert api.version() == (version, "Mon, 23 Nov 2026 12:00:00 GMT")


def test_removing_all_leaves_what_they_have_made_and_gives_pods_their_time() -> None:
    api, client = talk({}, {})
    api.delete_all("Deployment", "dev")
    api.delete_all("Pod", "dev", grace=0)
    assert [asked[2] for asked in client.asked] == [
        {"propagationPolicy": "Orphan"},
        {"propagationPolicy": "Orphan", "gracePeriodSeconds": "0"},
    ]


def test_log_is_text_whatever_is_in_it_and_empty_when_there_is_none() -> None:
    api, client = talk(b"caf\xe9\n", refused(400, "container is waiting"), refused(404))
    assert [api.logs("dev", "a", 5) for _ in range(3)] == ["caf\ufffd\n", "", ""]
    assert client.asked[0][1:3] == ("/api/v1/namespaces/dev/pods/a/log", {"tailLines": "5"})


EVENTS = [{"type": "ADDED", "object": {"metadata": {"name": f"p{number}"}}} for number in range(4)]
STREAM = b"\n".join([*(json.dumps(event).encode() for event in EVENTS), b""])


@given(st.sets(st.integers(0, len(STREAM))))
def test_changes_are_the_same_however_they_are_cut(cuts: set[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    answer = Answer(chunks=[STREAM[begin:end] for begin, end in pairwise(places)])
    found = list(talk(answer)[0].watch("Pod", "dev", "7", 60))
    assert found == [(event["type"], event["object"]) for event in EVENTS]
    assert answer.released == 1


def test_watch_begins_where_the_list_ended_and_lets_go_when_nobody_listens() -> None:
    answer = Answer(chunks=[STREAM])
    api, client = talk(answer)
    changes = api.watch("Pod", "dev", "7", 60)
    next(changes)
    changes.close()  # type: ignore[attr-defined]
    assert client.asked[0][2] == {"watch": "true", "resourceVersion": "7", "timeoutSeconds": "60"}
    assert answer.released == 1


def test_watch_that_is_cut_off_says_so_after_what_it_has_told() -> None:
    answer = Answer(chunks=[STREAM, BROKEN])
    changes = talk(answer)[0].watch("Pod", "dev", "7", 60)
    assert len([next(changes) for _ in EVENTS]) == len(EVENTS)
    with pytest.raises(UnavailableError, match="does not answer"):
        next(changes)
    assert answer.released == 1


KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: very-secret}}]
contexts: [{name: lab, context: {cluster: c, user: u}}]
current-context: lab
"""


def test_context_opens_its_cluster_and_tells_nobody_its_token(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(KUBECONFIG)
    assert [open_api(str(path), name).context for name in ("lab", None)] == ["lab", "local"]
    assert "very-secret" not in repr(open_api(str(path), "lab"))


@pytest.mark.parametrize(
    ("text", "context"),
    [(None, "lab"), ("", "lab"), (KUBECONFIG, "other"), (KUBECONFIG, "lab\n"), ("{", "lab"), ("[]", None)],
    ids=["no file", "empty", "no such context", "not quite", "no YAML", "a list"],
)
def test_no_way_to_a_cluster_is_said_with_the_file_and_the_context(
    tmp_path: Path, text: str | None, context: str | None
) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    with pytest.raises(WrongInputError, match="no way to a cluster") as caught:
        open_api(str(path), context)
    assert str(path) in caught.value.details
    assert (context or "the current one") in caught.value.details
