"""Each role × each address of a socket, by opening it: the lines SOCKET of the table of roles."""

import asyncio
import re

import pytest
from channels.db import database_sync_to_async

from realtime.routing import websocket_urlpatterns
from stepper import roles
from stepper.models import User
from tests.factories import ALMATY, DriverFactory, PassengerFactory, TripFactory
from tests.realtime.conftest import Client, Connect
from tests.role_matrix import STAFF, WHO, Operation, Table, compare, give_role
from trips import shares
from trips.states import TripStatus

pytestmark = pytest.mark.embedded_only

# Closed so for who somebody is: not signed in, not permitted.
REFUSED = {4401, 4403}


def _cast() -> tuple[dict[str, User | None], dict[str, str]]:
    """Return somebody of each role, and what stands for the parameters of an address."""
    roles.make_groups()
    driver = DriverFactory.create(at=ALMATY)
    users: dict[str, User | None] = {"stranger": None, "passenger": PassengerFactory.create(), "driver": driver.user}
    for key in STAFF:
        users[key] = give_role(PassengerFactory.create(), key)
    trip = TripFactory.create(organiser=users["passenger"], driver=driver, status=TripStatus.ACCEPTED)
    share = shares.create_share(trip.pk, trip.organiser)
    names = {"trip_id": str(trip.pk), "driver_id": str(driver.pk), "language": "en", "token": share.token}
    names |= {"kind": "week", "period": "2030-01-07"}
    return users, names


async def _is_let_in(client: Client) -> bool:
    """Say whether a socket is greeted, or closed for who opened it."""
    while True:
        message = await client.communicator.receive_output(timeout=5)
        if message["type"] == "websocket.close":
            assert message["code"] in REFUSED
            return False
        if "connection.established" in message.get("text", ""):
            return True


@pytest.mark.django_db(transaction=True)
async def test_each_socket_is_for_those_of_the_table(connect: Connect) -> None:
    users, names = await database_sync_to_async(_cast)()
    found: Table = {}
    for pattern in websocket_urlpatterns:
        route = str(pattern.pattern)
        path = "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda one: names[one[1]], route)
        clients = [await connect(users[who], path, greeted=False) for who in WHO]
        answers = await asyncio.gather(*(_is_let_in(client) for client in clients))
        found[Operation("SOCKET", route)] = frozenset(who for who, answer in zip(WHO, answers, strict=True) if answer)
    compare(found, "sockets")
