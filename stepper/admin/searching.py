"""Search in lists of staff, the same in all of them, as quick with a million rows as with ten.

Every part of what was typed must be in one of the list's columns: words without case (stepper.db.letters), plates in
either alphabet (drivers.plates), phone numbers in any spelling, `#41` as the number 41. A complete phone number is
compared with the columns of phones alone and in full, which an index answers.

Columns are written as `search_fields` are: `=id` in full, `^name` from its beginning, `trip__id` is the foreign key
itself. Columns of another table, `driver__user__name`, are looked for there, and then the rows that point at what was
found by the foreign key's index, the newest ones. `@note` (`newest`) is looked for in the newest rows of the list
alone: a text in a table of millions that no index answers. Drivers and vehicles are read in full, and accounts where
there are no indexes of their parts (stepper.search_indexes).
"""

import operator
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from itertools import islice
from typing import Any, Final, NamedTuple

from django.contrib.admin.utils import lookup_spawns_duplicates
from django.db.models import Field, IntegerField, Model, Q, QuerySet
from django.utils.text import format_lazy, smart_split, unescape_string_literal
from django.utils.translation import gettext_lazy as _

from stepper.phones import normal_phone, normal_phone_prefix

# A search reads the rows of so many people, and shows so many of these rows.
PEOPLE_READ: Final = 200
ROWS_SHOWN: Final = 500
# So many rows, the newest, are read for a text that has no index: about 50 ms of PostgreSQL.
NEWEST: Final = 10_000
# Said with a list.
CUT = _("More was found than is shown: these are of the newest. Type more to find others.")
NEWEST_HELP = format_lazy(
    _("Number of the trip; name, phone or e-mail; texts are looked for in the newest {count} rows only"),
    count=f"{NEWEST:,}",
)
# What is typed after so many words and numbers is not looked for: each costs some queries.
MOST_PARTS: Final = 12
# Of so many rows that have one part of what was typed, the newest, the other parts are read.
CANDIDATES: Final = 2_000
# Of parts that more people have each than are read: these are rows of some of them anyhow.
CANDIDATES_OF_COMMON: Final = 1_000
# Tables that are not large, and whose lists show everything that is found.
_READ_IN_FULL: Final = frozenset({"stepper.User", "drivers.Driver", "drivers.Vehicle"})
# A number of more digits is too large for a key.
KEY_DIGITS = 18
# Fewer digits, `10-5`, are rather a house than the part of a phone number.
_PHONE_DIGITS = 5
_NUMBER_DIGITS = 10
# Digits with what people write between those of a phone number; not the end of a word, as of a plate.
_PHONE = re.compile(r"(?<![\w+])\+?\(?\d(?:[\s().\-–]*\d)+(?!\w)")
_PHONE_LETTERS = frozenset("+0123456789")
_NOTHING = Q(pk__in=[])
_LOOKUPS = {"^": "istartswith", "=": "iexact"}


def person(path: str = "") -> list[str]:
    """Return the columns by which a list finds an account; `path`: of the list's rows to it."""
    start = f"{path}__" if path else ""
    return [f"{start}name", f"{start}phone", f"{start}email"]


def driver(path: str = "driver") -> list[str]:
    """Return the columns by which a list finds a driver; `path`: of the list's rows to them."""
    return [f"={path}__id", *person(f"{path}__user"), f"{path}__vehicle__plate"]


def newest(*columns: str) -> list[str]:
    """Return columns that a list looks for in its newest rows alone, NEWEST of them."""
    return [f"@{column}" for column in columns]


class Found(NamedTuple):
    """What a search finds, each row once. `is_cut`: there are more, and these are the newest."""

    rows: QuerySet[Any]
    is_cut: bool


class _Part(NamedTuple):
    """One part of a search: its words, and the digits where it could be a phone number; empty: it could not."""

    words: tuple[str, ...]
    digits: str
    # The number in E.164 if it is a complete one.
    phone: str | None


