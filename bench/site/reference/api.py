"""The page of the HTTP API, from what the service answers at /openapi.json."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from bench.site.markdown import code, page, table
from bench.site.reference.quiet_service import described_api
from bench.site.reference.schemas import fields, shape_of
from orchestrator.adapters.http.components import resolved
from orchestrator.adapters.http.openapi import ROLES_FIELD

_TITLE = "# The HTTP API"
_INTRO = """\
Written from what the service says of itself at `/openapi.json`; a running one shows the same at `/docs`.
Calls under `/api/v1` need a key: `Authorization: Bearer ck_live_…`. Errors are
[problem documents](errors.md); the [guide](../guide.md) shows each feature with an example that runs."""
_PROBLEMS_FROM = 400


def api() -> str:
    """Write the page: every call by what it is about, then every shape of JSON that they read or answer."""
    described = described_api()
    groups = _by_tag(described)
    calls = [part for tag in groups for part in (f"## About {tag}", *groups[tag])]
    return page(_TITLE, _INTRO, *calls, "## Shapes", *_shapes(described))


def _by_tag(described: dict[str, Any]) -> dict[str, list[str]]:
    groups = defaultdict(list)
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            text = page(*_call(f"{method.upper()} {path}", operation, described))
            groups[operation["tags"][0]].append(text)
    return groups


def _call(call: str, operation: Mapping[str, Any], described: dict[str, Any]) -> Iterator[str]:
    yield f"### {code(call)} {{ #{operation['operationId']} }}"
    yield operation["description"]
    roles = ", ".join(operation.get(ROLES_FIELD, ()))
    yield f"For keys of the role {roles}." if roles else "Needs no key."
    parameters = operation.get("parameters", ())
    yield _parameters("path", parameters, described)
    yield _parameters("query", parameters, described)
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    if content:
        yield f"Reads {shape_of(content['schema'])}."
    yield _answers(operation["responses"])


def _parameters(place: str, parameters: Any, described: dict[str, Any]) -> str:
    # What a parameter means stands beside its schema in a path, and in it in a query.
    schemas = {
        each["name"]: {"description": each.get("description", ""), **resolved(each["schema"], described)}
        for each in parameters
        if each["in"] == place
    }
    return fields(f"In the {place}", schemas, required=schemas if place == "path" else ())


def _answers(responses: Mapping[str, Any]) -> str:
    """Show what it answers; of problems their statuses alone, for they have a page of their own."""
    rows = [
        [code(status), answer["description"], ", ".join(_contents(answer))]
        for status, answer in responses.items()
        if int(status) < _PROBLEMS_FROM
    ]
    problems = ", ".join(code(status) for status in responses if int(status) >= _PROBLEMS_FROM)
    return page(table(["Answers", "", "with"], rows), f"Or a problem: {problems}.").rstrip()


def _contents(answer: Mapping[str, Any]) -> Iterator[str]:
    for media, content in answer.get("content", {}).items():
        named = "$ref" in content["schema"]
        yield shape_of(content["schema"]) if named else code(media.partition(";")[0])


def _shapes(described: dict[str, Any]) -> Iterator[str]:
    for name, schema in sorted(described["components"]["schemas"].items()):
        yield f"### {name} {{ #shape-{name} }}"
        yield schema.get("description", "")
        yield fields("Field", schema.get("properties", {}), required=schema.get("required", ()))
        if "enum" in schema:
            yield "One of " + ", ".join(map(code, schema["enum"])) + "."
