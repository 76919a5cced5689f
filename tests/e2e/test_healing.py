# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What breaks is mended by itself, and users notice nothing, or only what cannot be hidden, for a bounded time."""

import signal

import pytest

from stackway import clock
from tests.e2e.cloud import Cloud, is_alive, release, tell, wait_until
from tests.e2e.load import Load

pytestmark = pytest.mark.cluster
APIS = ("keystone", "glance", "placement", "nova", "neutron", "cinder")


@pytest.fixture(autouse=True)
def healthy(cloud: Cloud) -> None:
    """Each fault finds every API with two pods that are ready."""
    wait_until("two pods of each API", lambda: all(cloud.ready(name, "api") >= 2 for name in APIS), 120)


def test_deleted_pods_are_not_noticed(cloud: Cloud) -> None:
    with Load(cloud.addresses, cloud.login[0]) as load:
        clock.sleep(2)
        for name in APIS:
            cloud.api.delete("Pod", cloud.pods(name, "api")[0]["metadata"]["name"], cloud.name)
        clock.sleep(20)
    assert len(load.outcomes) > 10 * len(APIS)
    assert load.failed == [], load.summary()
    tell(load.summary())


def test_killed_processes_cost_no_request_that_comes_later(cloud: Cloud) -> None:
    with Load(cloud.addresses, cloud.login[0]) as load:
        clock.sleep(2)
        # The next process takes seconds of a processor to start, and requests wait for it.
        pods = [cloud.pods(name, "api")[0] for name in ("keystone", "nova")]
        killed = clock.monotonic()
        workers = [pid for pod in pods for pid in cloud.workers(pod)]
        cloud.signal(workers, signal.SIGKILL)
        # A busy machine takes its time, and until then they may take another request.
        wait_until("the killed processes gone", lambda: not any(is_alive(pid) for pid in workers), 10)
        dead = clock.monotonic()
        clock.sleep(15)
    # What a process was answering when it was killed is lost with it.
    lost = [item for item in load.failed if item.at < dead and item.at + item.seconds > killed]
    assert [item for item in load.failed if item not in lost] == [], load.summary()
    assert len(lost) <= len(APIS)


def test_hung_process_is_left_out_and_then_replaced(cloud: Cloud) -> None:
    pod = cloud.pods("keystone", "api")[0]
    addresses = {name: cloud.addresses[name] for name in ("keystone", "placement")}
    cloud.signal(cloud.processes(pod), signal.SIGSTOP)
    out = wait_until("the hung pod left out", lambda: cloud.ready("keystone", "api") == 1, 40)
    with Load(addresses, cloud.login[0]) as load:
        clock.sleep(10)
    assert load.failed == [], load.summary()
    restarts = pod["status"]["containerStatuses"][0]["restartCount"]

    def is_back() -> bool:
        found = cloud.api.get("Pod", pod["metadata"]["name"], cloud.name)
        return bool(found and found["status"]["containerStatuses"][0]["restartCount"] > restarts) and (
            cloud.ready("keystone", "api") >= 2
        )

    back = wait_until("the hung pod restarted", is_back, 240)
    tell(f"a hung pod is left out after {out:.1f} s and replaced after {out + 10 + back:.1f} s")


@pytest.mark.parametrize(
    ("service", "bound"), [("rabbitmq", 5.0), ("mariadb", 30.0)], ids=["the broker restarts", "the database restarts"]
)
def test_restart_of_what_all_share_is_a_bounded_gap(cloud: Cloud, service: str, bound: float) -> None:
    with Load(cloud.addresses, cloud.login[0]) as load:
        clock.sleep(2)
        cloud.api.delete("Pod", cloud.pods(service, "server")[0]["metadata"]["name"], cloud.name)
        clock.sleep(35)
    assert max(load.gap(name) for name in APIS) < bound, load.summary()
    last = max(outcome.at for outcome in load.outcomes)
    assert not [item for item in load.failed if item.at > last - 5], load.summary()
    tell(load.summary())
    healed = [
        item for item in release("status", cloud.name, "--wait", "60")["disruptions"] if item["service"] == service
    ]
    assert healed
    assert 0 < healed[-1]["seconds"] < 60
    tell(f"{service} was whole again after {healed[-1]['seconds']} s")


def test_load_makes_more_pods_and_they_go_again(cloud: Cloud) -> None:
    least = 2
    with Load({f"keystone {n}": cloud.addresses["keystone"] for n in range(6)}, cloud.login[0], pause=0.0) as load:
        up = wait_until("more pods", lambda: cloud.ready("keystone", "api") > least, 150)
    assert load.failed == [], load.summary()
    back = wait_until("as many as before", lambda: cloud.ready("keystone", "api") == least, 420)
    tell(f"more pods after {up:.0f} s, as before after {back:.0f} s")
