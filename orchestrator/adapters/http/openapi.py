"""Request bodies and queries in /openapi.json, which FastAPI is told of here: handlers read them by hand."""

from typing import Any

from pydantic import BaseModel


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """Describe a handler's request body by a model, for ``openapi_extra``."""
    schema = model.model_json_schema(by_alias=False)
    definitions = schema.pop("$defs", {})
    content = {"application/json": {"schema": _inlined(schema, definitions)}}
    return {"requestBody": {"required": True, "content": content}}


def query_of(**parameters: dict[str, Any]) -> dict[str, Any]:
    """Describe a handler's query by the JSON schema of each parameter, for ``openapi_extra``."""
    return {
        "parameters": [
            {"name": name, "in": "query", "required": False, "schema": schema}
            for name, schema in parameters.items()
        ]
    }


def path_of(name: str) -> dict[str, Any]:
    """Describe what stands in a handler's path, for ``openapi_extra``."""
    return {"parameters": [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}}]}


def job_call(**query: dict[str, Any]) -> dict[str, Any]:
    """Describe a call about one job, for ``openapi_extra``: its id in the path, and the query."""
    return {"parameters": [*path_of("job_id")["parameters"], *query_of(**query)["parameters"]]}


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_inlined(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inlined(definitions[node["$ref"].rsplit("/", 1)[1]], definitions)
    return {key: _inlined(value, definitions) for key, value in node.items()}
