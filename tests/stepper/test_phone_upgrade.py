"""The upgrade that brings codes by SMS: the numbers that accounts have by then are unverified, whatever they were."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from stepper.accounts import phone_proofs
from stepper.models import ServiceSettings, User
from tests.factories import PASSWORD, PassengerFactory
from tests.phones import PHONE
from tests.rest import BOOKING, as_user

pytestmark = pytest.mark.django_db(transaction=True)

# The last one before it.
BEFORE = [("stepper", "0023_booking_form")]
OTHER = "+77015550001"


def test_numbers_of_before_the_upgrade_are_unverified_and_their_first_proof_removes_what_was_before() -> None:
    # One of the two was marked by an earlier release, which sent no codes.
    marked, unmarked = PassengerFactory(phone=PHONE), PassengerFactory(phone=OTHER)
    latest = MigrationExecutor(connection).loader.graph.leaf_nodes()
    try:
        MigrationExecutor(connection).migrate(BEFORE)
        with connection.cursor() as cursor:
            cursor.execute("UPDATE stepper_user SET phone_verified = (id = %s)", [marked.pk])
    finally:
        MigrationExecutor(connection).migrate(latest)

    users = [User.objects.get(pk=user.pk) for user in (marked, unmarked)]
    assert [(str(user.phone), user.has_verified_phone, user.check_password(PASSWORD)) for user in users] == [
        (PHONE, False, True),
        (OTHER, False, True),
    ]
    ServiceSettings.objects.create(pk=1, phones_verified_to_book=True)
    for user in users:
        assert as_user(user).post("/api/trips", BOOKING, format="json").json()["code"] == "phone.unverified"
    assert phone_proofs.prove(marked.pk, PHONE)
    proved = User.objects.get(pk=marked.pk)
    assert (proved.has_verified_phone, proved.email, proved.has_usable_password()) == (True, None, False)
