"""Changing a booked trip: before a driver accepts, afterwards, by whom, at once, and what everybody reads of it."""

import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from realtime import events, groups
from realtime.models import Notification
from stepper.dates import short_date
from stepper.errors import Conflict, DomainError, InvalidInput, TooManyRequests
from stepper.models import ServiceSettings, User
from stepper.personal.erasure import _erase
from stepper.templatetags.units import money
from tests.factories import ALMATY, MEDEU, DriverFactory, OfferFactory, PassengerFactory, StaffFactory, TripFactory
from tests.outbox import frames, types
from tests.rest import as_user
from trips import accepting, bookings, changes, dispatch, quotes, unfilled
from trips.booking_requests import Traveller
from trips.models import Trip, TripChange, Wish
from trips.panel import Panel

pytestmark = pytest.mark.django_db

HOUR = dt.timedelta(hours=1)
KOK_TOBE = events.Place("Kok-Tobe", "", 43.2304, 76.9569)
MEDEU_PLACE = events.Place("Medeu", "Gornaya 465", *MEDEU)


def code_of(verb: Callable[..., Any], *args: Any, **options: Any) -> str:
    with pytest.raises(DomainError) as refused:
        verb(*args, **options)
    return refused.value.code


@pytest.fixture
def trip() -> Trip:
    """A trip for later that drivers are asked about; a child seat can be wished for, whatever tests before left."""
    Wish.objects.update_or_create(code="child_seat", defaults={"name_en": "Child seat", "is_active": True})
    made: Trip = TripFactory(in_=3 * HOUR)
    return made


def change(trip: Trip, user: User | None = None, **wanted: Any) -> Trip:
    return changes.change(trip.pk, user or trip.organiser, wanted)


# Before a driver accepts


def test_everything_that_was_booked_changes_with_its_price_and_the_booking(trip: Trip) -> None:
    later = trip.departure_at + HOUR
    before = trip.fare

    change(
        trip,
        dropoff=MEDEU_PLACE,
        departure_at=later,
        seats=3,
        vehicle_class="suv",
        bags=2,
        note="Two bicycles",
        traveller=Traveller("Aida Bekova", "8 701 555 12 34"),
        stops=(KOK_TOBE,),
        wishes=("child_seat",),
    )

    trip.refresh_from_db()
    assert (trip.dropoff_name, trip.dropoff_address, trip.dropoff_lat) == ("Medeu", "Gornaya 465", MEDEU[0])
    assert (trip.departure_at, trip.is_now, trip.search_until) == (later, False, later)
    assert trip.ends_at == later + dt.timedelta(minutes=trip.duration_min)
    assert (trip.seats, trip.vehicle_class, trip.bags, trip.note) == (3, "suv", 2, "Two bicycles")
    assert (trip.traveller_name, trip.traveller_phone) == ("Aida Bekova", "+77015551234")
    assert [(stop.name, stop.reached_at) for stop in trip.stop_list] == [("Kok-Tobe", None)]
    assert [wish.code for wish in trip.wish_list] == ["child_seat"]
    booked = quotes.quote_booking(trip.organiser, changes.request_of(trip)).chosen.price
    assert (trip.fare, trip.seat_price, trip.platform_fee) == (booked.fare, booked.seat_price, booked.platform_fee)
    assert trip.fare != before
    booking = trip.bookings.get()
    assert (booking.seats, booking.amount, trip.available_seats) == (3, trip.fare, 0)


def test_drivers_who_were_asked_are_asked_anew_also_who_declined() -> None:
    asked, declined, gave_back = (DriverFactory(at=ALMATY) for _one in range(3))
    offer = OfferFactory(driver=asked, trip__in_=HOUR)
    trip = offer.trip
    OfferFactory(trip=trip, driver=declined, status="declined")
    OfferFactory(trip=trip, driver=gave_back, status="accepted", released_at=timezone.now())

    change(trip, departure_at=trip.departure_at + HOUR)

    offer.refresh_from_db()
    assert (offer.status, offer.reason) == ("withdrawn", "changed")
    ended, card = frames(groups.driver(asked.pk))
    assert isinstance(ended, events.OfferExpired)
    assert (ended.offer_id, ended.reason) == (offer.pk, "changed")
    assert isinstance(card, events.OfferCreated)
    assert card.departure_at == trip.departure_at + HOUR
    assert set(trip.offers.filter(status="pending").values_list("driver", "round_number")) == {
        (asked.pk, 2),
        (declined.pk, 2),
    }
    # Who declines the changed trip is not asked about it again.
    accepting.decline(declined.pk, trip.offers.get(driver=declined, round_number=2).pk)
    trip.offers.filter(status="pending").update(status="expired", responded_at=timezone.now())
    Trip.objects.update(wave=0, reach_km=None)
    dispatch.start_round(trip.pk, at_once=True)
    assert set(trip.offers.filter(status="pending").values_list("driver", flat=True)) == {asked.pk}


