"""What `make lint` says of migrations that servers of the last release would suffer from."""

from typing import Any

import pytest
from django.contrib.postgres.operations import RemoveIndexConcurrently
from django.db import models
from django.db.migrations import Migration, operations
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState

from stepper.db.operations import AddIndexConcurrently
from tests.upgrade import compatibility
from tests.upgrade.compatibility import Problem, Steps

# No database or Redis plays a part.
pytestmark = pytest.mark.embedded_only

WHERE = "trips.0002_next"
POSITIVE = models.CheckConstraint(condition=models.Q(seats__gt=0), name="seats_positive")
ID = ("id", models.BigAutoField(primary_key=True))
BY_SEATS = models.Index(fields=["seats"], name="by_seats")


def released() -> ProjectState:
    state = ProjectState()
    fields: list[tuple[str, Any]] = [
        ("id", models.BigAutoField(primary_key=True)),
        ("seats", models.IntegerField()),
        ("code", models.CharField(max_length=10, unique=True)),
        ("note", models.CharField(max_length=10, null=True)),
        ("kind", models.CharField(max_length=10, db_default="a")),
    ]
    state.add_model(ModelState("trips", "Trip", fields, {"indexes": [models.Index(fields=["note"], name="by_note")]}))
    state.add_model(ModelState("trips", "Rating", [("id", models.BigAutoField(primary_key=True))]))
    return state


def judge(*steps: Operation, reasons: dict[str, str] | None = None) -> list[Problem]:
    members: dict[str, Any] = {"operations": list(steps)}
    if reasons is not None:
        members["upgrade_reasons"] = reasons
    return Steps(released()).find_problems([type("Next", (Migration,), members)("0002_next", "trips")])


def rewrite(_apps: Any, _editor: Any) -> None: ...


@pytest.mark.parametrize(
    ("step", "key", "text"),
    [
        (operations.AddField("trip", "bags", models.IntegerField(default=0)), "trip.bags", "NEEDS_DB_DEFAULT"),
        (
            operations.AddField("trip", "bags", models.IntegerField(db_default=0, unique=True)),
            "trip.bags",
            "CONSTRAINT",
        ),
        (operations.AddField("trip", "bags", models.IntegerField(null=True, db_index=True)), "trip.bags", "INDEX"),
        (
            operations.AddField(
                "trip", "next", models.ForeignKey("trips.Trip", models.CASCADE, null=True, db_constraint=False)
            ),
            "trip.next",
            "INDEX",
        ),
        (
            operations.AddField("trip", "next", models.ForeignKey("self", models.CASCADE, null=True, db_index=False)),
            "trip.next",
            "FOREIGN_KEY",
        ),
        (operations.AddField("trip", "friends", models.ManyToManyField("trips.Trip")), "trip.friends", "FOREIGN_KEY"),
        (
            operations.CreateModel("Stop", [ID, ("trip", models.ForeignKey("trips.Trip", models.CASCADE))]),
            "stop.trip",
            "FOREIGN_KEY",
        ),
        (operations.RemoveField("trip", "seats"), "trip.seats", "GONE"),
        (operations.RenameField("trip", "note", "words"), "trip.note", "GONE"),
        (operations.DeleteModel("Trip"), "trip", "GONE"),
        (operations.RenameModel("Trip", "Ride"), "trip", "GONE"),
        (operations.AlterModelTable("trip", "rides"), "trip", "GONE"),
        (operations.AlterField("trip", "seats", models.IntegerField(db_column="places")), "trip.seats", "GONE"),
        (operations.AddConstraint("trip", POSITIVE), "trip.seats_positive", "CONSTRAINT"),
        (operations.AlterUniqueTogether("trip", {("seats", "note")}), "trip.unique_together", "CONSTRAINT"),
        (operations.AlterField("trip", "seats", models.IntegerField(unique=True)), "trip.seats", "CONSTRAINT"),
        (operations.AlterField("trip", "seats", models.PositiveIntegerField()), "trip.seats", "CONSTRAINT"),
        (operations.AlterField("trip", "note", models.CharField(max_length=10)), "trip.note", "CONSTRAINT"),
        (operations.AlterField("trip", "note", models.CharField(max_length=9, null=True)), "trip.note", "COLUMN_TYPE"),
        (operations.AlterField("trip", "seats", models.BigIntegerField()), "trip.seats", "COLUMN_TYPE"),
        (operations.AlterField("trip", "seats", models.IntegerField(db_index=True)), "trip.seats", "INDEX"),
        (operations.AlterField("trip", "code", models.CharField(max_length=10)), "trip.code", "RELIED_ON"),
        (operations.AlterField("trip", "kind", models.CharField(max_length=10)), "trip.kind", "NEEDS_DB_DEFAULT"),
        (operations.AddIndex("trip", BY_SEATS), "trip.by_seats", "INDEX"),
        (operations.RemoveIndex("trip", "by_note"), "trip.by_note", "RELIED_ON"),
        (RemoveIndexConcurrently("trip", "by_note"), "trip.by_note", "RELIED_ON"),
        (
            operations.SeparateDatabaseAndState(state_operations=[operations.RemoveField("trip", "seats")]),
            "trip.seats",
            "LEFT_BEHIND",
        ),
        (operations.RunPython(rewrite), "rewrite", "BY_HAND"),
        (operations.RunSQL("UPDATE trips_trip SET seats = 1"), "RunSQL", "BY_HAND"),
        (operations.AlterOrderWithRespectTo("trip", "seats"), "trip.AlterOrderWithRespectTo", "BY_HAND"),
    ],
)
def test_migration_that_hurts_the_last_release_is_found(step: Operation, key: str, text: str) -> None:
    assert judge(step) == [Problem(WHERE, key, getattr(compatibility, text))]
    assert judge(step, reasons={key: "staff alone write it"}) == []