class _Column(NamedTuple):
    # As `search_fields` have it, without `@`.
    written: str
    path: str
    lookup: str
    field: Field[Any, Any]
    # The foreign key over which another table is searched; empty: the column is the row's own, or a foreign key.
    key: str
    is_newest: bool

    @property
    def is_phone(self) -> bool:
        return self.field.name.endswith("phone")


# By the model, its columns and the parts that were looked for in them: the keys that were found.
_FoundPeople = dict[tuple[Any, ...], list[int]]


def search(rows: QuerySet[Any], columns: Sequence[str], term: str) -> Found:
    """Return the rows in which every part of `term` is found; without a part, all of them."""
    condition = condition_of(rows.model, columns, term)
    if condition is None:
        return Found(rows, is_cut=False)
    known = [_column(rows.model, column) for column in columns]
    is_large = rows.model._meta.label not in _READ_IN_FULL and any(one.key or one.is_newest for one in known)
    if is_large and "\x00" not in term:
        return _find_in_large_table(rows, known, _split(term))
    if any(lookup_spawns_duplicates(rows.model._meta, one.path) for one in known):
        condition = Q(pk__in=rows.model._base_manager.filter(condition).values("pk"))
    return Found(rows.filter(condition), is_cut=False)


def _find_in_large_table(rows: QuerySet[Any], columns: list[_Column], parts: list[_Part]) -> Found:
    """Return the rows that have every part; numbers beside each other are one phone number, or words one by one."""
    people: _FoundPeople = {}
    searches = [_LargeSearch(rows, columns, parts, people)]
    words = [one for part in parts for one in _words_of(part)]
    if words != parts:
        searches.append(_LargeSearch(rows, columns, words, people))
    keys = {key for one in searches for key in one.find()}
    return Found(rows.filter(pk__in=sorted(keys)), any(one.is_cut for one in searches))


def _words_of(part: _Part) -> list[_Part]:
    """Return the words of a part, each a part of its own; of a complete phone number the part itself."""
    if part.phone is not None or len(part.words) == 1:
        return [part]
    return [one for word in part.words for one in _split(word)]


def _beyond(model: type[Model], key: str, columns: Sequence[_Column]) -> tuple[Any, list[_Column]]:
    """Return the table that a foreign key leads to, and the columns as its rows name them."""
    there: Any = model._meta.get_field(key).related_model
    return there, [_column(there, column.written.replace(f"{key}__", "", 1)) for column in columns]


