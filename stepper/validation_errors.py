"""The parser of what msgspec says is wrong with a value: where, and whether it is missing or out of range.

msgspec gives no more than a text ("Expected `float` <= 90.0 - at `$.points[0].lat`"); it is parsed here and nowhere
else. Commands of sockets and bodies of requests both answer from it.
"""

import re
from typing import NamedTuple

import msgspec

_AT = re.compile(r" - at (?:`key` in )?`\$\.?(?P<path>.*)`$", re.DOTALL)
_MISSING = re.compile(r"missing required field `(?P<name>[^`]+)`")
_BOUND = re.compile(r"^Expected `(?:int|float)` (?P<sign>[<>]=?) (?P<limit>-?[\d.]+)$")
# What the structs of the event contract say of a member themselves (realtime.events.commands).
_UNUSABLE = re.compile(r"^Unusable `(?P<name>[^`]+)`$")
_INDEX = re.compile(r"\[(\d+)\]")
# How msgspec writes a member of an object whose name it does not say.
_SOME_MEMBER = "[...]"


class Bound(NamedTuple):
    """The range that a number is out of: it has to be `sign` (`>=`, `<=`, `>` or `<`) `limit`."""

    sign: str
    limit: str


class FieldProblem(NamedTuple):
    """What is wrong with the first field that is wrong."""

    # `points[0].lat`; empty: the value as a whole.
    field: str
    is_missing: bool
    # None: the field is missing, or something else than its size is wrong.
    bound: Bound | None

    @property
    def dotted(self) -> str:
        """The field as REST names it: `points.0.lat`."""
        return _INDEX.sub(r".\1", self.field.replace(_SOME_MEMBER, "")).lstrip(".")


def read_problem(error: msgspec.ValidationError) -> FieldProblem:
    """Parse the text of a validation error."""
    text = str(error)
    at = _AT.search(text)
    path = at["path"] if at else ""
    words = text[: at.start()] if at else text
    if missing := _MISSING.search(words):
        return FieldProblem(f"{path}.{missing['name']}" if path else missing["name"], True, None)
    if unusable := _UNUSABLE.search(words):
        return FieldProblem(f"{path}.{unusable['name']}" if path else unusable["name"], False, None)
    bound = _BOUND.search(words)
    return FieldProblem(path, False, Bound(bound["sign"], bound["limit"].removesuffix(".0")) if bound else None)
