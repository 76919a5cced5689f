# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Carries out the plan of `up`, and waits until the cluster takes pods. Decides nothing but how long to wait."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

from buildkit.load import Containerd
from pipeline.cluster import configuration, keeper, machine
from pipeline.cluster.api import Api, plain_ready
from pipeline.cluster.cluster import Cluster, look, node_trouble, only_one, programs_now
from pipeline.cluster.identities import ADMIN, CLUSTER_AUTHORITY, identities, with_kubeconfig
from pipeline.cluster.layout import API_PORT, DNS_READY_PORT, choose_addresses
from pipeline.cluster.objects import objects, path_of
from pipeline.cluster.pause import pause_archive
from pipeline.cluster.plan import Action, Step, plan_up
from pipeline.cluster.programs import API_READY, OBJECTS_THERE, group_folders, programs, world
from pipeline.cluster.record import Record, write_record
from stackway import clock, process
from stackway.errors import FailedError, UnavailableError
from stackway.files import disk_errors, write_atomic
from stackway.tools.provision import provide_all
from stackway.tools.survey import machine_platform

TOOLS = ("kubernetes", "metrics-server")
_GROUP_ROOT = Path("/sys/fs/cgroup")
_READY_SECONDS = 120.0
_POLL_SECONDS = 0.05
# From the choice of addresses until they show as this cluster's, no other may choose.
_ALONE = frozenset(
    {
        *(Action.END, Action.ADDRESSES, Action.KEYS, Action.CONFIGURATION),
        *(Action.GROUPS, Action.WORLD, Action.LINK),
    }
)


@dataclass(frozen=True)
class Outcome:
    """What `up` did: the plan (empty: nothing was to do), and how many seconds each step took."""

    steps: tuple[Step, ...]
    seconds: dict[str, float] = field(default_factory=dict)


def plan(cluster: Cluster) -> tuple[Step, ...]:
    """Return what `up` would do. Raises UnavailableError or FailedError when this machine cannot."""
    return plan_up(look(cluster))


def up(cluster: Cluster) -> Outcome:
    """Start the cluster or mend it, and return when it takes pods.

    Raises UnavailableError when the machine cannot run one, FailedError when a part of it does not start, with the end of
    that part's log.
    """
    with only_one(cluster), disk_errors("the local cluster cannot be started"):
        steps = plan(cluster)
        try:
            return _carry_out(cluster, steps)
        except keeper.KeeperEndedError:
            if any(step.action is Action.WORLD for step in steps):
                raise
            # What was to be mended was about to end.
            return _carry_out(cluster, plan(cluster))


def _carry_out(cluster: Cluster, steps: tuple[Step, ...]) -> Outcome:
    run = _Up(cluster)
    for is_alone, some in groupby(steps, key=lambda step: step.action in _ALONE):
        with machine.alone() if is_alone else nullcontext():
            for step in some:
                run.do(step)
    return Outcome(steps, run.seconds)


