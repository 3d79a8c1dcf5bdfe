"""What answers hold, for the description alone: they are written by ``documents``, and a test with drawn
requests compares the two. Here is what several kinds of them share.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


def left_out(says: str = "") -> Any:
    """Make a field that answers may be without."""
    return Field(default=None, description=says or None, json_schema_extra=_without_default)


UnixMs = Annotated[int, Field(ge=0, description="Unix ms")]
Seconds = Annotated[float, Field(ge=0, description="s")]
Count = Annotated[int, Field(ge=0)]
Status = Annotated[int, Field(ge=100, le=999, description="An HTTP status")]
Cursor = Annotated[str | None, Field(description="Of the next page; null on the last")]


class ErrorField(BaseModel):
    """What to correct: the dotted path of a field, and what is wrong with it."""

    field: str
    message: str


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: Annotated[
        str, Field(description="Its kind, for programs, and where the service tells what to do about it")
    ]
    title: str
    status: Status
    detail: str
    error: Annotated[str, Field(description="The detail in one line, for people")]
    retry_at: UnixMs = left_out("When the same request may pass")
    errors: list[ErrorField] = left_out()


class Said(BaseModel):
    """What was done, in words."""

    status: Literal["ok"]
    message: str
