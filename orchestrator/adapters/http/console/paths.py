"""Where the console is, and where in it one may be led."""

import re

ROOT = "/console"
SIGN_IN = f"{ROOT}/sign-in"
_WITHIN = re.compile(rf"{ROOT}(?:/[\w./:%\[\]-]*)?(?:\?[\w.,/:%&=+~\[\]-]*)?\Z", re.ASCII)


def led_to(asked: str) -> str:
    """Give the page that was asked for before one signed in; the first one where that is no page of these."""
    return asked if _WITHIN.match(asked) else ROOT