class _LargeSearch:
    """A search in a table that may have millions of rows.

    1. For each part, find the people, drivers and vehicles that have it, PEOPLE_READ of each.
    2. Read the keys of the rows that point at them. Of several parts, the one that fewest have says which rows are
       read for the others; where it is cut, so do the people who have all parts (a first and a last name).
    3. Read which of the newest rows have the parts in their other columns.
    """

    def __init__(
        self, rows: QuerySet[Any], columns: list[_Column], parts: list[_Part], found_people: _FoundPeople
    ) -> None:
        self.rows, self.columns, self.parts = rows, columns, parts
        self.own = [one for one in columns if not one.key and not one.is_newest]
        self.in_newest = [one for one in columns if one.is_newest]
        self.keys = sorted({one.key for one in columns if one.key and not one.is_newest})
        # Accounts are often searched for two foreign keys, as who rated and who was rated; and in two searches.
        self._found_people = found_people
        self.is_cut = False

    def find(self) -> set[Any]:
        """Return the keys of the rows that are shown."""
        keys = self._find_one_part() if len(self.parts) == 1 else self._find_several_parts()
        if self.in_newest:
            keys |= self._find_in_newest()
        return keys

    def _find_one_part(self) -> set[Any]:
        # One by one: the row of a number is shown also where many people have the number in their phones.
        part = self.parts[0]
        self.is_cut = self._has_more_people(self.parts)
        own = self._read(self.rows.filter(_part_condition(self.own, part, self.columns)))
        return own | self._read(self.rows.filter(self._people_condition(self.parts)))

    def _find_several_parts(self) -> set[Any]:
        weights = {part: self._weight(part) for part in self.parts}
        rarest = min((part for part in self.parts if weights[part]), key=weights.__getitem__, default=None)
        if rarest is None:
            return set()
        begun = self.rows.filter(
            _part_condition(self.own, rarest, self.columns) | self._people_condition([rarest]),
        )
        is_common = self._has_more_people([rarest])
        candidates = self._read(begun, CANDIDATES_OF_COMMON if is_common else CANDIDATES)
        others = (self._in_table(self.rows.model, self.columns, part) for part in self.parts if part != rarest)
        keys = self._read(self.rows.filter(*others, pk__in=candidates))
        self.is_cut |= is_common
        if self.is_cut:
            keys |= self._read(self.rows.filter(self._people_condition(self.parts)))
        return keys

    def _find_in_newest(self) -> set[Any]:
        """Read the newest rows; people alone are not looked for again."""
        last = list(self.rows.order_by("-pk").values_list("pk", flat=True)[NEWEST - 1 : NEWEST])
        rows = self.rows.filter(pk__gte=last[0]) if last else self.rows
        for part in self.parts:
            condition = _part_condition(self.in_newest, part, self.columns)
            if len(self.parts) > 1:
                condition |= _part_condition(self.own, part, self.columns) | self._people_condition([part])
            rows = rows.filter(condition)
        return self._read(rows)

    def _weight(self, part: _Part) -> int:
        """Return how many people have a part, and one more if rows may have it; 0: at most texts of rows have it."""
        in_rows = any(_can_hold(column, word) for column in self.own for word in part.words)
        return in_rows + sum(len(self._people(key, [part])) for key in self.keys)

    def _people_condition(self, parts: Sequence[_Part]) -> Q:
        """Return the condition of the rows that point at people, drivers or vehicles with all these parts."""
        return _any(Q(**{f"{key}__in": self._people(key, parts)[:PEOPLE_READ]}) for key in self.keys)

    def _has_more_people(self, parts: Sequence[_Part]) -> bool:
        return any(len(self._people(key, parts)) > PEOPLE_READ for key in self.keys)

    def _people(self, key: str, parts: Sequence[_Part]) -> list[int]:
        """Return the keys of what has all these parts in the table of a foreign key: PEOPLE_READ, and one if more."""
        columns = [one for one in self.columns if one.key == key and not one.is_newest]
        return self._read_people(*_beyond(self.rows.model, key, columns), tuple(parts))

    def _read_people(self, model: Any, columns: list[_Column], parts: tuple[_Part, ...]) -> list[int]:
        asked = (model, *columns, *parts)
        if asked not in self._found_people:
            conditions = [self._in_table(model, columns, part) for part in parts]
            if len(parts) > 1:
                # Whoever has all parts is among those few who have one of them, as far as these were all read.
                each = [self._read_people(model, columns, (part,)) for part in parts]
                few = min((ids for ids in each if len(ids) <= PEOPLE_READ), key=len, default=None)
                conditions += [] if few is None else [Q(pk__in=few)]
            self._found_people[asked] = _read_newest(model._base_manager.filter(*conditions), PEOPLE_READ)
        return self._found_people[asked]

    def _in_table(self, model: Any, columns: list[_Column], part: _Part) -> Q:
        """Return the condition that a part is in one of a table's columns.

        Of another table (the accounts of drivers) the rows with it are read once for all searches of the part; only
        where these are too many, the tables are joined.
        """
        joined = [one for one in columns if not one.key or one.is_newest]
        condition = _part_condition(joined, part, self.columns)
        for key in sorted({one.key for one in columns if one not in joined}):
            there = [one for one in columns if one.key == key and one not in joined]
            ids = self._read_people(*_beyond(model, key, there), (part,))
            is_cut = len(ids) > PEOPLE_READ
            condition |= _part_condition(there, part, self.columns) if is_cut else Q(**{f"{key}__in": ids})
        return condition

    def _read(self, rows: QuerySet[Any], most: int | None = None) -> set[Any]:
        """Return the keys of the newest rows, ROWS_SHOWN at most; note if there are more."""
        most = ROWS_SHOWN if most is None else most
        keys = _read_newest(rows, most)
        self.is_cut |= len(keys) > most
        return set(keys[:most])


