"""The page of the Python client: its docstrings, which mkdocstrings reads in where this page names them."""

import ezthrottle
from bench.site.markdown import page

_INTRO = """\
Everything that `import ezthrottle` gives, from its docstrings. [The client](../../sdk/README.md) tells how
the parts go together, and [its examples](../../sdk/examples/README.md) are a program for each."""
_FRAMEWORKS = ("fastapi.VerifiedWebhook", "flask.verified_webhook", "django.verified_webhook")
_SHAPES = """\
::: ezthrottle.types
    options:
      show_if_no_docstring: true"""


def client() -> str:
    """Write the page."""
    names = [name for name in ezthrottle.__all__ if not name.startswith("_")]
    failures = [name for name in names if _is_failure(getattr(ezthrottle, name))]
    others = [name for name in names if name not in failures]
    return page(
        "# The Python client",
        _INTRO,
        *("## What it does", *map(_read_in, others)),
        *("## What it raises", *map(_read_in, failures)),
        *("## In a web framework", *map(_read_in, _FRAMEWORKS)),
        *("## The shapes of what goes in and comes out", _SHAPES),
    )


def _is_failure(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Exception)


def _read_in(name: str) -> str:
    return f"::: ezthrottle.{name}"
