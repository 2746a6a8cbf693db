"""Django's compilers, whose writes can be observed (stepper.db.changes)."""

from django.db.models.sql.compiler import SQLAggregateCompiler, SQLCompiler
from django.db.models.sql.compiler import SQLDeleteCompiler as Delete
from django.db.models.sql.compiler import SQLInsertCompiler as Insert
from django.db.models.sql.compiler import SQLUpdateCompiler as Update

from stepper.db.changes import ObservedDelete, ObservedInsert, ObservedUpdate

# Django looks them up by these names.
__all__ = ["SQLAggregateCompiler", "SQLCompiler", "SQLDeleteCompiler", "SQLInsertCompiler", "SQLUpdateCompiler"]


class SQLInsertCompiler(ObservedInsert, Insert):  # type: ignore[misc]
    pass


class SQLDeleteCompiler(ObservedDelete, Delete):  # type: ignore[misc]
    pass


class SQLUpdateCompiler(ObservedUpdate, Update):  # type: ignore[misc]
    pass
