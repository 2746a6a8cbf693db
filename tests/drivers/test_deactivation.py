"""A driver whose account is deactivated stops at once, wherever that is done."""

from collections.abc import Callable

import pytest

from drivers import availability, working_time
from drivers.models import AvailabilityChange, Driver, DriverPosition
from realtime import events, groups
from stepper.errors import NotPermitted
from stepper.models import User
from tests.backoffice import page_url, signed_in
from tests.factories import ALMATY, DriverFactory, OfferFactory, PassengerFactory, StaffFactory, TripFactory
from tests.outbox import frames, rechecked
from trips import accepting, dispatch
from trips.models import Offer

pytestmark = pytest.mark.django_db


def by_saving(user: User) -> None:
    user.is_active = False
    user.save()


def by_saving_the_column(user: User) -> None:
    user.is_active = False
    user.save(update_fields=["is_active"])


def by_updating_many(user: User) -> None:
    assert User.objects.filter(pk=user.pk).update(is_active=False) == 1


def by_updating_rows(user: User) -> None:
    user.is_active = False
    User.objects.bulk_update([user], ["is_active"])


def by_the_admin(user: User) -> None:
    form = {"name": user.name, "email": user.email, "phone": str(user.phone), "language": "en"}
    response = signed_in(StaffFactory()).post(page_url(user), form)
    assert response.status_code == 302, response.context["errors"]


WAYS = [by_saving, by_saving_the_column, by_updating_many, by_updating_rows, by_the_admin]


@pytest.fixture
def online() -> Driver:
    return DriverFactory(at=ALMATY)


def state(driver: Driver) -> tuple[bool, str, bool]:
    driver.refresh_from_db()
    return driver.is_online, driver.availability, DriverPosition.objects.get(driver=driver).dispatchable


@pytest.mark.parametrize("way", WAYS)
def test_driver_leaves_the_search_and_loses_open_offers(online: Driver, way: Callable[[User], None]) -> None:
    offers = [OfferFactory(driver=online) for _number in range(2)]

    way(online.user)

    assert state(online) == (False, "offline", False)
    for offer in offers:
        offer.refresh_from_db()
        assert (offer.status, offer.reason) == ("withdrawn", "no_longer_eligible")
    told = frames(groups.driver(online.pk))
    assert [one.reason for one in told if isinstance(one, events.OfferExpired)] == ["no_longer_eligible"] * 2
    assert [one.changed for one in told if isinstance(one, events.DriverUpdated)] == [["availability"]]
    assert rechecked(groups.user(online.user.pk))
    assert AvailabilityChange.objects.get().cause == "deactivated"
    trip = TripFactory(status="published")
    assert dispatch.start_round(trip.pk).considered == 0


def test_driver_on_a_break_does_not_come_back_from_it(online: Driver) -> None:
    working_time.take_break(online.pk, 30)
    by_saving(online.user)
    assert online.breaks.get().ended_at is not None


def test_trip_under_way_stays_and_the_driver_is_offline_after_it() -> None:
    trip = TripFactory(status="in_transit", driver=DriverFactory(at=ALMATY))
    by_saving(trip.driver.user)
    trip.refresh_from_db()
    assert (trip.status, trip.driver.availability) == ("in_transit", "busy")

    type(trip).objects.update(status="completed")
    availability.mark_free(trip.driver.pk)

    assert state(trip.driver) == (False, "offline", False)


def test_deactivated_in_the_database_alone_a_driver_is_free_but_not_available_after_the_trip() -> None:
    """What changes the column without telling anybody: the next change of availability sees it."""
    trip = TripFactory(status="completed", driver=DriverFactory(at=ALMATY, availability="busy"))
    User._base_manager.filter(pk=trip.driver.user.pk).update(is_active=False)

    availability.mark_free(trip.driver.pk)

    trip.driver.refresh_from_db()
    assert trip.driver.availability == "offline"


def test_deactivated_driver_cannot_go_online_or_accept(online: Driver) -> None:
    by_saving(online.user)
    offer = OfferFactory(driver=online)
    for verb, *args in ((availability.set_online, online.pk, True), (accepting.accept, online.pk, offer.pk)):
        with pytest.raises(NotPermitted) as refused:
            verb(*args)
        assert refused.value.code == "driver.not_approved"


def test_activated_again_the_driver_may_go_online(online: Driver) -> None:
    by_saving(online.user)
    online.user.is_active = True
    online.user.save()
    assert state(online) == (False, "offline", False)

    availability.set_online(online.pk, True)

    assert state(online) == (True, "available", True)


def test_other_saves_touch_nobody(online: Driver) -> None:
    OfferFactory(driver=online)
    online.user.name = "Daniyar Other"
    online.user.save()
    assert state(online) == (True, "available", True)
    assert Offer.objects.get().status == "pending"


def test_saving_an_inactive_account_again_changes_nothing(online: Driver) -> None:
    by_saving(online.user)
    by_saving(online.user)
    assert AvailabilityChange.objects.count() == 1


def test_passengers_are_deactivated_without_ado() -> None:
    user = PassengerFactory()
    by_saving(user)
    assert rechecked(groups.user(user.pk))
