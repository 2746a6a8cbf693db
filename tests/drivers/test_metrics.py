"""The driver metrics' model was renamed: its table, its rows and who may see them stayed."""

from io import StringIO

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.db import connection
from django.test import Client

from drivers.models import DriverMetrics
from tests.backoffice import list_url
from tests.factories import DriverFactory, StaffFactory

# SQLite alters a schema outside of a transaction only.
pytestmark = pytest.mark.django_db(transaction=True)

BEFORE = "0010_drivers_of_trails"


def migrate(*target: str) -> None:
    call_command("migrate", *target, verbosity=0)


def held_permissions(group: Group) -> list[tuple[str, str, str]]:
    rows = group.permissions.order_by("codename")
    return list(rows.values_list("content_type__model", "codename", "name"))


def test_renaming_runs_no_statement_on_the_table() -> None:
    out = StringIO()
    call_command("sqlmigrate", "drivers", "0011", stdout=out, no_color=True)
    statements = [line for line in out.getvalue().splitlines() if line and not line.startswith("--")]
    assert [line for line in statements if line not in ("BEGIN;", "COMMIT;")] == []


def test_renaming_keeps_the_index() -> None:
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, DriverMetrics._meta.db_table)
    assert "standing_due" in constraints


def test_staff_keep_their_permissions_and_the_rows_there_and_back() -> None:
    """One test, as each way through the migrations takes seconds."""
    row = DriverMetrics.objects.create(driver=DriverFactory.create(), acceptance=0.5)
    before, after = Group.objects.create(name="Had it before"), Group.objects.create(name="Had it afterwards")
    clerk = StaffFactory.create(is_superuser=False)
    clerk.groups.add(before)
    after.permissions.add(Permission.objects.get(codename="view_drivermetrics"))

    migrate("drivers", BEFORE)
    try:
        back = held_permissions(after)
        before.permissions.add(Permission.objects.get(codename="view_driverstanding"))
        held = held_permissions(before)
    finally:
        # Those of other apps that need a later one of drivers went back as well.
        migrate()

    assert back == held == [("driverstanding", "view_driverstanding", "Can view standing")]
    renamed = [("drivermetrics", "view_drivermetrics", "Can view driver metrics")]
    assert held_permissions(before) == held_permissions(after) == renamed
    assert not Permission.objects.filter(codename__endswith="driverstanding").exists()
    assert Permission.objects.filter(codename__endswith="drivermetrics").count() == 4
    client = Client()
    client.force_login(clerk)
    assert str(row.driver) in client.get(list_url(DriverMetrics)).content.decode()