@pytest.mark.parametrize("wanted", [{"note": "At the gate"}, {"traveller": Traveller("Aida", "8 701 555 12 34")}])
def test_what_no_driver_is_asked_about_leaves_the_offers_open(wanted: dict[str, Any]) -> None:
    offer = OfferFactory()

    change(offer.trip, **wanted)

    offer.refresh_from_db()
    assert offer.status == "pending"
    assert types(groups.driver(offer.driver.pk)) == []


@pytest.mark.parametrize(
    ("status", "asked_again"), [("published", "offered"), ("unfilled", "offered"), ("offered", "offered")]
)
def test_each_open_trip_can_change(status: str, asked_again: str) -> None:
    DriverFactory(at=ALMATY)
    trip = TripFactory(status=status, escalated_at=timezone.now())

    changed = change(trip, bags=1)

    assert (changed.status, changed.bags, changed.escalated_at) == (asked_again, 1, None)


def test_price_stays_as_it_was_booked_where_nothing_of_it_changes(trip: Trip) -> None:
    ServiceSettings.objects.create(pk=1, base_fare=5000)

    change(trip, departure_at=trip.departure_at + HOUR, note="Later")
    assert Trip.objects.get().fare == trip.fare

    assert changes.find_price(trip, {"seats": 2}).before == trip.fare
    after = changes.find_price(trip, {"seats": 2}).after
    change(trip, seats=2)
    assert Trip.objects.get().fare == after > trip.fare


def test_trip_for_now_keeps_its_departure_and_is_searched_for_as_long_as_a_new_one() -> None:
    trip = TripFactory(status="unfilled")
    until = timezone.now() + dt.timedelta(minutes=1)
    Trip.objects.update(search_until=until)

    change(trip, seats=2)
    changed = Trip.objects.get()
    assert (changed.is_now, changed.departure_at) == (True, trip.departure_at)
    assert changed.search_until > until

    change(trip, departure_at=timezone.now() + 5 * HOUR)
    change(trip, departure_at=None)
    changed = Trip.objects.get()
    assert changed.is_now
    assert changed.departure_at < timezone.now() < changed.search_until


def test_changing_twice_to_the_same_changes_nothing(trip: Trip) -> None:
    first = change(trip, seats=2, note=" Gate\u200b 2 ")
    DriverFactory(at=ALMATY)

    again = change(trip, seats=2, note="Gate 2")

    assert again.version == first.version
    assert TripChange.objects.count() == 1


@pytest.mark.parametrize(
    ("wanted", "fields"),
    [
        ({"seats": 5}, {"seats"}),
        ({"dropoff": events.Place("Almaty", "", *ALMATY)}, {"dropoff"}),
        ({"departure_at": timezone.now() - HOUR}, {"departure_at"}),
        ({"traveller": Traveller("", "1")}, {"traveller.name", "traveller.phone"}),
    ],
)
def test_change_is_checked_like_a_booking(trip: Trip, wanted: dict[str, Any], fields: set[str]) -> None:
    with pytest.raises(InvalidInput) as refused:
        change(trip, **wanted)
    assert refused.value.fields.keys() == fields
    assert Trip.objects.get().version == trip.version


def test_trip_that_leaves_late_can_change_in_everything_else() -> None:
    """Its driver gave it back late: it is looked for after its departure."""
    trip = TripFactory(status="unfilled", in_=-HOUR)
    assert change(trip, bags=3).bags == 3


