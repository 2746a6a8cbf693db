"""A server process is killed between commit and publish: what it did is neither lost nor done twice."""

import httpx
import pytest

from realtime.models import Event
from trips.models import Booking, Offer, Trip
from trips.states import OfferStatus

from .conftest import Stage
from .people import agree, cast, online, run


async def test_accept_is_told_although_its_server_died_between_commit_and_publish(stage: Stage) -> None:
    there, here = stage.servers[0], stage.servers[-1]
    driver, passenger, booking = await run(cast)(there, here)
    async with online(driver, passenger):
        trip_id = (await passenger.call("POST", "trips", booking)).json()["id"]
        await driver.until("trip.offer.created", trip_id=trip_id)
        await agree(driver, passenger)

        there.end_at_next_commit()
        with pytest.raises(httpx.TransportError):
            await driver.call("POST", f"drivers/trips/accept/{trip_id}")
        assert there.has_died()
        assert await run(_untold)(trip_id)
        if here is not there:
            # The other server's sweep takes over, and nobody has come back yet.
            await passenger.until("trip.offer.accepted", trip_id=trip_id)
        there.start()
        await passenger.until("trip.offer.accepted", trip_id=trip_id)
        await agree(driver, passenger)

        again = await driver.call("POST", f"drivers/trips/accept/{trip_id}")
        assert (again.status_code, again.json()["status"]) == (200, "accepted")
        await agree(driver, passenger)
    told = {frame["id"] for frame in passenger.frames if frame["type"] == "trip.offer.accepted"}
    assert len(told) == 1
    await run(_assert_accepted_once)(trip_id)


async def test_booking_that_nobody_was_answered_is_made_once(stage: Stage) -> None:
    there, here = stage.servers[0], stage.servers[-1]
    driver, passenger, booking = await run(cast)(here, there)
    async with online(driver, passenger):
        there.end_at_next_commit()
        with pytest.raises(httpx.TransportError):
            await passenger.call("POST", "trips", booking, key="once")
        assert there.has_died()
        there.start()
        again = await passenger.call("POST", "trips", booking, key="once")
        assert again.status_code == 200, again.text
        await driver.until("trip.offer.created", trip_id=again.json()["id"])
        await agree(driver, passenger)
    assert await run(Trip.objects.filter(organiser=passenger.user).count)() == 1
    assert await run(Booking.objects.filter(passenger=passenger.user).count)() == 1


def _untold(trip_id: int) -> bool:
    """The trip has its driver, and nobody has heard of it."""
    accepted = Trip.objects.filter(pk=trip_id, status="accepted").exists()
    told = Event.objects.filter(group=f"trip.{trip_id}", type="trip.offer.accepted", published_at__isnull=False)
    return accepted and not told.exists()


def _assert_accepted_once(trip_id: int) -> None:
    trip = Trip.objects.get(pk=trip_id)
    assert trip.transitions.filter(to_status="accepted").count() == 1
    assert Offer.objects.filter(trip=trip, status=OfferStatus.ACCEPTED).count() == 1
