"""An upgrade from the last release while people ride: with an old and a new server at once, or one after the other.

The last release's own code makes the database and serves it first (`installation.py`, `seed.py`). Nobody loses an event
or an offer, no request fails, and each trip has one driver.
"""

import asyncio
import itertools

import pytest

from tests.factories import PASSWORD
from tests.live import LiveServer
from tests.upgrade.conftest import Upgrade
from tests.upgrade.people import Client
from tests.upgrade.seed import MISSED

pytestmark = pytest.mark.long


async def begin_trips(upgrade: Upgrade) -> dict[str, int]:
    """On the old server: a trip on the road, one with a driver, one with two open offers."""
    trips = {name: await upgrade[f"{name}.passenger"].book(name) for name in ("road", "ahead", "offered")}
    for name in ("road", "ahead"):
        driver = upgrade[f"{name}.driver"]
        assert await driver.accept(trips[name]) == 200
        await upgrade[f"{name}.passenger"].until("trip.offer.accepted", trip_id=trips[name])
        upgrade.expect(trips[name], driver, upgrade[f"{name}.passenger"])
    await upgrade["road.driver"].step(trips["road"], "en_route", "driver_arrived", "passengers_boarded", "in_transit")
    for driver in (upgrade["offered.driver"], upgrade["offered.rival"]):
        await driver.until("trip.offer.created", trip_id=trips["offered"])
    await upgrade["offered.passenger"].until_status(trips["offered"], "offered")
    upgrade.expect(trips["offered"], upgrade["offered.passenger"])
    return trips


async def require_one_winner(upgrade: Upgrade, trip_id: int) -> None:
    """Both drivers accept at once; everybody hears of one winner."""
    rivals = (upgrade["offered.driver"], upgrade["offered.rival"])
    assert sorted(await asyncio.gather(*(driver.accept(trip_id) for driver in rivals))) == [200, 409]
    await upgrade["offered.passenger"].until("trip.offer.accepted", trip_id=trip_id)
    assert upgrade.count_winners(trip_id) == (1, 1)


async def carry_out(trip_id: int, driver: Client, passenger: Client, *servers: LiveServer) -> None:
    """Drive a trip from accepted to completed, with a step on each of the servers in turn."""
    at_home = driver.server
    steps = ("en_route", "driver_arrived", "passengers_boarded", "in_transit", "arrived", "completed")
    for status, driver.server in zip(steps, itertools.cycle(servers), strict=False):
        await driver.step(trip_id, status)
        await passenger.until("trip.status.updated", trip_id=trip_id, new=status)
    driver.server = at_home


async def require_position(trip_id: int, driver: Client, passenger: Client, metres: int) -> None:
    """The passenger is shown where the driver is."""
    point = await driver.report(metres)
    await passenger.until("driver.location.updated", trip_id=trip_id, **point)


async def require_signed_in(upgrade: Upgrade) -> None:
    """Sessions and tokens of the old server are worth as much on the new one."""
    page = await upgrade.page.open("/trips/")
    assert page.status_code == 200, page.headers.get("location")
    for client in upgrade.clients.values():
        assert (await client.call("GET", "me")).status_code == 200
    staff = upgrade["staff"]
    renewed = await staff.call("POST", "token/refresh", {"refresh": staff.who["refresh"]})
    assert renewed.status_code == 200, renewed.text


async def require_signed_in_at_either(upgrade: Upgrade) -> None:
    """Who signed in at one server is signed in at the other: the proxy sends them to any, request by request."""
    old_page = upgrade.page
    for old_page.server in (upgrade.new, upgrade.old, upgrade.new, upgrade.old):
        assert (await old_page.open("/trips/")).status_code == 200
    client = upgrade["new.passenger"]
    for client.server, other in ((upgrade.new, upgrade.old), (upgrade.old, upgrade.new)):
        answer = await client.call("POST", "token", {"email": client.who["email"], "password": PASSWORD})
        assert answer.status_code == 200, answer.text[:500]
        client.server, client.token = other, answer.json()["access"]
        assert (await client.call("GET", "me")).status_code == 200
    assert client.server is upgrade.new
    await require_asked_once_more(upgrade)


async def require_asked_once_more(upgrade: Upgrade) -> None:
    """Sign a browser in at a new server, then at an old one, which does not know cookies of the name since a181ccb.

    Both accept it then (`stepper.web.cookies`, docs/operations.md). Once the last release is a later one: asked once.
    """
    page = upgrade.new_page
    await page.sign_in()
    page.server = upgrade.old
    assert (await page.open("/trips/")).status_code == 302
    await page.sign_in()
    for page.server in (upgrade.old, upgrade.new):
        assert (await page.open("/trips/")).status_code == 200
    await require_old_page_is_served(upgrade)


async def require_old_page_is_served(upgrade: Upgrade) -> None:
    """What a page of an old server sends to a new one is answered: a form, and the question for a price, then a GET."""
    page = upgrade.new_page
    page.server = upgrade.old
    token = await page.read_token("/trips/new/")
    assert {"csrftoken", "__Host-csrftoken"} <= page.cookie_names
    page.server = upgrade.new
    posted = await page.open("/notifications/read-all/", {"csrfmiddlewaretoken": token})
    assert posted.status_code == 302, posted.text[:500]
    assert (await page.open("/trips/quote/?seats=1")).status_code == 200


