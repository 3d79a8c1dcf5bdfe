"""A job's request as a command that people can run."""

import shlex
from collections.abc import Mapping
from typing import Any

from orchestrator.domain.requests.masking import MASK


def curl_of(request: Mapping[str, Any]) -> str:
    """Write a request's document for a shell; what is masked stays so, and has to be filled in."""
    words = ["curl", "-i", "-X", request["method"], request["url"]]
    for name, value in request["headers"].items():
        words += ["-H", f"{name}: {value}"]
    body = request.get("body")
    if body is not None and "body_encoding" not in request:
        words += ["--data-binary", body]
    command = " ".join(shlex.quote(word) for word in words)
    if body is not None and "body_encoding" in request:
        command = f"printf %s {shlex.quote(body)} | base64 -d | {command} --data-binary @-"
    return f"# fill in what is {MASK}\n{command}" if MASK in command else command
