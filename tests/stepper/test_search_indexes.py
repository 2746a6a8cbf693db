"""The indexes by which people are found by a part of their name, e-mail or phone, on PostgreSQL."""

import logging

import pytest
from django.db import connection, transaction

from stepper.admin import searching
from stepper.models import User
from stepper.search_indexes import create_search_indexes
from tests import plans

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="of PostgreSQL"),
]


@pytest.mark.parametrize("term", ["Алёна", "алена кузнецова", "kim@", "701 123", "41 kim", "№41"])
def test_people_are_found_by_an_index(term):
    rows = searching.search(User.objects.all(), ["=id", *searching.person()], term).rows
    lines = plans.plan(*rows.query.sql_with_params(), is_large=True, bitmaps=True)
    assert not plans.full_scans(lines), "\n".join(lines)
    assert "_parts" in " ".join(lines) or term == "№41"


def test_nothing_is_done_where_they_are():
    done = plans.statements(lambda: create_search_indexes(using="default"))
    assert len(done) == 0


def test_without_the_extension_migrating_goes_on_and_says_so(caplog):
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("DROP EXTENSION pg_trgm CASCADE")
            cursor.execute("CREATE ROLE stepper_reads_only")
            cursor.execute("GRANT pg_read_all_data TO stepper_reads_only")
            cursor.execute("SET LOCAL ROLE stepper_reads_only")
        with caplog.at_level(logging.WARNING):
            create_search_indexes(using="default")
        transaction.set_rollback(True)
    assert "pg_trgm" in caplog.text