def _read_newest(rows: QuerySet[Any], most: int) -> list[Any]:
    """Return the keys of the newest rows, the newest first: `most` of them, and one if there are more.

    A few are sorted here: asked for in order, PostgreSQL may read a whole table backwards to find them.
    """
    keys = list(rows.order_by().values_list("pk", flat=True)[: CANDIDATES + 1])
    if len(keys) > CANDIDATES:
        keys = list(rows.order_by("-pk").values_list("pk", flat=True)[: most + 1])
    return sorted(set(keys), reverse=True)[: most + 1]


def condition_of(model: type[Model], columns: Sequence[str], term: str) -> Q | None:
    """Return the condition that finds `term` in the columns of a model; None: nothing was typed, or nothing to search.

    A NUL, which no text of the database has, is found nowhere.
    """
    if "\x00" in term:
        return _NOTHING
    known = [_column(model, column) for column in columns]
    parts = _split(term)
    if not known or not parts:
        return None
    return reduce(operator.and_, (_part_condition(known, part) for part in parts))


def _column(model: type[Model], written: str) -> _Column:
    is_newest, written = written[0] == "@", written.removeprefix("@")
    path = written.lstrip("^=")
    names = path.split("__")
    field: Any = None
    for name in names:
        field = model._meta.get_field(name)
        model = field.related_model or model
    is_own = len(names) == 1 or (len(names) == 2 and field.primary_key)
    return _Column(written, path, _LOOKUPS.get(written[0], "icontains"), field, "" if is_own else names[0], is_newest)


def _split(term: str) -> list[_Part]:
    """Return the parts of a search, the first MOST_PARTS of them."""
    return list(islice(_all_parts(term), MOST_PARTS))


def _all_parts(term: str) -> Iterator[_Part]:
    """Yield the parts of a search: phone numbers with all that is between their digits, other words one by one."""
    start = 0
    for found in _PHONE.finditer(term):
        digits = re.sub(r"\D", "", found[0])
        if len(digits) >= _PHONE_DIGITS:
            yield from (_Part((word,), "", None) for word in _words(term[start : found.start()]))
            # Also where the plus was left out of a number of another country.
            phone = normal_phone(found[0]) or normal_phone(f"+{digits}")
            yield _Part(tuple(_words(found[0])), digits, phone)
            start = found.end()
    yield from (_Part((word,), word if word.isdecimal() else "", None) for word in _words(term[start:]))


def _words(text: str) -> list[str]:
    """Split a text at its spaces, but not within quotes."""
    words = []
    for word in smart_split(text):
        if word[0] in "\"'" and word[0] == word[-1] and len(word) > 1:
            word = unescape_string_literal(word)
        if word:
            words.append(word)
    return words


def _part_condition(columns: Sequence[_Column], part: _Part, all_columns: Sequence[_Column] = ()) -> Q:
    """Return the condition that a part is in one of the columns; `all_columns`: those of the search, if there are more.

    A complete phone number is looked for in phones alone if the search has a column of phones.
    """
    phones = [column.path for column in columns if column.is_phone]
    if part.phone is not None and any(column.is_phone for column in all_columns or columns):
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
    if not _can_hold(column, word):
        return _NOTHING
    if isinstance(column.field, IntegerField):
        return Q(**{column.path: int(word.lstrip("#№"))})
    # A phone has no letters to fold: three times as quick.
    lookup = "contains" if column.is_phone and column.lookup == "icontains" else column.lookup
    return Q(**{f"{column.path}__{lookup}": word})


def _can_hold(column: _Column, word: str) -> bool:
    """Return False of a column of numbers or phones and a word that is none."""
    if column.is_phone:
        return _PHONE_LETTERS.issuperset(word)
    number = word.lstrip("#№")
    is_number = number.isascii() and number.isdecimal() and len(number) <= KEY_DIGITS
    return is_number or not isinstance(column.field, IntegerField)


def _any(conditions: Iterable[Q]) -> Q:
    return reduce(operator.or_, conditions, _NOTHING)
