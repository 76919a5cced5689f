# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""The configuration of a service in an environment: files in ConfigMaps and Secrets whose names change with them. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from buildkit.configuration import TemplateLibrary
from buildkit.dockerfile import deployment_files
from buildkit.models import ConfigFile, Process, Service
from pipeline.manifests import objects
from pipeline.manifests.objects import Object
from pipeline.manifests.site import Site
from releases import bundle


@dataclass(frozen=True)
class Configuration:
    """The files of a service: name → object that holds it, and those objects."""

    service: Service
    holders: Mapping[str, Object]

    @property
    def objects(self) -> list[Object]:
        """The ConfigMaps and Secrets, each once."""
        return list({objects.name_of(item): item for item in self.holders.values()}.values())

    def files(self, process: Process | None) -> Iterator[tuple[str, ConfigFile, Object]]:
        """Yield the files that a process mounts (all of them for none), with what holds each."""
        wanted = process.config if process and process.config is not None else tuple(self.service.config)
        for name in wanted:
            if name in self.holders:
                yield name, self.service.config[name], self.holders[name]


def configuration(site: Site, service: Service) -> Configuration:
    """Return the configuration of a service, rendered. Raises WrongInputError for a template that cannot be."""
    texts = site.content.data(bundle.CONFIGURATION)["templates"]
    library = TemplateLibrary(texts, {name: f"{name} of release {site.content.version}" for name in texts})
    rendered = deployment_files(service, library.of(service.name), site.values(service))
    own = objects.labels(service.name)
    files = {name: item for name, item in service.config.items() if item.render == "deployment"}
    open_files = {name: rendered[item.path] for name, item in files.items() if not item.secret}
    closed = {name: rendered[item.path] for name, item in files.items() if item.secret}
    holders: dict[str, Object] = {}
    if open_files:
        holders |= dict.fromkeys(open_files, objects.config_map(f"{service.name}-files", own, open_files))
    if closed:
        holders |= dict.fromkeys(closed, objects.secret(f"{service.name}-config", own, closed))
    return Configuration(service, holders)
