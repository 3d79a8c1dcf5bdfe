"""JSON as RFC 8259 means it, and not a value more: what two readers could read differently is refused."""

import json
import math
from collections import Counter
from typing import Any, NoReturn

from orchestrator.domain.errors import MalformedJson

INT_LEAST, INT_MOST = -(2**63), 2**64 - 1
"""What msgpack, and so the store, can hold."""
DIGITS_MOST = 21
CHAIN_FIELDS = ("fallback_job", "fallbackJob", "on_success", "onSuccess", "on_failure", "onFailure")


def parse_object(data: bytes, depth_most: int) -> dict[str, Any]:
    """Parse one JSON object.

    Raises:
        MalformedJson: It is none; or holds NaN, Infinity, a number out of range, a lone surrogate,
            a key twice, text after its end, or more levels than ``depth_most``.
    """
    try:
        text = data.decode()
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
        # A lone surrogate survives json.loads as an escape; encoding finds it at C speed.
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        msg = f"the body is not UTF-8: {error.reason} at byte {error.start}"
        raise MalformedJson(msg) from None
    except UnicodeEncodeError:
        msg = "a string holds a lone surrogate"
        raise MalformedJson(msg) from None
    except json.JSONDecodeError as error:
        msg = f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise MalformedJson(msg) from None
    except RecursionError:
        msg = f"the body is nested deeper than {depth_most} levels"
        raise MalformedJson(msg) from None
    if not isinstance(value, dict):
        msg = "the body must be a JSON object"
        raise MalformedJson(msg)
    check_depth(value, depth_most)
    return value


def check_depth(value: object, depth_most: int) -> None:
    """Walk a parsed value level by level. A job nested in a job (a fallback, a child) begins anew: how
    deep chains may be is another bound.

    Raises:
        MalformedJson: It has more than ``depth_most`` levels.

    """
    jobs = [value]
    while jobs:
        job = jobs.pop()
        level = [job]
        if isinstance(job, dict):
            jobs += [job[name] for name in CHAIN_FIELDS if isinstance(job.get(name), dict)]
            level = [{name: child for name, child in job.items() if name not in CHAIN_FIELDS}]
        _check_levels(level, depth_most)


def _check_levels(level: list[object], depth_most: int) -> None:
    for _ in range(depth_most):
        level = [child for node in level for child in _children(node)]
        if not level:
            return
    msg = f"the body is nested deeper than {depth_most} levels"
    raise MalformedJson(msg)


def _children(node: object) -> list[object]:
    values: list[object] = []
    if isinstance(node, dict):
        values = list(node.values())
    elif isinstance(node, list):
        values = node
    return [value for value in values if isinstance(value, dict | list)]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        msg = f"the key {twice[:100]!r} stands twice"
        raise MalformedJson(msg)
    return found


def _refuse_constant(name: str) -> NoReturn:
    msg = f"{name} is not JSON"
    raise MalformedJson(msg)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        msg = f"the number {text[:40]} is out of range"
        raise MalformedJson(msg)
    return value


def _whole(text: str) -> int:
    if len(text) > DIGITS_MOST or not INT_LEAST <= (value := int(text)) <= INT_MOST:
        msg = f"the number {text[:40]} is out of range"
        raise MalformedJson(msg)
    return value
