"""What a backup leaves out: every table that opens something, unless it says here why it is kept."""

import re

import pytest
from django.apps import apps

from stepper.backups.contents import LEFT_OUT

pytestmark = pytest.mark.embedded_only

SECRET = re.compile(r"(^|_)(keys?|tokens?|codes?|secrets?|sessions?)(_|$)")
# Tables with a column of such a name, that holds nothing which opens anything.
KEPT = {
    "account_emailconfirmation": "the library's; nothing writes it, links are in AddressChange",
    "stepper_auditentry": "the key makes looks of a quarter of an hour one row",
    "trips_wish": "what programs call a wish",
    "stepper_servicesettings": "calling codes of countries, and how many wrong codes a day",
    "stepper_user": "what sessions are bound to: a digest, worth nothing without a session",
    "trips_appliedcommand": "keys of steps and answers, for the driver who sent them",
    "trips_tripreason": "codes of reasons",
    "trips_tripmessage": "the key recognises a message that is sent twice",
    "trips_trip": "keys of requests: they find one's own booking again, for who is signed in",
}


def test_table_with_a_column_named_like_a_secret_is_left_out_or_says_why_not() -> None:
    named = {
        model._meta.db_table
        for model in apps.get_models(include_auto_created=True)
        if any(SECRET.search(field.column or "") for field in model._meta.local_concrete_fields)
    }
    assert named - set(LEFT_OUT) == set(KEPT)
