"""A driver's command that is sent again with its key changes nothing, whatever has happened since and over any way."""

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from drivers.models import Driver
from stepper.errors import Conflict, InvalidInput
from stepper.models import ServiceSettings
from tests.factories import ALMATY, DriverFactory, OfferFactory, TripFactory
from tests.rest import as_user
from trips import accepting, assignment, driving
from trips.models import AppliedCommand, Offer, Trip
from trips.states import OfferStatus, Role, TripStatus

pytestmark = pytest.mark.django_db

KEY = "4f7c1a"


def step(trip: Trip, status: str, key: str = KEY, **fields: Any) -> Trip:
    assert trip.driver_id is not None
    return driving.update_status(trip.driver_id, trip.pk, status=status, key=key, **fields)


def steps_of(trip: Trip) -> list[str]:
    return list(trip.transitions.order_by("pk").values_list("to_status", flat=True))


def test_step_sent_again_after_later_ones_changes_nothing() -> None:
    trip = TripFactory(status=TripStatus.ACCEPTED)
    step(trip, "en_route", "first")
    step(trip, "driver_arrived", "second")
    with pytest.raises(Conflict, match="transition_refused"):
        step(trip, "en_route", "")

    assert step(trip, "en_route", "first").status == TripStatus.DRIVER_ARRIVED
    assert steps_of(trip) == ["en_route", "driver_arrived"]


def test_delay_sent_again_leaves_the_later_one() -> None:
    trip = TripFactory(status=TripStatus.EN_ROUTE)
    for key, minutes in (("first", 10), ("second", 20), ("first", 10)):
        step(trip, "delayed", key, delay_minutes=minutes)

    trip.refresh_from_db()
    assert trip.delay_minutes == 20


def test_release_sent_again_after_the_driver_got_the_trip_back_changes_nothing() -> None:
    trip = TripFactory(status=TripStatus.ACCEPTED)
    driver: Driver = trip.driver
    step(trip, "released")
    trip.refresh_from_db()
    settings = ServiceSettings.current()
    assignment.assign_driver(trip, driver, role=Role.STAFF, by_id=driver.user_id, offer_id=None, settings=settings)

    assert driving.update_status(driver.pk, trip.pk, status="released", key=KEY).driver_id == driver.pk


def test_accept_sent_again_gives_the_same_answer() -> None:
    offer = OfferFactory()
    first = accepting.accept(offer.driver_id, offer.pk, key=KEY)
    again = accepting.accept(offer.driver_id, offer.pk, key=KEY)

    assert (first.driver_id, again.driver_id) == (offer.driver_id, offer.driver_id)
    assert AppliedCommand.objects.count() == 1


def test_decline_sent_again_gives_the_same_answer() -> None:
    offer = OfferFactory()
    accepting.decline(offer.driver_id, offer.pk, key=KEY)
    Offer.objects.filter(pk=offer.pk).update(status=OfferStatus.WITHDRAWN)

    assert accepting.decline(offer.driver_id, offer.pk, key=KEY).pk == offer.pk


def test_accept_after_the_deadline_is_refused_and_leaves_the_key_unused() -> None:
    offer = OfferFactory(expires_at=timezone.now() - dt.timedelta(seconds=1))
    with pytest.raises(Conflict, match=r"offer\.expired"):
        accepting.accept(offer.driver_id, offer.pk, key=KEY)

    assert not AppliedCommand.objects.exists()


def test_refused_step_can_be_sent_again_with_its_key() -> None:
    trip = TripFactory(status=TripStatus.ACCEPTED)
    with pytest.raises(Conflict):
        step(trip, "passengers_boarded")
    step(trip, "driver_arrived", "other")

    assert step(trip, "passengers_boarded").status == TripStatus.PASSENGERS_BOARDED


def test_key_is_for_one_command() -> None:
    trip = TripFactory(status=TripStatus.ACCEPTED)
    step(trip, "en_route")
    with pytest.raises(Conflict, match=r"command\.key_reused"):
        step(trip, "driver_arrived")

    assert steps_of(trip) == ["en_route"]


def test_key_of_another_driver_says_nothing() -> None:
    mine, other = TripFactory.create_batch(2, status=TripStatus.ACCEPTED)
    step(other, "en_route")

    assert step(mine, "en_route").status == TripStatus.EN_ROUTE


@pytest.mark.parametrize("key", ["x" * 65, "with space", "ключ", "line\n"])
def test_key_is_up_to_64_visible_ascii_characters(key: str) -> None:
    trip = TripFactory(status=TripStatus.ACCEPTED)
    with pytest.raises(InvalidInput):
        step(trip, "en_route", key)


# The ways it is sent


def test_page_and_rest_share_the_keys(client: Client) -> None:
    trip = TripFactory(status=TripStatus.ACCEPTED)
    client.force_login(trip.driver.user)
    address = reverse("drivers:trip-status", args=[trip.pk])
    headers = {"HX-Request": "true", "Idempotency-Key": KEY}
    assert client.post(address, {"status": "en_route"}, headers=headers).status_code == 200
    step(trip, "driver_arrived", "second")

    assert client.post(address, {"status": "en_route"}, headers=headers).status_code == 200
    rest = as_user(trip.driver.user)
    put = f"/api/drivers/trips/{trip.pk}/status"
    answer = rest.put(put, {"status": "en_route"}, format="json", headers={"Idempotency-Key": KEY})
    assert (answer.status_code, answer.json()["status"]) == (200, "driver_arrived")
    assert steps_of(trip) == ["en_route", "driver_arrived"]


@pytest.mark.parametrize("answer", ["accept", "decline"])
def test_answers_of_page_and_rest_note_their_key(client: Client, answer: str) -> None:
    offers = [OfferFactory(driver=DriverFactory(at=ALMATY)) for _ in range(2)]
    client.force_login(offers[0].driver.user)
    headers = {"HX-Request": "true", "Idempotency-Key": KEY}
    client.post(reverse(f"drivers:offer-{answer}", args=[offers[0].pk]), headers=headers)
    address = f"/api/drivers/trips/{answer}/{offers[1].trip_id}"
    as_user(offers[1].driver.user).post(address, {}, format="json", headers={"Idempotency-Key": KEY})

    noted = AppliedCommand.objects.order_by("pk").values_list("driver", "about")
    assert list(noted) == [(offer.driver_id, f"{answer} {offer.pk}") for offer in offers]
