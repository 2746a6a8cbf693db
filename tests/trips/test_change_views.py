"""The page that changes a booked trip: the form with it, what it costs then, and what is refused."""

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils import timezone

from stepper.models import ServiceSettings
from stepper.templatetags.units import money
from tests.factories import MEDEU, OfferFactory, PassengerFactory, StaffFactory, TripFactory
from trips import accepting, changes
from trips.change_forms import ChangeForm
from trips.models import Trip, TripChange

pytestmark = pytest.mark.django_db

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def trip() -> Trip:
    made: Trip = TripFactory(
        in_=dt.timedelta(hours=3, seconds=17), note="First line\nsecond line", bags=1, traveller_name="Aida", seats=2
    )
    Trip.objects.update(traveller_phone="+77015551234")
    made.refresh_from_db()
    return made


def sent(trip: Trip, **changed: Any) -> dict[str, Any]:
    """What the browser sends of the form as it was opened, with what somebody entered."""
    return {**dict(ChangeForm.of(trip).data.items()), **changed}


def text(response: Any) -> str:
    return str(response.content.decode())


def test_form_is_the_trip_and_sending_it_back_changes_nothing(client: Client, trip: Trip) -> None:
    client.force_login(trip.organiser)
    page = client.get(f"/trips/{trip.pk}/change/")
    form = page.context["form"]
    assert form.errors == {}
    assert form["departure_time"].value() == f"{trip.departure_at.astimezone(ZoneInfo(trip.timezone)):%H:%M}"
    assert f'<span class="book-bar__money" data-testid="quote-total">{money(trip.fare)}</span>' in text(page)
    assert "as before" in text(page)

    answer = client.post(f"/trips/{trip.pk}/change/", sent(trip))

    assert (answer.status_code, answer["Location"]) == (302, f"/trips/{trip.pk}/")
    assert Trip.objects.get().version == trip.version


def test_price_is_shown_before_it_is_saved(client: Client, trip: Trip) -> None:
    client.force_login(trip.organiser)
    price = changes.find_price(trip, {"vehicle_class": "van"})

    shown = text(client.post(f"/trips/{trip.pk}/change/quote/", sent(trip, vehicle_class="van")))

    assert money(price.after) in shown
    assert f"instead of {money(price.before)}" in shown
    assert Trip.objects.get().fare == price.before
    client.post(f"/trips/{trip.pk}/change/", sent(trip, vehicle_class="van"))
    assert Trip.objects.get().fare == price.after


def test_price_that_was_shown_holds_or_is_said_anew(client: Client, trip: Trip) -> None:
    client.force_login(trip.organiser)
    before, shown = trip.fare, changes.find_price(trip, {"vehicle_class": "van"}).after
    van = sent(trip, vehicle_class="van")
    token = client.post(f"/trips/{trip.pk}/change/quote/", van).context["quotes"].kept.token
    ServiceSettings.objects.update_or_create(pk=1, defaults={"base_fare": 9000})

    # Of another question: the page says what it costs now.
    refused = client.post(f"/trips/{trip.pk}/change/", {**van, "seats": "3", "quote": token})

    now_costs = refused.context["quotes"].chosen.price.fare
    assert (refused.status_code, Trip.objects.get().fare) == (422, before)
    assert f"The price is now {money(now_costs)}" in text(refused)
    assert now_costs != shown
    client.post(f"/trips/{trip.pk}/change/", {**van, "quote": token})
    assert Trip.objects.get().fare == shown


def test_place_and_time_change_together(client: Client, trip: Trip) -> None:
    client.force_login(trip.organiser)
    day = timezone.localdate() + dt.timedelta(days=2)
    place = {"dropoff_name": "Medeu", "dropoff_address": "", "dropoff_lat": MEDEU[0], "dropoff_lng": MEDEU[1]}

    client.post(f"/trips/{trip.pk}/change/", sent(trip, **place, departure_date=f"{day}", departure_time="18:30"))

    trip.refresh_from_db()
    assert (trip.dropoff_name, trip.note) == ("Medeu", "First line\nsecond line")
    assert f"{trip.departure_at.astimezone(ZoneInfo(trip.timezone)):%Y-%m-%d %H:%M}" == f"{day} 18:30"
    page = text(client.get(f"/trips/{trip.pk}/"))
    assert "Changed by you: departure" in page
    assert "The trip is as you want it now." in page


def test_errors_stand_at_their_fields(client: Client, trip: Trip) -> None:
    client.force_login(trip.organiser)
    answer = client.post(f"/trips/{trip.pk}/change/", sent(trip, seats="5"))
    assert answer.status_code == 422
    assert answer.context["form"].errors == {"seats": ["Choose 1 to 4 seats for this vehicle."]}
    other = TripFactory(organiser=trip.organiser, in_=10 * HOUR)
    Trip.objects.filter(pk=other.pk).update(traveller_phone=trip.traveller_phone)
    local = other.departure_at.astimezone(ZoneInfo(trip.timezone))
    at = {"departure_date": f"{local:%Y-%m-%d}", "departure_time": f"{local:%H:%M}"}
    assert "You have a trip at that time already" in text(client.post(f"/trips/{trip.pk}/change/", sent(trip, **at)))
    assert Trip.objects.get(pk=trip.pk).version == trip.version