def test_other_trips_of_the_account_count_but_not_the_trip_itself(trip: Trip) -> None:
    other = TripFactory(organiser=trip.organiser, in_=10 * HOUR)

    change(trip, departure_at=trip.departure_at + dt.timedelta(minutes=10))
    assert code_of(change, trip, departure_at=other.departure_at) == "booking.overlapping"
    change(trip, StaffFactory(), departure_at=other.departure_at)


def test_only_who_booked_it_and_staff_may(trip: Trip) -> None:
    assert code_of(change, trip, PassengerFactory(), seats=2) == "trip.not_found"
    fellow = PassengerFactory()
    trip.bookings.create(passenger=fellow, amount=0, status="confirmed")
    assert code_of(change, trip, fellow, seats=2) == "auth.forbidden"

    change(trip, StaffFactory(), seats=2)

    told = Notification.objects.get(user=trip.organiser)
    assert (told.title, told.action_url) == ("Our staff changed your trip", f"/trips/{trip.pk}/")
    assert TripChange.objects.get().role == "staff"


def test_limit_of_changes_is_counted(trip: Trip) -> None:
    ServiceSettings.objects.create(pk=1, changes_per_min=1)
    change(trip, seats=2)
    with pytest.raises(TooManyRequests):
        change(trip, seats=3)


# Two at once


def test_change_of_what_somebody_else_changed_meanwhile_is_refused(trip: Trip) -> None:
    seen = trip.version
    change(trip, StaffFactory(), departure_at=trip.departure_at + HOUR)

    with pytest.raises(Conflict) as refused:
        changes.change(trip.pk, trip.organiser, {"seats": 4}, version=seen)
    assert refused.value.code == "trip.changed_meanwhile"
    trip.refresh_from_db()
    assert trip.seats == 1

    # A further search for drivers is no such change.
    seen = trip.version
    trip.amend(next_look_at=timezone.now())
    assert changes.change(trip.pk, trip.organiser, {"seats": 4}, version=seen).seats == 4


def test_words_and_times_that_are_changed_elsewhere_count_as_well(trip: Trip) -> None:
    seen = trip.version
    unfilled.postpone(trip.pk, trip.organiser, trip.departure_at + HOUR)
    assert code_of(changes.change, trip.pk, trip.organiser, {"seats": 4}, version=seen) == "trip.changed_meanwhile"
    assert TripChange.objects.get().changes.keys() == {"departure_at"}


def race(*verbs: Callable[[], Any]) -> list[str]:
    def one(verb: Callable[[], Any]) -> str:
        try:
            verb()
        except Conflict as error:
            return error.code
        finally:
            connection.close()
        return "done"

    with ThreadPoolExecutor(len(verbs)) as pool:
        return [future.result() for future in [pool.submit(one, verb) for verb in verbs]]


@pytest.mark.django_db(transaction=True)
def test_accepting_and_changing_at_the_same_moment_is_one_of_both() -> None:
    for number in range(6):
        offer = OfferFactory(trip__in_=(3 + 30 * number) * HOUR)
        trip, driver_id = offer.trip, offer.driver.pk
        verbs: list[Callable[[], Any]] = [
            partial(accepting.accept, driver_id, offer.pk),
            partial(change, trip, seats=2),
        ]

        found = race(*(verbs if number % 2 else reversed(verbs)))

        trip.refresh_from_db()
        assert sorted(found) in (["done", "trip.already_accepted"], ["done", "offer.withdrawn"])
        was_accepted = "trip.already_accepted" in found
        assert (trip.driver_id, trip.seats) == ((driver_id, 1) if was_accepted else (None, 2))
        assert trip.bookings.get().seats == trip.seats


@pytest.mark.django_db(transaction=True)
def test_several_who_saw_the_same_trip_change_it_once() -> None:
    trip = TripFactory(status="unfilled", in_=3 * HOUR)
    verbs = [
        lambda seats=seats: changes.change(trip.pk, trip.organiser, {"seats": seats}, version=trip.version)
        for seats in (2, 3, 4)
    ]
    assert sorted(race(*verbs)) == ["done", "trip.changed_meanwhile", "trip.changed_meanwhile"]
    assert TripChange.objects.count() == 1


