"""Search in the lists of the administration, the same in all of them.

Every part of what was typed must be in one of the list's columns: words without case (stepper.db.letters), plates in
either alphabet (drivers.plates), phone numbers in any spelling, `#41` as the number 41. Columns are written as
`search_fields` are. A complete phone number is compared with the columns of phones alone and in full, which an index
answers; every other part is looked for inside the columns, which reads the rows of the list.
"""

import operator
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from typing import Any, NamedTuple

from django.contrib.admin.utils import lookup_spawns_duplicates
from django.db.models import Field, IntegerField, Model, Q, QuerySet
from django.utils.text import smart_split, unescape_string_literal

from stepper.phones import normal_phone, normal_phone_prefix

# A number of more digits is too large for a key.
KEY_DIGITS = 18
# Fewer digits, `10-5`, are rather a house than the part of a phone number.
_PHONE_DIGITS = 5
_NUMBER_DIGITS = 10
# Digits with what people write between those of a phone number; not the end of a word, as of a plate.
_PHONE = re.compile(r"(?<![\w+])\+?\(?\d(?:[\s().\-–]*\d)+(?!\w)")
_LOOKUPS = {"^": "istartswith", "=": "iexact"}


def person(path: str = "") -> list[str]:
    """Return the columns by which a list finds an account; `path`: of the list's rows to it."""
    start = f"{path}__" if path else ""
    return [f"{start}name", f"{start}phone", f"{start}email"]


def driver(path: str = "driver") -> list[str]:
    """Return the columns by which a list finds a driver; `path`: of the list's rows to them."""
    return [f"={path}__id", *person(f"{path}__user"), f"{path}__vehicle__plate"]


class _Part(NamedTuple):
    """One part of a search: its words, and the digits where it could be a phone number; empty: it could not."""

    words: list[str]
    digits: str
    # The number in E.164 if it is a complete one.
    phone: str | None


class _Column(NamedTuple):
    path: str
    lookup: str
    field: Field[Any, Any]

    @property
    def is_phone(self) -> bool:
        return self.field.name.endswith("phone")


def search(rows: QuerySet[Any], columns: Sequence[str], term: str) -> tuple[QuerySet[Any], bool]:
    """Return the rows in which every part of `term` is found, and whether a row may be among them twice."""
    condition = condition_of(rows.model, columns, term)
    if condition is None:
        return rows, False
    opts = rows.model._meta
    return rows.filter(condition), any(lookup_spawns_duplicates(opts, column.lstrip("^=")) for column in columns)


def condition_of(model: type[Model], columns: Sequence[str], term: str) -> Q | None:
    """Return the condition that finds `term` in the columns of a model; None: nothing was typed, or nothing to search.

    A NUL, which no text of the database has, is found nowhere.
    """
    if "\x00" in term:
        return Q(pk__in=[])
    known = [_column(model, column) for column in columns]
    parts = list(_split(term))
    if not known or not parts:
        return None
    return reduce(operator.and_, (_part_condition(known, part) for part in parts))


def _column(model: type[Model], written: str) -> _Column:
    path = written.lstrip("^=")
    field: Any = None
    for name in path.split("__"):
        field = model._meta.get_field(name)
        model = field.related_model or model
    return _Column(path, _LOOKUPS.get(written[0], "icontains"), field)


def _split(term: str) -> Iterator[_Part]:
    """Yield the parts of a search: phone numbers with all that is between their digits, other words one by one."""
    start = 0
    for found in _PHONE.finditer(term):
        digits = re.sub(r"\D", "", found[0])
        if len(digits) >= _PHONE_DIGITS:
            yield from (_Part([word], "", None) for word in _words(term[start : found.start()]))
            # Also where the plus was left out of a number of another country.
            phone = normal_phone(found[0]) or normal_phone(f"+{digits}")
            yield _Part(_words(found[0]), digits, phone)
            start = found.end()
    yield from (_Part([word], word if word.isdecimal() else "", None) for word in _words(term[start:]))


def _words(text: str) -> list[str]:
    """Split a text at its spaces, but not within quotes."""
    words = []
    for word in smart_split(text):
        if word[0] in "\"'" and word[0] == word[-1] and len(word) > 1:
            word = unescape_string_literal(word)
        if word:
            words.append(word)
    return words


def _part_condition(columns: Sequence[_Column], part: _Part) -> Q:
    phones = [column.path for column in columns if column.is_phone]
    if part.phone is not None and phones:
        return _any(Q(**{path: part.phone}) for path in phones)
    words = reduce(
        operator.and_, (_any(_word_condition(column, word) for column in columns) for word in part.words), Q()
    )
    if not part.digits or not phones:
        return words
    return words | _any(Q(**{f"{path}__contains": digits}) for path in phones for digits in _stored_digits(part.digits))


def _stored_digits(digits: str) -> list[str]:
    """Return what a stored phone number may contain of the digits that were typed: `8701` is `+7701` as well."""
    if len(digits) >= _NUMBER_DIGITS:
        return sorted({digits, normal_phone_prefix(digits) or digits})
    return [digits, f"+7{digits[1:]}"] if digits[0] == "8" and len(digits) > 1 else [digits]


def _word_condition(column: _Column, word: str) -> Q:
    if isinstance(column.field, IntegerField):
        number = word.lstrip("#№")
        is_key = number.isascii() and number.isdecimal() and len(number) <= KEY_DIGITS
        return Q(**{column.path: int(number)}) if is_key else Q(pk__in=[])
    return Q(**{f"{column.path}__{column.lookup}": word})


def _any(conditions: Iterable[Q]) -> Q:
    return reduce(operator.or_, conditions)