def test_form_that_was_opened_before_another_change_shows_the_trip_as_it_is(client: Client, trip: Trip) -> None:
    client.force_login(trip.organiser)
    old = sent(trip, seats="4")
    changes.change(trip.pk, StaffFactory(), {"bags": 3})

    answer = client.post(f"/trips/{trip.pk}/change/", old)

    assert answer.status_code == 409
    assert "This trip was changed meanwhile." in text(answer)
    assert (answer.context["form"]["bags"].value(), answer.context["form"]["seats"].value()) == ("3", "2")
    trip.refresh_from_db()
    assert (trip.seats, trip.bags) == (2, 3)
    client.post(f"/trips/{trip.pk}/change/", sent(trip, seats="4"))
    assert Trip.objects.get().seats == 4


@pytest.mark.parametrize(
    ("written", "others", "shown"),
    [
        ("Gate 2", "", "Gate 2"),
        ("", "", "First line\nsecond line"),
        ("", "Staff's note", "Staff's note"),
        ("Gate 2", "Staff's note", "Staff's note"),
    ],
)
def test_outdated_form_keeps_what_was_written_unless_others_wrote_too(
    client: Client, trip: Trip, written: str, others: str, shown: str
) -> None:
    client.force_login(trip.organiser)
    old = sent(trip, seats="4", **({"note": written} if written else {}))
    changes.change(trip.pk, StaffFactory(), {"bags": 3, **({"note": others} if others else {})})

    form = client.post(f"/trips/{trip.pk}/change/", old).context["form"]

    assert form["note"].value() == shown


def test_trip_that_was_accepted_meanwhile_says_what_can_still_change(client: Client) -> None:
    offer = OfferFactory(trip__in_=3 * HOUR)
    trip = offer.trip
    client.force_login(trip.organiser)
    opened = sent(trip, seats="3", note="Gate 2", pickup_address="Of another place")
    accepting.accept(offer.driver.pk, offer.pk)

    answer = client.post(f"/trips/{trip.pk}/change/", opened)

    assert answer.status_code == 409
    assert "A driver has accepted the trip as it is; nothing was changed." in text(answer)
    form = answer.context["form"]
    assert {field.name for field in form.visible_fields()} == {"note", "pickup_address"}
    # The words to the driver stay; the address of the place that was chosen is none of this pickup.
    assert (form["note"].value(), form["pickup_address"].value()) == ("Gate 2", trip.pickup_address)
    trip.refresh_from_db()
    assert (trip.seats, trip.note) == (1, "")

    form = {"note": "Gate 2", "pickup_address": "Entrance 3", "version": trip.version}
    assert client.post(f"/trips/{trip.pk}/change/", form).status_code == 302
    trip.refresh_from_db()
    assert (trip.note, trip.pickup_address) == ("Gate 2", "Entrance 3")
    assert 'data-testid="trip-change"' in text(client.get(f"/trips/{trip.pk}/"))


@pytest.mark.parametrize(("status", "said"), [("in_transit", "tell the driver"), ("completed", "This trip is over.")])
def test_trip_that_cannot_change_says_why(client: Client, status: str, said: str) -> None:
    trip = TripFactory(status=status)
    client.force_login(trip.organiser)
    assert said in text(client.get(f"/trips/{trip.pk}/change/"))
    answer = client.post(f"/trips/{trip.pk}/change/", {"note": "x"})
    assert (answer.status_code, said in text(answer)) == (409, True)
    assert 'data-testid="trip-change"' not in text(client.get(f"/trips/{trip.pk}/"))


def test_page_is_for_who_booked_and_staff(client: Client) -> None:
    trip = TripFactory(status="accepted")
    assert trip.driver
    address = f"/trips/{trip.pk}/change/"
    assert client.get(address)["Location"].startswith("/accounts/login/")
    for user, status in ((PassengerFactory(), 404), (trip.driver.user, 403), (StaffFactory(), 200)):
        client.force_login(user)
        assert client.get(address).status_code == status
        assert client.post(f"{address}quote/", {}).status_code == status
    client.force_login(trip.driver.user)
    assert 'data-testid="trip-change"' not in text(client.get(f"/trips/{trip.pk}/"))
    assert client.post(address, {"note": "x"}).status_code == 403
    assert client.put(address).status_code == 405
    assert not TripChange.objects.exists()


def test_too_many_changes_say_when_to_come_back(client: Client, trip: Trip) -> None:
    ServiceSettings.objects.create(pk=1, changes_per_min=1)
    client.force_login(trip.organiser)
    client.post(f"/trips/{trip.pk}/change/", sent(trip, seats="3"))
    answer = client.post(f"/trips/{trip.pk}/change/", sent(trip, seats="4"))
    assert answer.status_code == 429
    assert "Retry-After" in answer