def test_search_that_began_before_the_pickup_moved_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its drivers are near the pickup that was, and its distances are those to it."""
    trip = TripFactory(status="published", in_=3 * HOUR)
    DriverFactory(at=ALMATY)
    survey = dispatch.shortlist_drivers

    def overtaken(*args: Any) -> dispatch.Shortlist:
        found = survey(*args)
        monkeypatch.setattr(dispatch, "shortlist_drivers", survey)
        change(trip, pickup=events.Place("Saryozek", "", 44.3572, 77.9779))
        return found

    monkeypatch.setattr(dispatch, "shortlist_drivers", overtaken)
    dispatch.start_round(trip.pk, at_once=True)

    trip.refresh_from_db()
    assert trip.pickup_name == "Saryozek"
    assert not trip.offers.exists()
    assert trip.next_look_at is not None


# After a driver has accepted


@pytest.mark.parametrize("status", ["accepted", "en_route", "driver_arrived"])
def test_driver_is_told_where_to_find_the_passenger(status: str) -> None:
    trip = TripFactory(status=status, in_=HOUR)
    assert trip.driver

    changed = change(trip, note="Blue coat", pickup_address="Gate 2")

    assert (changed.status, changed.note, changed.pickup_address) == (status, "Blue coat", "Gate 2")
    assert (changed.pickup_lat, changed.departure_at) == (trip.pickup_lat, trip.departure_at)
    told = Notification.objects.get(user=trip.driver.user)
    # What it is now they read on the trip, as long as they have it: not on a locked screen, nor behind the bell.
    assert (told.title, told.message) == ("Where to find the passenger has changed", trip.title)
    (frame,) = frames(groups.driver(trip.driver.pk))
    assert isinstance(frame, events.TripStatusUpdated)
    assert (frame.previous, frame.new, frame.version) == (status, status, changed.version)

    change(trip, note="Blue coat", pickup_address="Gate 2")
    assert Notification.objects.filter(user=trip.driver.user).count() == 1


@pytest.mark.parametrize(
    ("status", "wanted", "code"),
    [
        ("accepted", {"seats": 2}, "trip.already_accepted"),
        ("en_route", {"note": "x", "bags": 1}, "trip.already_accepted"),
        ("accepted", {"pickup": MEDEU_PLACE}, "trip.already_accepted"),
        ("passengers_boarded", {"note": "x"}, "trip.change_too_late"),
        ("in_transit", {"pickup_address": "x"}, "trip.change_too_late"),
        ("completed", {"note": "x"}, "trip.transition_refused"),
        ("cancelled", {"seats": 2}, "trip.transition_refused"),
    ],
)
def test_what_the_state_does_not_allow_is_refused(status: str, wanted: dict[str, Any], code: str) -> None:
    trip = TripFactory(status=status)
    assert code_of(change, trip, **wanted) == code
    assert Trip.objects.get().version == trip.version


# What is kept and said of it


def test_history_says_what_changed_from_what_to_what(trip: Trip) -> None:
    later, before = trip.departure_at + HOUR, trip.departure_at
    change(trip, departure_at=later, dropoff=MEDEU_PLACE, note="Gate 2")

    row = TripChange.objects.get()
    assert (row.role, row.by) == ("organiser", trip.organiser)
    assert row.changes["departure_at"] == [before.isoformat(), later.isoformat()]
    assert row.changes["dropoff_name"] == ["Almaty airport", "Medeu"]
    assert row.changes["fare"] == [trip.fare, Trip.objects.get().fare]
    assert row.words == {"note": ["", "Gate 2"]}


def test_timeline_says_it_to_each_viewer() -> None:
    departs = (timezone.now() + dt.timedelta(days=2)).replace(hour=6, minute=0, second=0, microsecond=0)
    trip = TripFactory(in_=departs - timezone.now(), seats=2)
    # The factory's own clock is read a moment later.
    moved = trip.departure_at - departs
    Trip.objects.update(departure_at=departs, ends_at=trip.ends_at - moved)
    trip.refresh_from_db()
    change(trip, departure_at=trip.departure_at + dt.timedelta(minutes=90), seats=3, note="x")
    change(trip, StaffFactory(), vehicle_class="van")

    def said(viewer: User) -> list[str]:
        return [mark.label for mark in Panel(Trip.objects.get(), viewer).timeline.marks if mark.state == "changed"]

    date = short_date(timezone.localtime(trip.departure_at))
    what = f"departure 11:00 → 12:30, {date}, seats 2 → 3, the note"
    assert said(trip.organiser) == [
        f"Changed by you: {what}",
        f"Changed by our staff: vehicle Sedan → Van, price {money(trip.fare)} → {money(Trip.objects.get().fare)}",
    ]
    assert said(StaffFactory())[0] == f"Changed by the passenger: {what}"
    labels = [mark.label for mark in Panel(Trip.objects.get(), trip.organiser).timeline.marks]
    assert labels.index("Booked") < labels.index(f"Changed by you: {what}") < labels.index("Looking for a driver")


def test_account_that_is_deleted_leaves_no_words_in_the_history() -> None:
    trip = TripFactory(status="published", in_=3 * HOUR)
    change(trip, note="For Aida, +77015551234", seats=2)
    bookings.cancel(trip.pk, trip.organiser)

    _erase(trip.organiser.pk)

    row = TripChange.objects.get()
    assert (row.words, row.changes["seats"]) == ({}, [1, 2])


# REST


def test_rest_keeps_the_price_of_a_quote(trip: Trip) -> None:
    client, body = as_user(trip.organiser), {"seats": 3, "vehicle_class": "van"}
    places = {"pickup": {"name": "A", "lat": trip.pickup_lat, "lng": trip.pickup_lng}}
    places["dropoff"] = {"name": "B", "lat": trip.dropoff_lat, "lng": trip.dropoff_lng}
    leaves = trip.departure_at.isoformat()
    quoted = client.post("/api/trips/quote", {**places, **body, "departure_at": leaves}, format="json").json()
    ServiceSettings.objects.update_or_create(pk=1, defaults={"base_fare": 9000})

    refused = client.patch(f"/api/trips/{trip.pk}", {**body, "seats": 2, "quote": quoted["quote"]}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (409, "quote.changed")
    body |= {"quote": quoted["quote"]}
    changed = client.patch(f"/api/trips/{trip.pk}", body, format="json")
    assert (changed.status_code, changed.json()["fare"]) == (200, quoted["fare"])
    # What costs nothing is not held up by it.
    noted = client.patch(f"/api/trips/{trip.pk}", {"note": "Gate", "quote": "old"}, format="json")
    assert (noted.status_code, noted.json()["fare"]) == (200, quoted["fare"])


def test_rest_changes_what_the_body_has(trip: Trip) -> None:
    client = as_user(trip.organiser)
    path = f"/api/trips/{trip.pk}"

    answer = client.patch(path, {"seats": 2, "version": trip.version}, format="json")
    assert (answer.status_code, answer.json()["seats"], answer.json()["bags"]) == (200, 2, 0)
    trip.refresh_from_db()
    assert trip.pickup_name == "Almaty"

    for body, status, code in (
        ({"seats": 3, "version": 0}, 409, "trip.changed_meanwhile"),
        ({"seats": "many"}, 400, "input.invalid"),
        ({"pickup": {"lat": 1, "lng": 1}}, 400, "input.invalid"),
        ({"seats": 9}, 400, "input.invalid"),
    ):
        refused = client.patch(path, body, format="json")
        assert (refused.status_code, refused.json()["code"]) == (status, code), body
    assert as_user(PassengerFactory()).patch(path, {"seats": 3}, format="json").status_code == 404

    accepted = client.patch(path, {"departure_at": None}, format="json").json()
    assert accepted["is_now"] is True


def test_wish_that_is_offered_no_more_stays_unless_others_are_chosen(trip: Trip) -> None:
    change(trip, wishes=("child_seat",))
    Wish.objects.filter(code="child_seat").update(is_active=False)

    change(trip, bags=1, wishes=("child_seat",))
    assert [wish.code for wish in trip_of(trip).wish_list] == ["child_seat"]
    assert code_of(change, trip, wishes=("child_seat", "quiet")) == "input.invalid"
    change(trip, wishes=())
    assert trip_of(trip).wish_list == []


def trip_of(trip: Trip) -> Trip:
    return Trip.objects.get(pk=trip.pk)
