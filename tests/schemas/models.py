# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What `models.yaml` says: where the models of each schema are, and what need not fit. Knows no service itself."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, RootModel

from buildkit.models import SeriesName, Shape, Text
from stackway.documents import load_document, parse_model

PATH = Path(__file__).parent / "models.yaml"


class Group(Shape):
    """Schemas with the same models: the modules that have them, and patterns of the tables that none has."""

    schemas: Annotated[tuple[Text, ...], Field(min_length=1)]
    modules: Annotated[tuple[Text, ...], Field(min_length=1)]
    others: tuple[Text, ...] = ()


class Models(Shape):
    """A service's models; what is never as they say; and what old code meets after expand: series → problem → why."""

    models: tuple[Group, ...]
    known: dict[Text, Text] = Field({})
    allow: dict[SeriesName, dict[Text, Text]] = Field({})

    @property
    def schemas(self) -> dict[str, Group]:
        """The schemas with their models."""
        return {name: group for group in self.models for name in group.schemas}


class _File(RootModel[dict[str, Models]]):
    """All services."""


def load_models(path: Path = PATH) -> dict[str, Models]:
    """Return the models of each service. Raises WrongInputError that names file and line."""
    return parse_model(_File, load_document(path, path.name), f"{path.name} cannot be used").root
