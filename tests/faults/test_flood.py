"""One account floods a costly verb while others book, accept and drive: they do not notice, and the flood costs little.

What it costs is counted: how many calls get through, and the rows they leave behind. How long the others wait is
printed by `make bench-abuse`.
"""

import asyncio
from collections.abc import Iterator

import pytest
from django.db.models import Q

from drivers.models import AvailabilityChange, Break
from realtime import groups
from realtime.models import Event, Notification
from stepper.models import ServiceSettings
from tests.realtime.test_protocol_doc import ERROR_ROWS
from trips.models import Booking, DispatchRound, Offer, Rating, Trip, TripTransition
from trips.states import TripStatus

from .conftest import Stage
from .floods import DONE, LIMIT, VERBS, Flooder, Verb, flood, limit_every_verb, make_flooder
from .people import Person, cast, online, run, somewhere

# What the dispatcher and a first look at the account's trips write without any flood.
ANYWAY = 12


@pytest.fixture
def limited(stage: Stage) -> Iterator[Stage]:
    limit_every_verb(LIMIT)
    yield stage
    ServiceSettings.objects.all().delete()


@pytest.mark.parametrize("verb", VERBS, ids=str)
async def test_flood_is_refused_and_nobody_else_notices(limited: Stage, verb: Verb) -> None:
    servers = limited.servers
    flooder = await run(make_flooder)([server.url for server in servers], somewhere(), verb.as_driver)
    driver, passenger, booking = await run(cast)(servers[0], servers[-1])
    before = await run(rows_of)(flooder)
    async with flooder.online(), online(driver, passenger):
        outcomes, _ = await asyncio.gather(
            flood(verb, flooder, range(verb.attempts)), _ride(driver, passenger, booking)
        )
    written = await run(rows_of)(flooder) - before

    refused = sum(outcomes[code] for code in verb.refusals)
    through = outcomes.total() - refused
    unknown = {name for name in outcomes if not name.isdecimal()} - {DONE, *ERROR_ROWS}
    assert not unknown
    if verb.most is not None:
        assert through <= verb.most, outcomes
    assert written <= ANYWAY + verb.rows * (verb.attempts if verb.most is None else verb.most), outcomes
    # What a socket is sent beyond answers: a state or two for each command that got through.
    told = flooder.frames.total() - flooder.frames["error"]
    assert told <= ANYWAY + 8 * through, flooder.frames


async def _ride(driver: Person, passenger: Person, booking: dict[str, object]) -> None:
    """Somebody else's evening: booked, offered, accepted, on the way; each step is seen by the other."""
    response = await passenger.call("POST", "trips", booking)
    assert response.status_code == 201, response.text
    trip_id = response.json()["id"]
    card = await driver.until("trip.offer.created", trip_id=trip_id)
    await driver.send(type="trip.offer.accept", offer_id=card["offer_id"], ref="mine")
    await driver.until("ack", ref="mine")
    await passenger.until("trip.offer.accepted", trip_id=trip_id)
    step = await driver.call("PUT", f"drivers/trips/{trip_id}/status", {"status": TripStatus.EN_ROUTE})
    assert step.status_code == 200, step.text
    await passenger.until("trip.status.updated", trip_id=trip_id, new=TripStatus.EN_ROUTE)
    await driver.send(type="driver.location.update", points=[{"lat": 43.25, "lng": 76.9}])
    seen = await passenger.call("GET", f"trips/{trip_id}")
    assert seen.json()["status"] == TripStatus.EN_ROUTE


def rows_of(flooder: Flooder) -> int:
    """How much the account and its trips have written so far."""
    mine = Q(organiser=flooder.user) | Q(driver__user=flooder.user)
    trips = list(Trip.objects.filter(mine).values_list("pk", flat=True))
    names = [groups.user(flooder.user.pk), *map(groups.trip, trips)]
    if flooder.driver is not None:
        names.append(groups.driver(flooder.driver.pk))
    counted = [
        Event.objects.filter(group__in=names),
        Notification.objects.filter(user=flooder.user),
        AvailabilityChange.objects.filter(driver__user=flooder.user),
        Break.objects.filter(driver__user=flooder.user),
        *(kind.objects.filter(trip__in=trips) for kind in (Booking, DispatchRound, Offer, Rating, TripTransition)),
    ]
    return len(trips) + sum(rows.count() for rows in counted)