class _Up:
    """One run of `up`."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.home = cluster.home
        self.seconds: dict[str, float] = {}
        self._tools: dict[str, Path] = {}
        self._record = cluster.record
        self._actions: dict[Action, Callable[[], None]] = {
            Action.PROGRAMS: self._programs,
            Action.END: self._end,
            Action.ADDRESSES: self._addresses,
            Action.KEYS: self._keys,
            Action.CONFIGURATION: self._configuration,
            Action.GROUPS: self._groups,
            Action.WORLD: self._world,
            Action.LINK: self._link,
            Action.API: self._api,
            Action.OBJECTS: self._objects,
            Action.NODE: self._node,
        }

    @property
    def record(self) -> Record:
        """What is recorded. Raises LookupError in the steps before ADDRESSES, which do without."""
        if self._record is None:
            raise LookupError(Action.ADDRESSES)
        return self._record

    def do(self, step: Step) -> None:
        """Carry out one step and keep how long it took."""
        started = clock.monotonic()
        self.cluster.reporter.task("cluster", f"{step.action}: {step.reason}")
        self._actions[step.action]()
        self.seconds[step.action.value] = round(clock.monotonic() - started, 3)

    def _programs(self) -> None:
        self._tools = provide_all(TOOLS, self.cluster.cache, self.cluster.reporter)

    def _end(self) -> None:
        keeper.end_keeper(self.home)
        if self._record:
            keeper.remove_link(self._record)
            # The kubelet would ask for seconds after containers of which only the control groups are left.
            keeper.remove_groups(self._record.groups)

    def _addresses(self) -> None:
        self._record = replace(
            self._record or self._new_record(),
            # Programs may have moved since; the addresses stay, for people have the kubeconfig.
            tools={name: str(path) for name, path in self._tools.items()},
            complete=False,
        )
        self.home.path.mkdir(parents=True, exist_ok=True)
        self.home.path.chmod(0o700)
        write_record(self.home, self._record)
        keeper.take_network(self._record)

    def _new_record(self) -> Record:
        network = choose_addresses(machine.routes(self._tools["ip"])).network
        groups = tuple(str(folder) for folder in group_folders(_GROUP_ROOT, self.home.group))
        return Record(str(self.home.path), str(network), self.home.link, groups)

    def _keys(self) -> None:
        from pipeline.cluster.certificates import make_certificates, need_renewal

        wanted = identities(self.record.addresses)
        if reason := need_renewal(self.home.keys, wanted, clock.now()):
            self.cluster.reporter.task("cluster", f"making certificates: {reason}")
            make_certificates(self.home.keys, wanted, clock.now())

    def _configuration(self) -> None:
        tools, addresses = self.record.programs, self.record.addresses
        plugins = str(tools["cni-plugins"].parent)
        for name, text in configuration.texts(addresses, self.record.group, str(tools["runc"]), plugins).items():
            path = self.home.config / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for name in with_kubeconfig():
            write_atomic(self.home.config / f"{name}.kubeconfig", self._kubeconfig(name), mode=0o600)
        write_atomic(self.home.kubeconfig, self._kubeconfig(ADMIN), mode=0o600)
        content = world(self.home, programs(addresses, tools), addresses, tools)
        write_atomic(self.home.plan, json.dumps(content, indent=1).encode())
        self.home.kubectl.parent.mkdir(exist_ok=True)
        self.home.kubectl.unlink(missing_ok=True)
        self.home.kubectl.symlink_to(tools["kubernetes"])

    def _kubeconfig(self, name: str) -> bytes:
        keys = self.home.keys
        files = (keys / f"{CLUSTER_AUTHORITY}.crt", keys / f"{name}.crt", keys / f"{name}.key")
        credentials = configuration.Credentials(*(path.read_bytes() for path in files))
        return json.dumps(configuration.kubeconfig(self.record.addresses.api, name, credentials), indent=1).encode()

    def _groups(self) -> None:
        keeper.make_groups(self.record.groups)

    def _world(self) -> None:
        self._pid = keeper.start_keeper(self.home, self.record.programs["keeper"])

    def _link(self) -> None:
        keeper.make_link(self.record, self._pid)

    def _api(self) -> None:
        # A question that nobody hears, because the link is not up yet, is soon asked again.
        api = self._connection(1.0)
        self._wait("kube-apiserver", "the API is not ready", api.is_ready)
        (self.home.gates / API_READY).touch()

    def _objects(self) -> None:
        authority = (self.home.keys / f"{CLUSTER_AUTHORITY}.crt").read_bytes()
        api = self._connection()
        with ThreadPoolExecutor(1) as beside:
            image = beside.submit(self._pause_image)
            # The API makes this namespace itself, a moment after it calls itself ready.
            self._wait(
                "kube-apiserver", "kube-system is not there", lambda: _exists(api, "/api/v1/namespaces/kube-system")
            )
            for item in objects(self.record.addresses, authority):
                api.apply(path_of(item), item)
            (self.home.gates / OBJECTS_THERE).touch()
            image.result()

    def _pause_image(self) -> None:
        target = self.cluster.containerd()
        self._wait("containerd", "containerd does not answer", lambda: _answers(target))
        if configuration.PAUSE in process.run(target.command("images", "ls", "-q")).stdout.split():
            return
        program = self.record.programs["keeper"].read_bytes()
        archive = self.home.data / "tmp" / "pause.tar"
        archive.write_bytes(pause_archive(program, configuration.PAUSE, machine_platform().rpartition("/")[2]))
        process.run(target.command("images", "import", str(archive)))
        archive.unlink()

    def _node(self) -> None:
        api = self._connection()
        address = str(self.record.addresses.node)
        self._wait("keeper", "not every program runs", self._all_run)
        self._wait(
            "kubelet", "the node is not ready", lambda: not node_trouble(api, machine.begun(self.home, "kubelet"))
        )
        self._wait("coredns", "names are not answered", lambda: plain_ready(address, DNS_READY_PORT, "/ready"))
        self._record = replace(self.record, complete=True)
        write_record(self.home, self._record)

    def _all_run(self) -> bool:
        return all(entry["pid"] for entry in programs_now(self.cluster).values())

    def _connection(self, seconds: float = 10.0) -> Api:
        return Api(str(self.record.addresses.node), API_PORT, self.home.keys, seconds)

    def _wait(self, name: str, brief: str, done: Callable[[], bool]) -> None:
        deadline = clock.monotonic() + _READY_SECONDS
        while not _quietly(done):
            if not machine.keeper_pid(self.home):
                raise keeper.keeper_ended(self.home)
            if clock.monotonic() > deadline:
                raise FailedError(
                    f"{brief} after {_READY_SECONDS:g} s",
                    details=f"{self.home.log(name)}:\n{keeper.log_tail(self.home.log(name))}",
                    resolution="The log says why; `release cluster status` shows what runs.",
                )
            clock.sleep(_POLL_SECONDS)


def _answers(target: Containerd) -> bool:
    # ctr waits ten seconds for a socket that is not there; one that is may be what an ended containerd left.
    return Path(target.address).is_socket() and process.run(target.command("version"), check=False).code == 0


def _quietly(done: Callable[[], bool]) -> bool:
    try:
        return done()
    except UnavailableError:
        return False


def _exists(api: Api, path: str) -> bool:
    content = api.get(path).content
    return isinstance(content, dict) and content.get("kind") != "Status"
