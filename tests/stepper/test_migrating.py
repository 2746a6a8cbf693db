"""Migrations beside a running service: how long they wait for locks, and indexes built while others write."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, models
from django.db.migrations.state import ModelState, ProjectState

from stepper.db import locks
from stepper.db.operations import AddIndexConcurrently
from stepper.db.postgresql.schema import DatabaseSchemaEditor

TABLE = "stepper_test_migrating"


@pytest.fixture
def table(transactional_db: None) -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {TABLE}")
        cursor.execute(f"CREATE TABLE {TABLE} (id integer PRIMARY KEY, kind integer)")
    yield TABLE
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {TABLE}")


@pytest.fixture
def reader(table: str) -> Iterator[psycopg.Connection]:
    """Somebody in the midst of a transaction that has read the table."""
    with psycopg.connect(_address()) as reading:
        reading.execute(f"SELECT * FROM {table}")
        yield reading


def _address() -> str:
    of = connection.settings_dict
    return f"host={of['HOST']} port={of['PORT']} user={of['USER']} dbname={of['NAME']}"


def alter() -> None:
    with connection.schema_editor() as editor:
        # A test of a migration that waits for ever must end.
        editor.execute("SET LOCAL statement_timeout = 5000")
        editor.execute(f"ALTER TABLE {TABLE} ADD COLUMN more integer")


def lock_timeout() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        return cursor.fetchone()[0]


@pytest.mark.scaled_only
def test_migration_gives_up_waiting_for_a_lock(reader: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DatabaseSchemaEditor, "lock_timeout_ms", 20)
    with pytest.raises(OperationalError, match="lock timeout"):
        alter()


@pytest.mark.scaled_only
def test_migration_is_tried_again_until_the_lock_is_free(
    reader: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DatabaseSchemaEditor, "lock_timeout_ms", 20)
    said = []

    def end_transaction(text: str) -> None:
        said.append(text)
        reader.commit()

    locks.run_with_retries(alter, end_transaction, pause_s=0)
    assert len(said) == 1
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT more FROM {TABLE}")


@pytest.mark.scaled_only
def test_other_failures_are_not_tried_again(transactional_db: None) -> None:
    said: list[str] = []

    def take_too_long() -> None:
        with connection.schema_editor() as editor:
            editor.execute("SET LOCAL statement_timeout = 1")
            editor.execute("SELECT pg_sleep(1)")

    with pytest.raises(OperationalError, match="statement timeout"):
        locks.run_with_retries(take_too_long, said.append, pause_s=0)
    assert said == []


@pytest.mark.scaled_only
@pytest.mark.parametrize("atomic", [True, False])
def test_timeout_of_a_migration_ends_with_it(table: str, atomic: bool) -> None:
    with connection.schema_editor(atomic=atomic):
        assert lock_timeout() == "2s"
    assert lock_timeout() == "0"


def states() -> tuple[AddIndexConcurrently, ProjectState, ProjectState]:
    before = ProjectState()
    fields: list[tuple[str, Any]] = [
        ("id", models.IntegerField(primary_key=True)),
        ("kind", models.IntegerField(null=True)),
    ]
    before.add_model(ModelState("stepper", "Thing", fields, {"db_table": TABLE, "indexes": []}))
    operation = AddIndexConcurrently("thing", models.Index(fields=["kind"], name="thing_of_kind"))
    after = before.clone()
    operation.state_forwards("stepper", after)
    return operation, before, after


def indexes() -> dict[str, list[str]]:
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, TABLE)
    return {name: one["columns"] for name, one in found.items() if one["index"] and not one["primary_key"]}


def test_index_is_added_and_removed_on_either_database(table: str) -> None:
    operation, before, after = states()
    with connection.schema_editor(atomic=False) as editor:
        operation.database_forwards("stepper", editor, before, after)
    assert indexes() == {"thing_of_kind": ["kind"]}
    with connection.schema_editor(atomic=False) as editor:
        operation.database_backwards("stepper", editor, after, before)
    assert indexes() == {}


@pytest.mark.scaled_only
def test_index_that_an_interrupted_try_left_is_built_anew(table: str) -> None:
    operation, before, after = states()
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE INDEX thing_of_kind ON {TABLE} (id)")
    with connection.schema_editor(atomic=False) as editor:
        operation.database_forwards("stepper", editor, before, after)
    assert indexes() == {"thing_of_kind": ["kind"]}


@pytest.mark.scaled_only
def test_index_waits_for_older_transactions_longer_than_other_operations(
    table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation, before, after = states()
    waited = []
    monkeypatch.setattr(
        "django.contrib.postgres.operations.AddIndexConcurrently.database_forwards",
        lambda *_arguments: waited.append(lock_timeout()),
    )
    with connection.schema_editor(atomic=False) as editor:
        operation.database_forwards("stepper", editor, before, after)
        assert (waited, lock_timeout()) == (["0"], "2s")
