"""Operations of migrations that leave a running service alone."""

from typing import Any

from django.contrib.postgres import operations
from django.contrib.postgres.operations import NotInTransactionMixin
from django.db.migrations.operations import AddConstraint, AddIndex

from stepper.db.postgresql.schema import DatabaseSchemaEditor


class AddIndexConcurrently(operations.AddIndexConcurrently):
    """Create an index while others write to the table; for migrations with `atomic = False`.

    On PostgreSQL a try that was interrupted leaves an index that nothing uses: it is dropped first. SQLite knows no
    such thing, and no server runs while its database is migrated.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if not isinstance(schema_editor, DatabaseSchemaEditor):
            AddIndex.database_forwards(self, app_label, schema_editor, from_state, to_state)
            return
        self._ensure_not_in_transaction(schema_editor)
        model = to_state.apps.get_model(app_label, self.model_name)
        # It waits for every transaction that is older; nobody waits for it.
        with schema_editor.unlimited_lock_wait():
            schema_editor.remove_index(model, self.index, concurrently=True)
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if not isinstance(schema_editor, DatabaseSchemaEditor):
            AddIndex.database_backwards(self, app_label, schema_editor, from_state, to_state)
            return
        with schema_editor.unlimited_lock_wait():
            super().database_backwards(app_label, schema_editor, from_state, to_state)


class AddUniqueIndexConcurrently(NotInTransactionMixin, AddConstraint):
    """Create a `UniqueConstraint` that has a condition while others write to the table; for `atomic = False`.

    Such a constraint is an index, so what AddIndexConcurrently says holds for it.
    """

    atomic = False

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if not isinstance(schema_editor, DatabaseSchemaEditor):
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        self._ensure_not_in_transaction(schema_editor)
        create = str(self.constraint.create_sql(to_state.apps.get_model(app_label, self.model_name), schema_editor))
        with schema_editor.unlimited_lock_wait():
            name = schema_editor.quote_name(self.constraint.name)
            schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            schema_editor.execute(create.replace("CREATE UNIQUE INDEX", "CREATE UNIQUE INDEX CONCURRENTLY", 1))
