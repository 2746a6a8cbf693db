"""Messages of a trip over sockets: sent by a passenger's program, told to the two alone, drawn on the pages of both."""

from channels.db import database_sync_to_async

from realtime.delivery.notifications import notify
from stepper.models import User
from tests.factories import PassengerFactory, StaffFactory, TripFactory
from trips import messages
from trips.models import Booking, Trip
from trips.states import TripStatus

from .conftest import Connect

run = database_sync_to_async


def _trip() -> Trip:
    made: Trip = TripFactory.create(status=TripStatus.ACCEPTED)
    return Trip.objects.for_page().get(pk=made.pk)


def _others(trip: Trip) -> list[User]:
    seat = PassengerFactory.create()
    Booking.objects.create(trip=trip, passenger=seat, status="confirmed", seats=1, amount=100)
    return [seat, StaffFactory.create()]


async def test_passenger_writes_and_nobody_else_on_the_trip_hears_of_it(connect: Connect) -> None:
    trip = await run(_trip)()
    assert trip.driver
    others = await run(_others)(trip)
    watching = [await connect(user) for user in others]
    for other in watching:
        await other.send(type="trip.subscribe", trip_ids=[trip.pk], ref="s")
        await other.until("ack", ref="s")
    writer, driver = await connect(trip.organiser), await connect(trip.driver.user)

    await writer.send(type="trip.message.send", trip_id=trip.pk, text="At the left door", ref="m")
    sent = await writer.until("ack", ref="m")
    heard = await driver.until("trip.message.created")
    assert (heard["trip_id"], heard["message_id"], heard["by"]) == (trip.pk, sent["message_id"], "organiser")
    assert "left door" not in str(heard)

    for user, other in zip(others, watching, strict=True):
        # What would have been told before this is there when it comes.
        await run(notify)(user, "Last", audience="passenger")
        while (frame := await other.receive())["type"] != "notification.passenger":
            assert not frame["type"].startswith("trip.message")
        await other.send(type="trip.message.send", trip_id=trip.pk, text="x", ref="m")
        assert (await other.until("error", ref="m"))["code"] == "trip.not_found"


async def test_message_is_drawn_on_the_pages_of_both(connect: Connect) -> None:
    trip = await run(_trip)()
    assert trip.driver
    pages = [
        await connect(trip.organiser, f"/ws/dashboard/trips/{trip.pk}/"),
        await connect(trip.organiser, "/ws/dashboard/trips/"),
        await connect(trip.driver.user, "/ws/dashboard/driver/"),
    ]
    await run(messages.send)(trip.pk, trip.organiser, text="At the left door")
    for page in pages:
        while f'id="messages-{trip.pk}"' not in (html := await page.receive_html()):
            pass
        assert "At the left door" in html
        assert f'id="message-unread-{trip.pk}"' in html
