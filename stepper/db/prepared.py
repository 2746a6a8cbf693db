"""Queries whose SQL is made once: what each page asks, the ORM takes longer to put into SQL than a database to answer.

The first call makes the SQL with numbers in the place of the ids, each later one puts the ids there.
"""

import functools
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import QuerySet

Row = TypeVar("Row")

# Stand for the first id, the second one …; no row has such an id, and no query asks for such a number.
_FIRST = -1_700_000_001
# The largest id on both databases.
_LARGEST = 2**63 - 1


class _Made(NamedTuple):
    queryset: QuerySet[Any]
    compiler: Any
    sql: str
    # Which of the ids goes there, or None and what always does.
    params: tuple[tuple[int | None, Any], ...]
    # What makes Python's values of the database's: the same for each connection.
    converters: dict[int, Any]


class PreparedQuery(Generic[Row]):
    """Rows of a queryset that differs in ids only: `PreparedQuery(lambda pk: Trip.objects.filter(pk=pk))`.

    Called with the ids it returns the list of the rows, read by the default database now. The queryset must compare
    the ids as they are (no arithmetic, no text), and nothing else in it may change: no present time of this process, no
    language, no settings.
    """

    def __init__(self, make: Callable[..., QuerySet[Any, Row]]) -> None:
        self._make = make

    def __call__(self, *ids: int | None) -> list[Row]:
        """Return the rows; none for an id that no row can have, such as None, that of a row which is not stored.

        Raises:
            TypeError: an id is not among the parameters of the SQL as it was given
        """
        if not all(one is not None and 0 <= one <= _LARGEST for one in ids):
            return []
        made = self._made(len(ids))
        params = tuple(param if place is None else ids[place] for place, param in made.params)
        query = _twin(made.queryset.query)
        query.get_compiler = functools.partial(_compiler, made, params)
        return list(_twin(made.queryset, _query=query))

    def first(self, *ids: int | None) -> Row | None:
        """Return the first row, of a queryset that has one at most."""
        return next(iter(self(*ids)), None)

    @functools.cache  # noqa: B019 - they live as long as the process
    def _made(self, number: int) -> _Made:
        queryset = self._make(*(_FIRST - place for place in range(number)))
        compiler = queryset.query.get_compiler(DEFAULT_DB_ALIAS)
        sql, params = compiler.as_sql()
        places = [_FIRST - one if type(one) is int and _FIRST - number < one <= _FIRST else None for one in params]
        if not set(range(number)) <= set(places):
            raise TypeError(f"{self._make} compares an id in another form")
        columns = [column for column, *_more in compiler.select[: compiler.col_count]]
        return _Made(queryset, compiler, sql, tuple(zip(places, params, strict=True)), compiler.get_converters(columns))


def _twin(one: Any, **changed: Any) -> Any:
    """Return a copy that shares what it is made of. Copying a queryset in the usual way reads its rows."""
    twin = object.__new__(type(one))
    twin.__dict__.update(one.__dict__, **changed)
    return twin


def _compiler(made: _Made, params: tuple[Any, ...], using: str, **_more: Any) -> Any:
    """Return what reads the rows, over the connection of this thread."""
    return _twin(
        made.compiler,
        connection=connections[using],
        as_sql=lambda *_args, **_options: (made.sql, params),
        get_converters=lambda _columns: made.converters,
    )
