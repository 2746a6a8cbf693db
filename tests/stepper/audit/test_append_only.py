"""The database itself refuses to change the audit log; old months go by the retention alone, which logs itself."""

import datetime as dt
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from stepper.audit import retention
from stepper.models import AuditEntry, AuditRetention, ServiceSettings
from tests.factories import StaffFactory

pytestmark = pytest.mark.django_db

DAY = dt.timedelta(days=1)


def stored(age: dt.timedelta = dt.timedelta(), **fields: Any) -> AuditEntry:
    return AuditEntry.objects.create(at=timezone.now() - age, action="change", model="trips.trip", **fields)


def run(statement: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


STATEMENTS = [
    "UPDATE stepper_auditentry SET actor_id = NULL",
    "UPDATE stepper_auditentry SET at = '2001-01-01 00:00:00+00'",
    "DELETE FROM stepper_auditentry",
    "DELETE FROM stepper_auditentry WHERE id > 0",
]
OF_ONE = {
    "postgresql": [
        "TRUNCATE stepper_auditentry",
        "TRUNCATE stepper_auditentry CASCADE",
        "SET LOCAL session_replication_role = replica; DELETE FROM stepper_auditentry",
        "INSERT INTO stepper_auditentry TABLE stepper_auditentry ON CONFLICT (id) DO UPDATE SET actor_id = NULL",
    ],
    "sqlite": [
        "REPLACE INTO stepper_auditentry SELECT * FROM stepper_auditentry",
        "INSERT OR REPLACE INTO stepper_auditentry SELECT * FROM stepper_auditentry",
        "UPDATE OR REPLACE stepper_auditentry SET action = ''",
    ],
}


@pytest.mark.parametrize("statement", STATEMENTS)
def test_row_resists(statement: str) -> None:
    row = stored(actor=StaffFactory.create())
    with pytest.raises(DatabaseError, match="the audit log is only added to"):
        run(statement)
    row.refresh_from_db()
    assert row.actor_id is not None


def test_row_resists_what_one_database_alone_knows() -> None:
    row = stored(actor=StaffFactory.create())
    for statement in OF_ONE[connection.vendor]:
        with pytest.raises(DatabaseError, match="the audit log is only added to"):
            run(statement)
    row.refresh_from_db()
    assert row.actor_id is not None


def test_row_with_a_key_that_is_there_replaces_nothing() -> None:
    row = stored(merge_key="1:2:3:")
    AuditEntry.objects.bulk_create([AuditEntry(action="look", merge_key="1:2:3:")], ignore_conflicts=True)
    if connection.vendor == "sqlite":
        run(
            "REPLACE INTO stepper_auditentry (at, action, address, via, model, object_id, fields, merge_key) "
            "VALUES ('2026-01-01 00:00:00', 'look', '', '', '', '', '{}', '1:2:3:')"
        )
    assert list(AuditEntry.objects.values_list("pk", "action")) == [(row.pk, "change")]


def test_old_row_resists_too() -> None:
    stored(4000 * DAY)
    with pytest.raises(DatabaseError, match="only added to"):
        run("DELETE FROM stepper_auditentry")


def test_young_row_resists_whatever_the_retention_is_told() -> None:
    row = stored(retention.LEAST_KEPT - DAY)
    AuditRetention.objects.create(before=timezone.now() + DAY)
    with pytest.raises(DatabaseError, match="only added to"):
        run("DELETE FROM stepper_auditentry")
    assert AuditEntry.objects.filter(pk=row.pk).exists()


def test_model_refuses_as_well() -> None:
    row = stored()
    with pytest.raises(TypeError):
        row.save()
    with pytest.raises(TypeError):
        row.delete()


def keep(months: int, changed: dt.timedelta = 2 * DAY) -> None:
    ServiceSettings.objects.update_or_create(pk=1, defaults={"audit_kept_months": months})
    ServiceSettings.objects.update(updated_at=timezone.now() - changed)


def test_retention_drops_whole_months_and_logs_itself() -> None:
    keep(6)
    first = retention.oldest_kept(timezone.now().astimezone(dt.UTC), 6)
    old = [AuditEntry.objects.create(at=first - age, action="look") for age in (DAY, dt.timedelta(microseconds=1))]
    young = [AuditEntry.objects.create(at=at, action="look") for at in (first, timezone.now())]
    call_command("prune_audit", verbosity=0)
    assert set(AuditEntry.objects.exclude(action="prune").values_list("pk", flat=True)) == {one.pk for one in young}
    (said,) = AuditEntry.objects.filter(action="prune")
    assert (said.actor, said.via, said.fields["rows"]) == (None, "prune_audit", [2, None])
    assert said.fields["at"] == [one.at.isoformat() for one in old]
    assert not AuditRetention.objects.exists()


def test_retention_deletes_in_batches(monkeypatch: Any) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    keep(6)
    for _number in range(5):
        stored(400 * DAY)
    assert retention.drop_old_months() == 5
    assert sorted(AuditEntry.objects.values_list("fields__rows", flat=True)) == [[1, None], [2, None], [2, None]]
    assert retention.drop_old_months() == 0


def test_retention_that_fails_half_way_keeps_the_rest_and_goes_on_next_time(monkeypatch: Any) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    keep(6)
    for _number in range(5):
        stored(400 * DAY)
    written, real = [], retention.entry

    def fail_in_the_second_batch(*args: Any, **fields: Any) -> Any:
        written.append(args)
        if len(written) == 2:
            raise DatabaseError("the disk is full")
        return real(*args, **fields)

    monkeypatch.setattr(retention, "entry", fail_in_the_second_batch)
    with pytest.raises(DatabaseError, match="disk"):
        retention.drop_old_months()
    # The batch that failed is as it was; the one before is gone, and said so.
    assert AuditEntry.objects.filter(action="change").count() == 3
    assert AuditEntry.objects.filter(action="prune").count() == 1
    assert not AuditRetention.objects.exists()
    with pytest.raises(DatabaseError, match="only added to"):
        run("DELETE FROM stepper_auditentry")
    assert retention.drop_old_months() == 3
    assert not AuditEntry.objects.exclude(action="prune").exists()


def test_nothing_goes_within_a_day_after_the_settings_were_changed() -> None:
    keep(6, changed=dt.timedelta(hours=23))
    stored(4000 * DAY)
    assert retention.drop_old_months() == 0


def utc(day: tuple[int, int, int]) -> dt.datetime:
    return dt.datetime(day[0], day[1], day[2], tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("now", "months", "first"),
    [((2026, 11, 28), 6, (2026, 5, 1)), ((2026, 1, 1), 6, (2025, 7, 1)), ((2026, 12, 31), 36, (2023, 12, 1))],
)
def test_month_from_which_rows_are_kept(now: Any, months: int, first: Any) -> None:
    assert retention.oldest_kept(utc(now), months) == dt.datetime(first[0], first[1], first[2], tzinfo=dt.UTC)
