"""Redis and PostgreSQL are killed under two servers and come back: nobody is left believing what is not so."""

import pytest
from redis import Redis

from tests.factories import PASSWORD
from trips.models import Booking, Offer, Trip
from trips.states import OfferStatus

from .conftest import Stage
from .people import agree, beside, cast, eventually, eventually_none, online, run

pytestmark = pytest.mark.scaled_only


def subscriptions(stage: Stage) -> dict[str, int]:
    """Groups that Redis delivers, and to how many processes."""
    with Redis.from_url(f"{stage.redis.url}/0") as client:
        names = client.pubsub_channels("*:g:*")
        return {name.decode().partition(":g:")[2]: number for name, number in client.pubsub_numsub(*names)}


def joined(stage: Stage) -> dict[str, int]:
    """The same, as the servers see it."""
    groups = [set(server.holds()["joined"]) for server in stage.servers]
    return {name: sum(name in one for one in groups) for name in set.union(*groups)}


async def test_redis_killed_and_started_again(stage: Stage) -> None:
    there, here = stage.servers
    driver, passenger, booking = await run(cast)(there, here)
    async with online(driver, passenger):
        first = (await passenger.call("POST", "trips", booking)).json()
        await driver.until("trip.offer.created", trip_id=first["id"])
        await agree(driver, passenger)

        stage.redis.kill()
        # The service goes on, each server for its own sockets.
        accepted = await driver.call("POST", f"drivers/trips/accept/{first['id']}")
        assert accepted.status_code == 200, accepted.text
        assert (await passenger.call("GET", f"trips/{first['id']}")).json()["status"] == "accepted"
        refused = await passenger.call("POST", "token", {"email": passenger.user.email, "password": PASSWORD})
        assert (refused.status_code, refused.json()["code"]) == (503, "server.unavailable")
        assert int(refused.headers["Retry-After"]) > 0

        stage.redis.start()
        await agree(driver, passenger)
        # Nothing is subscribed for nobody, and what crosses over arrives again.
        await eventually(lambda: subscriptions(stage) == joined(stage))
        since = len(passenger.frames)
        await driver.send(type="driver.location.update", points=[beside(booking)])
        await passenger.until("driver.location.updated", since, lat=beside(booking)["lat"])
        await run(_assert_taken_once)(first["id"])
    for server in stage.servers:
        await eventually_none(server.left_over)
    await eventually_none(lambda: subscriptions(stage))


async def test_postgresql_killed_and_started_again(stage: Stage) -> None:
    there, here = stage.servers
    driver, passenger, booking = await run(cast)(there, here)
    async with online(driver, passenger):
        first = (await passenger.call("POST", "trips", booking)).json()
        card = await driver.until("trip.offer.created", trip_id=first["id"])
        await agree(driver, passenger)

        stage.postgresql.kill()
        await driver.send(type="trip.offer.accept", offer_id=card["offer_id"], ref="now")
        refused = await passenger.call("POST", "trips", booking, key="again")
        assert (refused.status_code, refused.json()["code"]) == (503, "server.unavailable")
        assert int(refused.headers["Retry-After"]) > 0
        assert (await driver.until("error", ref="now"))["code"] == "server.unavailable"

        stage.postgresql.start()
        await agree(driver, passenger)
        accepted = await driver.call("POST", f"drivers/trips/accept/{first['id']}")
        assert accepted.status_code == 200, accepted.text
        await agree(driver, passenger)
        await run(_assert_taken_once)(first["id"])
    for server in stage.servers:
        await eventually_none(server.left_over)


def _assert_taken_once(trip_id: int) -> None:
    trip = Trip.objects.get(pk=trip_id)
    assert trip.transitions.filter(to_status="accepted").count() == 1
    assert Offer.objects.filter(trip=trip, status=OfferStatus.ACCEPTED).count() == 1
    assert Booking.objects.filter(trip=trip).count() == 1
