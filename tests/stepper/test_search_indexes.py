"""The indexes by which people are found by a part of their name, e-mail or phone, on PostgreSQL."""

import logging

import psycopg
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from stepper.admin import searching
from stepper.models import User
from stepper.search_indexes import INDEXES, LOCK, create_search_indexes
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
    with CaptureQueriesContext(connection) as done:
        create_search_indexes(using="default")
    assert ["pg_index" in one["sql"] for one in done.captured_queries] == [True]


def valid():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexrelid::regclass::text FROM pg_index WHERE indisvalid AND indrelid = 'stepper_user'::regclass"
        )
        return {name for (name,) in cursor.fetchall()} & INDEXES.keys()


@pytest.mark.django_db(transaction=True)
def test_what_is_missing_or_was_interrupted_is_made():
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX stepper_user_name_parts")
        cursor.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'stepper_user_email_parts'::regclass")
    assert valid() == {"stepper_user_phone_parts"}
    create_search_indexes(using="default")
    assert valid() == INDEXES.keys()


@pytest.mark.django_db(transaction=True)
def test_extension_may_be_in_a_schema_that_is_not_searched():
    with connection.cursor() as cursor:
        cursor.execute("DROP EXTENSION pg_trgm CASCADE; CREATE SCHEMA apart; CREATE EXTENSION pg_trgm SCHEMA apart")
    try:
        create_search_indexes(using="default")
        assert valid() == INDEXES.keys()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP EXTENSION pg_trgm CASCADE; DROP SCHEMA apart")
        create_search_indexes(using="default")


@pytest.mark.django_db(transaction=True)
def test_what_another_process_makes_is_left_to_it():
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX stepper_user_name_parts")
    try:
        with psycopg.connect(**connection.get_connection_params()) as other:
            other.execute(f"SELECT pg_advisory_lock({LOCK})")
            create_search_indexes(using="default")
            assert "stepper_user_name_parts" not in valid()
            # Closing releases it as well, but a moment later.
            other.execute(f"SELECT pg_advisory_unlock({LOCK})")
    finally:
        create_search_indexes(using="default")
    assert valid() == INDEXES.keys()


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
