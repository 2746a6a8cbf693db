"""Where every write of the ORM can be observed: `save`, `update`, `delete`, bulk and many-to-many writes alike.

Django has all of them executed by the compilers of the database's backend, so ours (compiler.py beside each backend)
ask here before and after. Statements that are written by hand are not seen. Without an observer, or for a model that
it does not watch, nothing is asked of the database.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from django.db import transaction
from django.db.models import Field, Model, QuerySet
from django.db.models.sql import Query

Row = dict[str, Any]


class Observer(Protocol):
    """What is told of writes. All of it happens in the transaction of the write, and fails it by raising."""

    def watches(self, model: type[Model], using: str) -> bool:
        """Say whether writes to a model are told now."""

    def awaits_rows(self, model: type[Model]) -> bool:
        """Say whether new rows of a watched model are of interest."""

    def inserted(self, model: type[Model], objs: Sequence[Any], keys: Sequence[Any]) -> None:
        """Take note of new rows. A key is None where the database did not say which."""

    def reads(self, model: type[Model], written: Iterable[str] | None) -> list[str]:
        """Return what to read of rows before and after columns are written; empty: nothing of interest is.

        `written`: names of fields; None: the rows are deleted.
        """

    def updated(self, rows: QuerySet[Any, Row], before: list[Row], number: int) -> None:
        """Take note of changed rows; `number`: how many there were, `before`: the first of them, as they were.

        `rows`: all rows of the table, with the columns of `before`, as they are now.
        """

    def deleted(self, model: type[Model], before: list[Row], number: int) -> None:
        """Take note of deleted rows."""


_observer: Observer | None = None
# Rows of one statement whose values are read; of the others it is known how many there are.
ROWS_READ = 100


def connect(observer: Observer) -> None:
    """Tell an observer of all writes from now on, in all threads."""
    global _observer
    _observer = observer


def _watching(compiler: Any) -> Observer | None:
    found = _observer
    return found if found is not None and found.watches(compiler.query.model, compiler.using) else None


def _rows(compiler: Any, names: list[str]) -> QuerySet[Any, Row]:
    """Return the rows that a statement is about to write, before it is compiled, which changes its conditions."""
    query = compiler.query.clone()
    query.__class__ = Query
    query.clear_ordering(force=True)
    query.clear_select_clause()
    rows: QuerySet[Any, Any] = QuerySet(model=compiler.query.model, query=query, using=compiler.using)
    return rows.values(*names)


class ObservedInsert:
    """Mixin of a compiler: INSERT."""

    query: Any
    using: str

    def execute_sql(self, returning_fields: Sequence[Field[Any, Any]] | None = None) -> Any:
        observer = _watching(self)
        if observer is None or not observer.awaits_rows(self.query.model):
            return super().execute_sql(returning_fields)  # type: ignore[misc]
        with transaction.atomic(using=self.using, savepoint=False):
            rows = super().execute_sql(returning_fields)  # type: ignore[misc]
            columns = [field.attname for field in returning_fields or ()]
            key = self.query.model._meta.pk.attname
            place = columns.index(key) if key in columns else None
            keys = [row[place] for row in rows] if rows and place is not None else []
            objs = self.query.objs
            observer.inserted(self.query.model, objs, keys or [obj.pk for obj in objs])
        return rows


class ObservedUpdate:
    """Mixin of a compiler: UPDATE."""

    query: Any
    using: str

    def execute_sql(self, result_type: Any) -> Any:
        observer = _watching(self)
        model = self.query.model
        names = observer.reads(model, [field.name for field, _model, _value in self.query.values]) if observer else []
        if observer is None or not names:
            return super().execute_sql(result_type)  # type: ignore[misc]
        with transaction.atomic(using=self.using, savepoint=False):
            before = list(_rows(self, names)[:ROWS_READ])
            number = super().execute_sql(result_type)  # type: ignore[misc]
            if before:
                rows = model._base_manager.using(self.using).values(*names)
                # Where Django asks for no count, as for what a deletion sets to null, it is 0.
                observer.updated(rows, before, max(number, len(before)))
        return number


class ObservedDelete:
    """Mixin of a compiler: DELETE."""

    query: Any
    using: str

    def execute_sql(self, result_type: Any, **options: Any) -> Any:
        observer = _watching(self)
        names = observer.reads(self.query.model, None) if observer else []
        if observer is None or not names:
            return super().execute_sql(result_type, **options)  # type: ignore[misc]
        with transaction.atomic(using=self.using, savepoint=False):
            rows = _rows(self, names)
            before = list(rows[:ROWS_READ])
            number = len(before) if len(before) < ROWS_READ else rows.count()
            done = super().execute_sql(result_type, **options)  # type: ignore[misc]
            if number:
                observer.deleted(self.query.model, before, number)
        return done
