"""Trims a schema of somebody else's to what a test needs of it: every field, and no prose.

    git -C kuberay show v1.7.0:helm-chart/kuberay-operator/crds/ray.io_rayclusters.yaml \
        | python -m tests.support.trimmed_schema KubeRay 1.7.0 > tests/unit/schemas/kuberay-raycluster.json

Of a Kubernetes definition that is the schema of its version ``v1``. What stands in it several times, as a pod
does in each group of a Ray cluster, is written once.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import yaml

PROSE = ("description", "title")
SHARED_FROM = 120
"""Characters: less is not worth a name."""


def trimmed(document: Any) -> Any:
    """Give the schema without prose, its repetitions as ``$defs``."""
    schema = _bare(document)
    counts = Counter(map(_key, _within(schema)))
    shared = [key for key, count in counts.items() if count > 1 and len(key) > SHARED_FROM]
    names = {key: f"part{number}" for number, key in enumerate(shared, 1)}
    parts = {name: _with_references(json.loads(key), names, top=True) for key, name in names.items()}
    return {**_with_references(schema, names, top=True), **({"$defs": parts} if parts else {})}


def v1(definition: dict[str, Any]) -> Any:
    """Take the schema out of a Kubernetes custom resource definition."""
    [version] = [each for each in definition["spec"]["versions"] if each["name"] == "v1"]
    return version["schema"]["openAPIV3Schema"]


def _bare(node: Any) -> Any:
    if isinstance(node, list):
        return [_bare(each) for each in node]
    if not isinstance(node, dict):
        return node
    # A property may bear such a name: then it is no text.
    return {
        name: _bare(each) for name, each in node.items() if name not in PROSE or not isinstance(each, str)
    }


def _within(node: Any) -> Iterator[dict[str, Any]]:
    """Give every schema of an object in a schema; any other is short."""
    if isinstance(node, dict) and "properties" in node and node.get("type") == "object":
        yield node
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _within(each)


def _with_references(node: Any, names: dict[str, str], *, top: bool = False) -> Any:
    if isinstance(node, list):
        return [_with_references(each, names) for each in node]
    if not isinstance(node, dict):
        return node
    if not top and (name := names.get(_key(node))) is not None:
        return {"$ref": f"#/$defs/{name}"}
    return {name: _with_references(each, names) for name, each in node.items()}


def _key(node: Any) -> str:
    return json.dumps(node, sort_keys=True)


def main() -> None:
    """Trim what comes in on standard input: a JSON schema or a definition; say of whom it is, and which."""
    whose, version = sys.argv[1:]
    document = yaml.load(sys.stdin.read(), yaml.CSafeLoader)
    schema = trimmed(v1(document) if document.get("kind") == "CustomResourceDefinition" else document)
    notice = f"From {whose} {version}, Apache License 2.0 (LICENSE and NOTICE beside this file); trimmed"
    whole = {"$comment": notice, **schema}
    sys.stdout.write("{\n" + ",\n".join(_lines(whole)) + "\n}\n")


def _lines(schema: dict[str, Any]) -> list[str]:
    """Write a line for each key, and for each part: who compares two versions sees which one changed."""
    flat = [f'"{name}": {json.dumps(each, separators=(",", ":"))}' for name, each in schema.items()]
    if "$defs" in schema:
        flat[-1] = '"$defs": {\n' + ",\n".join(_lines(schema["$defs"])) + "\n}"
    return flat


if __name__ == "__main__":
    main()
