"""The sockets of the operations room's panels: who may open them, and that they show what changed at once."""

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.models import Permission

from drivers import approvals
from stepper.models import User
from tests.factories import ALMATY, DriverFactory, OfferFactory, TripFactory, UserFactory
from trips import accepting, assignment, messages

from .conftest import Client, Connect

run = database_sync_to_async


def _member(*permissions: str) -> User:
    staff: User = UserFactory.create(is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return staff


async def _until(client: Client, *wanted: str) -> str:
    """Read fragments until one has all of these words."""
    while True:
        html: str = await client.receive_html()
        if all(words in html for words in wanted):
            return html


async def test_a_trips_page_shows_an_offer_that_is_declined_and_a_driver_who_gets_the_trip(connect: Connect) -> None:
    staff = await run(_member)("view_trip", "change_trip", "view_driver", "view_tripmessage")
    driver = await run(DriverFactory.create)(at=ALMATY, user__name="Aida Nurlan")
    offer = await run(OfferFactory.create)(driver=driver)
    other = await run(DriverFactory.create)(at=ALMATY, user__name="Berik Omarov")
    page = await connect(staff, f"/ws/ops/trips/{offer.trip_id}/")
    await _until(page, 'id="ops-trip"', 'id="ops-history"', 'data-testid="assign"')

    await run(accepting.decline)(driver.pk, offer.pk, "too_far")
    await _until(page, "Declined", "Aida Nurlan")
    await run(assignment.assign)(offer.trip_id, other.pk, staff, "nearest")
    await _until(page, "Assigned to Berik Omarov", 'data-testid="reassign"')
    await run(messages.send)(offer.trip_id, other.user, text="I am here", key="1")
    await _until(page, "I am here")


async def test_actions_go_with_the_right_to_them(connect: Connect) -> None:
    staff = await run(_member)("view_trip", "change_trip")
    trip = await run(TripFactory.create)(status="unfilled")
    page = await connect(staff, f"/ws/ops/trips/{trip.pk}/")
    await _until(page, 'data-testid="act-cancel"')
    await run(staff.user_permissions.remove)(await run(Permission.objects.get)(codename="change_trip"))
    # One that was drawn before may still come.
    while "data-action" in await _until(page, 'id="ops-trip"'):
        pass
    await run(staff.user_permissions.clear)()
    assert await page.closed_with() == 4403


async def test_a_drivers_page_shows_that_they_were_suspended(connect: Connect) -> None:
    staff = await run(_member)("view_driver", "change_driver")
    driver = await run(DriverFactory.create)(at=ALMATY)
    page = await connect(staff, f"/ws/ops/drivers/{driver.pk}/")
    await _until(page, 'data-availability="available"', 'data-testid="act-suspend"')
    await run(approvals.suspend)(driver.pk, staff, "complaints")
    html = await _until(page, 'data-approval="suspended"', "complaints")
    assert 'data-testid="act-reinstate"' in html


@pytest.mark.parametrize("path", ["/ws/ops/trips/{trip}/", "/ws/ops/drivers/{driver}/"])
async def test_only_staff_with_the_right_open_them(connect: Connect, path: str) -> None:
    trip = await run(TripFactory.create)(status="accepted", driver=await run(DriverFactory.create)())
    address = path.format(trip=trip.pk, driver=trip.driver_id)
    for user in (trip.organiser, trip.driver.user, await run(_member)("view_booking")):
        client = await connect(user, address, greeted=False)
        assert await client.closed_with() == 4403
    missing = path.format(trip=4000, driver=4000)
    client = await connect(await run(_member)("view_trip", "view_driver"), missing, greeted=False)
    assert await client.closed_with() == 4403
