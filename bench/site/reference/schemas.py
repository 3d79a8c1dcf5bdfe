"""JSON schemas as they are read by people."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bench.site.markdown import code, table

_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} of them",
    "maxItems": "at most {} of them",
}
_SAFE_INT_MOST = 2**53
"""What JSON carries exactly (RFC 8259, 6): a bound that says nothing of the field."""


def fields(head: str, schemas: Mapping[str, Any], *, required: Iterable[str]) -> str:
    """Write the table of some fields; nothing where there are none."""
    needed = set(required)
    rows = [
        [code(name), shape_of(schema), _need(schema, needed=name in needed), _says(schema)]
        for name, schema in schemas.items()
    ]
    return table([head, "is", "", ""], rows) if rows else ""


def shape_of(schema: Mapping[str, Any]) -> str:
    """Say what a value may be, with links to the shapes that have names."""
    match schema:
        case {"$ref": str(place)}:
            name = place.rpartition("/")[2]
            return f"[{name}](#shape-{name})"
        case {"anyOf": list(options)}:
            return " or ".join(dict.fromkeys(map(shape_of, options)))
        case {"enum": list(values)}:
            return ", ".join(map(code, values))
        case {"const": value}:
            return code(value)
        case _:
            return _kind(schema)


def _kind(schema: Mapping[str, Any]) -> str:
    match schema:
        case {"type": "array", "items": items}:
            return f"list of {shape_of(items)}"
        case {"type": "object", "additionalProperties": dict(values)}:
            return f"object of {shape_of(values)}"
        case _:
            return str(schema.get("type", "anything"))


def _need(schema: Mapping[str, Any], *, needed: bool) -> str:
    if needed:
        return "required"
    default = schema.get("default")
    return "" if default in (None, "", [], {}) else f"default {code(default)}"


def _says(schema: Mapping[str, Any]) -> str:
    told = schema.get("description", "").replace("``", "`").rstrip(".")
    return " ".join(f"{part}." for part in (told, "; ".join(_bounds(schema)).capitalize()) if part)


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    for part in (schema, *schema.get("anyOf", ())):
        for name, wording in _BOUNDS.items():
            if name in part and part[name] != _SAFE_INT_MOST:
                yield wording.format(part[name])