@pytest.mark.parametrize(
    "step",
    [
        operations.AddField("trip", "bags", models.IntegerField(db_default=0)),
        operations.AddField("trip", "bags", models.IntegerField(null=True)),
        operations.AddField("trip", "friends", models.ManyToManyField("trips.Trip", db_constraint=False)),
        operations.CreateModel(
            "Stop",
            [
                ID,
                ("trip", models.ForeignKey("trips.Trip", models.CASCADE, db_constraint=False)),
                ("next", models.OneToOneField("trips.Stop", models.CASCADE)),
            ],
        ),
        operations.AlterField("trip", "note", models.CharField(max_length=20, null=True, verbose_name="note")),
        operations.AlterField("trip", "note", models.TextField(null=True)),
        operations.AlterModelOptions("trip", {"verbose_name": "ride"}),
        operations.CreateModel("Stop", [("id", models.BigAutoField(primary_key=True)), ("name", models.TextField())]),
        AddIndexConcurrently("trip", BY_SEATS),
        operations.SeparateDatabaseAndState(state_operations=[operations.RemoveField("trip", "note")]),
    ],
)
def test_migration_that_the_last_release_does_not_notice_passes(step: Operation) -> None:
    assert judge(step) == []


def test_table_that_the_last_release_does_not_have_is_free() -> None:
    made = operations.CreateModel("Stop", [("id", models.BigAutoField(primary_key=True))])
    named = operations.AddField("stop", "name", models.TextField(default=""))
    assert judge(made, named, operations.AddConstraint("stop", POSITIVE), operations.DeleteModel("Stop")) == []


def test_foreign_key_that_a_new_table_gets_afterwards_is_found() -> None:
    made = operations.CreateModel("Stop", [ID, ("trip", models.BigIntegerField())])
    free = models.ForeignKey("trips.Trip", models.CASCADE, db_constraint=False)
    added, altered = operations.AddField("stop", "of", free), operations.AlterField("stop", "of", free)
    assert judge(made, added, altered) == []
    checked = operations.AlterField("stop", "of", models.ForeignKey("trips.Trip", models.CASCADE))
    problem = Problem(WHERE, "stop.of", compatibility.FOREIGN_KEY)
    assert judge(made, added, checked) == [problem]
    assert judge(made, operations.AddField("stop", "of", checked.field), checked) == [problem]


def test_default_that_is_taken_away_again_is_found() -> None:
    given = operations.AddField("trip", "bags", models.IntegerField(db_default=0))
    taken = operations.AlterField("trip", "bags", models.IntegerField(default=0))
    assert judge(given, taken) == [Problem("trips", "trip.bags", compatibility.NEEDS_DB_DEFAULT)]


def test_column_dropped_behind_the_models_back_is_found() -> None:
    separate = operations.SeparateDatabaseAndState(database_operations=[operations.RemoveField("trip", "seats")])
    assert judge(separate) == [Problem(WHERE, "trip.seats", compatibility.GONE)]


def test_empty_reason_is_none() -> None:
    assert len(judge(operations.RunPython(rewrite), reasons={"rewrite": ""})) == 1


def test_reason_for_nothing_is_found() -> None:
    assert judge(reasons={"trip.seats": "was there once"}) == [Problem(WHERE, "trip.seats", compatibility.STALE)]


def test_two_tables_that_are_locked_together_are_asked_about() -> None:
    steps = [operations.AddField(name, "tip", models.IntegerField(null=True)) for name in ("trip", "rating")]
    assert [(one.key, one.text) for one in judge(*steps)] == [
        ("tables", compatibility.TABLES.format(tables="rating and trip"))
    ]
    assert judge(*steps, reasons={"tables": "nobody reads both"}) == []
    assert judge(steps[0]) == []
