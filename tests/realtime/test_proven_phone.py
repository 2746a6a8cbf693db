"""Whoever proves a number first ends the sockets that were opened before."""

import pytest
from channels.db import database_sync_to_async

from stepper.accounts import phone_proofs
from tests.factories import PassengerFactory
from tests.realtime.conftest import Connect

pytestmark = pytest.mark.django_db(transaction=True)

PHONE = "+77471234567"


async def test_sockets_from_before_are_closed(connect: Connect) -> None:
    user = await database_sync_to_async(PassengerFactory)(phone=PHONE, phone_verified_at=None)
    client = await connect(user)
    assert await database_sync_to_async(phone_proofs.prove)(user.pk, PHONE)
    assert await client.closed_with() == 4401
