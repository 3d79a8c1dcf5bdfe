"""The schemas that /openapi.json names, each once, and what refers to them."""

from functools import cache
from typing import Any

from pydantic import BaseModel

_PLACE = "#/components/schemas/"


def reference(model: type[BaseModel]) -> dict[str, Any]:
    """Refer to a model."""
    return {"$ref": f"{_PLACE}{model.__name__}"}


def resolved(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """Give the schema that is meant, where this one refers to another."""
    name = schema.get("$ref", "").removeprefix(_PLACE)
    found: dict[str, Any] = document["components"]["schemas"][name] if name else schema
    return found


class Components:
    """Collects models, with those that they are made of, under their names: two of one name can't be told
    apart.
    """

    def __init__(self) -> None:
        self.schemas: dict[str, Any] = {}

    def add(self, model: type[BaseModel]) -> None:
        """Add a model.

        Raises:
            ValueError: Another one has its name.
        """
        for name, part in _schemas_of(model).items():
            if self.schemas.setdefault(name, part) != part:
                msg = f"two schemas are called {name}"
                raise ValueError(msg)


@cache
def _schemas_of(model: type[BaseModel]) -> dict[str, Any]:
    """Make the schemas of a model and of its parts, by name: once, for that takes a millisecond."""
    schema = model.model_json_schema(by_alias=_answers(model), ref_template=f"{_PLACE}{{model}}")
    parts = schema.pop("$defs", {})
    return {**parts, model.__name__: schema}


def _answers(model: type[BaseModel]) -> bool:
    """Whether a model is of an answer: what is read is described by its names, for its aliases are twins."""
    return ".answers." in model.__module__
