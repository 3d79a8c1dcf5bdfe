"""What mkdocstrings can't see in the client's source: methods, and that examples in docstrings are Python."""

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)
_OPERATION = re.compile(r"_(?P<made>blocking|awaited)\(Operations\.(?P<name>\w+)\)")
_OPERATIONS = "_operations.operations.Operations"
_CLIENTS = ("client.EZThrottle", "client.AsyncEZThrottle")


def with_examples(docstring: str) -> str:
    """Put each example between fences: Markdown would take its prompts for quotations."""
    return _EXAMPLE.sub(r"```pycon\n\g<0>\n```", docstring)


class Reading(griffe.Extension):
    """Changes what griffe has read of the client's package."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Give the clients their methods, which `client.py` makes of operations when it is loaded."""
        operations = pkg[_OPERATIONS].all_members
        for client in (pkg[name] for name in _CLIENTS):
            for name, member in list(client.members.items()):
                made = _OPERATION.fullmatch(str(getattr(member, "value", "")))
                if made:
                    client.set_member(name, _method(member, operations[made["name"]], made["made"]))

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = with_examples(obj.docstring.value)


def _method(member: griffe.Object, operation: Any, made: str) -> griffe.Function:
    told = operation.docstring
    docstring = griffe.Docstring(with_examples(told.value), parser=told.parser)
    method = griffe.Function(
        member.name,
        parameters=operation.parameters,
        returns=operation.returns,
        docstring=docstring,
        lineno=member.lineno,
        endlineno=member.endlineno,
    )
    docstring.parent = method
    if made == "awaited":
        method.labels.add("async")
    return method
