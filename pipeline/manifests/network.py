# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Who may talk to whom in an environment's namespace: nobody, but those whose specs say so. Pure."""

from collections.abc import Iterator

from buildkit.models import Process, Service
from pipeline.manifests.objects import COMPONENT, MANAGED_BY, MANAGER, METRICS, NAME, Object, labels, make
from pipeline.manifests.site import Site
from pipeline.manifests.workloads import workload_name


def policies(site: Site) -> list[Object]:
    """Return the network policies of an environment."""
    found = [_nobody(), _names()]
    for service in site.services.values():
        for name, process in site.processes(service).items():
            if process.port:
                found.append(_reachable(site, service, name, process))
    return [*found, *_outside(site)]


def _nobody() -> Object:
    """By default nothing comes in; what goes out stays within the namespace."""
    inside: list[Object] = [{"podSelector": {}}]
    spec = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "egress": [{"to": inside}]}
    return make("NetworkPolicy", "default", labels("network"), "networking.k8s.io/v1", spec=spec)


def _names() -> Object:
    ports = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    spec = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": ports}]}
    return make("NetworkPolicy", "names", labels("network"), "networking.k8s.io/v1", spec=spec)


def _outside(site: Site) -> Iterator[Object]:
    """Yield what leads to servers that the environment has from outside: names may change their addresses, ports do not."""
    if ports := site.environment.external.ports:
        rule: Object = {"ports": [{"protocol": "TCP", "port": port} for port in ports]}
        spec = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [rule]}
        yield make("NetworkPolicy", "external", labels("network"), "networking.k8s.io/v1", spec=spec)


def _reachable(site: Site, service: Service, name: str, process: Process) -> Object:
    """Return who reaches a process: everybody when it is public, else our own pods, and for metrics who monitors us."""
    ports = [{"protocol": "TCP", "port": number} for number in (process.port, *process.ports.values())]
    ours = [{"podSelector": {"matchLabels": {MANAGED_BY: MANAGER}}}]
    rule: Object = {"ports": ports} if process.public else {"ports": ports, "from": ours}
    rules = [rule]
    if METRICS in process.ports and site.environment.external.monitoring:
        rules.append({"ports": [{"protocol": "TCP", "port": process.ports[METRICS]}]})
    chosen = {"matchLabels": {NAME: service.name, COMPONENT: name}}
    spec = {"podSelector": chosen, "policyTypes": ["Ingress"], "ingress": rules}
    own = labels(service.name, name)
    return make("NetworkPolicy", workload_name(service.name, name), own, "networking.k8s.io/v1", spec=spec)