async def require_returning(upgrade: Upgrade) -> None:
    """Cursors of the old server are good: who missed events gets them, who missed too many the state as it is."""
    async with upgrade.returned():
        for client in upgrade.returning.values():
            await client.until_it(lambda one: any(frame.get("ref") == "resume" for frame in one.frames))
        missed = upgrade.returning["missed"]
        told = [frame["id"] for frame in missed.frames if "id" in frame]
        assert (told, len(told), missed.resyncs) == (missed.who["events"], MISSED, 0)
        assert [upgrade.returning[name].resyncs for name in ("too_many", "too_old")] == [1, 1]


async def finish_road(upgrade: Upgrade, trip_id: int) -> None:
    """The trip that was on the road before the upgrade ends after it, and is rated; the page has followed."""
    driver, passenger = upgrade["road.driver"], upgrade["road.passenger"]
    await require_position(trip_id, driver, passenger, metres=20)
    await upgrade.page.until('data-status="in_transit"', connections=2)
    await driver.step(trip_id, "arrived")
    await upgrade.page.until('data-status="arrived"')
    await driver.step(trip_id, "completed")
    await passenger.until("trip.status.updated", trip_id=trip_id, new="completed")
    rated = await passenger.call("POST", f"trips/{trip_id}/rate", {"stars": 5})
    assert rated.status_code == 201, rated.text
    await driver.until("trip.rated", trip_id=trip_id)


def require_nothing_lost(upgrade: Upgrade) -> None:
    assert upgrade.list_lost() == []
    assert {name: one.resyncs for name, one in upgrade.clients.items() if one.resyncs} == {}
    assert upgrade.list_failures() == []


async def ask_until_done(upgrade: Upgrade, migration: asyncio.Task[None]) -> None:
    """Keep the old server busy, with a booking among it, until the database is migrated."""
    booking = asyncio.create_task(upgrade["during.passenger"].book("during"))
    for client in itertools.cycle(upgrade.clients.values()):
        if migration.done():
            break
        await client.call("GET", "trips")
    await migration
    assert await upgrade["during.driver"].accept(await booking) == 200


@pytest.mark.scaled_only
async def test_old_and_new_server_share_trips_while_the_database_is_upgraded(upgrade: Upgrade) -> None:
    old, new = upgrade.old, upgrade.new
    async with upgrade.everybody_online():
        trips = await begin_trips(upgrade)
        await upgrade.page.sign_in()
        async with upgrade.page.watching(trips["road"]):
            await upgrade.page.until('data-status="in_transit"')
            await ask_until_done(upgrade, asyncio.create_task(upgrade.installation.upgrade()))
            await asyncio.to_thread(new.start)
            for name in ("offered.rival", "ahead.driver", "new.passenger", "old.driver", "road.driver"):
                await upgrade[name].move(new)

            await require_signed_in_at_either(upgrade)
            await require_one_winner(upgrade, trips["offered"])
            for name, first in (("new", new), ("old", old)):
                driver, passenger = upgrade[f"{name}.driver"], upgrade[f"{name}.passenger"]
                assert (driver.server is old, passenger.server is old) == (first is new, first is old)
                trips[name] = await passenger.book(name)
                assert await driver.accept(trips[name]) == 200
                await passenger.until("trip.offer.accepted", trip_id=trips[name])
                upgrade.expect(trips[name], driver, passenger)
                await require_position(trips[name], driver, passenger, metres=10)
                await carry_out(trips[name], driver, passenger, old, new)
            await carry_out(trips["ahead"], upgrade["ahead.driver"], upgrade["ahead.passenger"], new, old)
            # The page on the old server draws what happens on the new one.
            await require_position(trips["road"], upgrade["road.driver"], upgrade["road.passenger"], metres=10)
            late = await upgrade["road.driver"].call(
                "PUT",
                f"drivers/trips/{trips['road']}/status",
                {"status": "delayed", "delay_minutes": 7, "delay_reason": "Fog"},
            )
            assert late.status_code == 200, late.text
            await upgrade.page.until("Fog")

            # The proxy sends everybody to the new server.
            left = [one for one in upgrade.clients.values() if one.server is old]
            upgrade.send_everybody_to(new)
            await asyncio.to_thread(old.stop)
            for one in left:
                await one.until_it(lambda one: one.connections > 1 and one.socket is not None)
            assert {one.closed_with for one in left} == {1012}
            await require_signed_in(upgrade)
            await require_returning(upgrade)
            await finish_road(upgrade, trips["road"])
        await asyncio.to_thread(new.stop)
    require_nothing_lost(upgrade)


@pytest.mark.embedded_only
async def test_new_server_goes_on_where_the_old_one_stopped(upgrade: Upgrade) -> None:
    upgrade.new.port = upgrade.old.port
    async with upgrade.everybody_online():
        trips = await begin_trips(upgrade)
        await upgrade.page.sign_in()
        async with upgrade.page.watching(trips["road"]):
            await upgrade.page.until('data-status="in_transit"')
            await asyncio.to_thread(upgrade.old.stop)
            await upgrade.installation.upgrade()
            await asyncio.to_thread(upgrade.new.start)
            for one in upgrade.clients.values():
                await one.until_it(lambda one: one.connections > 1 and one.socket is not None)
            await require_one_winner(upgrade, trips["offered"])
            await carry_out(trips["ahead"], upgrade["ahead.driver"], upgrade["ahead.passenger"], upgrade.new)
            await require_signed_in(upgrade)
            await require_returning(upgrade)
            await finish_road(upgrade, trips["road"])
        await asyncio.to_thread(upgrade.new.stop)
    require_nothing_lost(upgrade)
