"""Trips that nobody takes: told once, searched farther for, put off."""

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from drivers.models import Driver
from realtime import groups
from realtime.models import Notification
from stepper.errors import DomainError
from stepper.models import ServiceSettings, User
from stepper.server.dispatcher import supervise_due
from tests.factories import ALMATY, DriverFactory, OfferFactory, PassengerFactory, StaffFactory, TripFactory
from tests.outbox import frames, types
from trips import accepting, changes, deadlines, unfilled, waking
from trips.models import Trip

pytestmark = pytest.mark.django_db

MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def trip() -> Trip:
    return TripFactory(status="unfilled")


def there(km: float) -> Driver:
    return DriverFactory(at=(ALMATY[0] + km / 111.195, ALMATY[1]))


def code_of(verb: Any, *args: Any) -> str:
    with pytest.raises(DomainError) as refused:
        verb(*args)
    return refused.value.code


def booked(trip: Trip, ago: dt.timedelta) -> Trip:
    Trip.objects.filter(pk=trip.pk).update(created_at=timezone.now() - ago)
    return trip


# Told once


def test_staff_and_passenger_are_told_once(trip: Trip) -> None:
    staff = StaffFactory(is_superuser=True)
    booked(trip, 11 * MINUTE)

    supervise_due()
    supervise_due()

    trip.refresh_from_db()
    assert trip.escalated_at is not None
    told = Notification.objects.order_by("user_id").values_list("user", "title", "action_url")
    assert sorted(told) == sorted(
        [
            (trip.organiser_id, "No driver yet", f"/trips/{trip.pk}/"),
            (staff.pk, "Nobody takes a trip", f"/admin/trips/trip/{trip.pk}/change/"),
        ]
    )
    assert "trip.status.updated" in types(groups.trip(trip.pk))


@pytest.mark.parametrize("status", ["published", "offered"])
def test_trip_that_is_still_offered_counts_as_well(status: str) -> None:
    trip = booked(TripFactory(status=status), 11 * MINUTE)

    assert unfilled.escalate_due() == 1

    trip.refresh_from_db()
    assert trip.status == status


@pytest.mark.parametrize("status", ["accepted", "en_route", "completed", "cancelled", "draft"])
def test_trip_that_looks_for_nobody_is_left(status: str) -> None:
    booked(TripFactory(status=status), 11 * MINUTE)

    assert unfilled.escalate_due() == 0


@pytest.mark.parametrize(
    ("ago", "leaves_in", "told"),
    [(9, None, 0), (11, None, 1), (600, 3 * HOUR, 0), (600, HOUR, 1), (5, HOUR, 0)],
)
def test_time_comes_after_so_long_and_not_before_departure_is_near(
    ago: int, leaves_in: dt.timedelta | None, told: int
) -> None:
    booked(TripFactory(status="unfilled", **({"in_": leaves_in} if leaves_in else {})), ago * MINUTE)

    assert unfilled.escalate_due() == told


def test_nobody_is_told_where_staff_want_it_so(trip: Trip) -> None:
    ServiceSettings.objects.create(pk=1, escalate_after_min=0)
    booked(trip, HOUR)

    assert unfilled.escalate_due() == 0


def test_many_at_once_are_one_notification_for_staff() -> None:
    StaffFactory(is_superuser=True)
    for _trip in range(3):
        booked(TripFactory(status="unfilled"), HOUR)

    assert unfilled.escalate_due() == 3

    assert Notification.objects.filter(title="Nobody takes these trips").count() == 1


def test_staff_find_it_in_the_list(client: Client) -> None:
    trip, other = TripFactory(status="unfilled", escalated_at=timezone.now()), TripFactory(status="unfilled")
    client.force_login(StaffFactory(is_superuser=True))

    page = client.get(reverse("admin:trips_trip_changelist"), {"attention": "unfilled"}).content.decode()

    assert "Nobody takes it, told at" in page
    assert f"/admin/trips/trip/{trip.pk}/change/" in page
    assert f"/admin/trips/trip/{other.pk}/change/" not in page


# Farther


def test_widening_asks_drivers_farther_away_at_once(trip: Trip) -> None:
    driver = there(80)

    unfilled.widen(trip.pk, trip.organiser, 100)

    trip.refresh_from_db()
    assert (trip.status, trip.radius_km) == ("offered", 100)
    assert trip.offers.get().driver == driver


@pytest.mark.parametrize(("km", "asked"), [(80, True), (120, False)])
def test_driver_far_away_who_comes_online_is_asked_about_a_widened_trip(trip: Trip, km: float, asked: bool) -> None:
    unfilled.widen(trip.pk, trip.organiser, 100)
    Trip.objects.update(next_look_at=timezone.now() + HOUR)

    waking.wake_trips_around([there(km).pk])
    deadlines.start_due_rounds()

    assert trip.offers.exists() == asked


def test_widening_again_to_the_same_changes_nothing(trip: Trip) -> None:
    unfilled.widen(trip.pk, trip.organiser, 100)
    trip.refresh_from_db()
    version = trip.version

    for radius_km in (100, 60, 20):
        unfilled.widen(trip.pk, trip.organiser, radius_km)

    trip.refresh_from_db()
    assert (trip.version, trip.radius_km) == (version, 100)


@pytest.mark.parametrize("radius_km", [0, -5, 201, float("nan")])
def test_radius_out_of_range_is_refused(trip: Trip, radius_km: float) -> None:
    assert code_of(unfilled.widen, trip.pk, trip.organiser, radius_km) == "input.invalid"


@pytest.mark.parametrize(("radius_km", "offered"), [(None, 100), (100, 200), (150, 200), (200, None)])
def test_twice_as_far_is_offered_up_to_the_limit(trip: Trip, radius_km: float | None, offered: float | None) -> None:
    trip.radius_km = radius_km

    assert unfilled.next_radius(trip, ServiceSettings.current()) == offered


# Later


def test_putting_off_asks_anew_with_the_new_time() -> None:
    driver = there(1)
    offer = OfferFactory(driver=driver)
    trip = offer.trip
    later = timezone.now() + HOUR

    unfilled.postpone(trip.pk, trip.organiser, later)

    offer.refresh_from_db()
    assert (offer.status, offer.reason) == ("withdrawn", "changed")
    trip.refresh_from_db()
    assert (trip.status, trip.departure_at, trip.is_now, trip.search_until) == ("offered", later, False, later)
    assert trip.ends_at == later + trip.duration_min * MINUTE
    again = trip.offers.get(status="pending")
    assert (again.driver, again.round_number) == (driver, offer.round_number + 1)
    card = frames(groups.driver(driver.pk))[-1]
    assert card.departure_at == later


def test_putting_off_twice_to_the_same_changes_nothing(trip: Trip) -> None:
    later = timezone.now() + HOUR
    unfilled.postpone(trip.pk, trip.organiser, later)
    trip.refresh_from_db()
    version = trip.version

    unfilled.postpone(trip.pk, trip.organiser, later)

    trip.refresh_from_db()
    assert trip.version == version


def test_trip_that_was_put_off_may_be_told_of_again(trip: Trip) -> None:
    booked(trip, HOUR)
    unfilled.escalate_due()

    unfilled.postpone(trip.pk, trip.organiser, timezone.now() + HOUR)

    assert unfilled.escalate_due() == 1


@pytest.mark.parametrize("after", [-HOUR, -MINUTE, dt.timedelta(days=31)])
def test_time_that_is_not_later_is_refused(trip: Trip, after: dt.timedelta) -> None:
    assert code_of(unfilled.postpone, trip.pk, trip.organiser, timezone.now() + after) == "input.invalid"


def test_time_is_as_far_ahead_as_trips_are_booked(trip: Trip) -> None:
    ServiceSettings.objects.create(pk=1, book_ahead_days=60)
    later = timezone.now() + dt.timedelta(days=31)

    assert unfilled.postpone(trip.pk, trip.organiser, later).departure_at == later


# Who and when

VERBS = [(unfilled.widen, 100.0), (unfilled.postpone, timezone.now() + 5 * HOUR)]


@pytest.mark.parametrize(("verb", "value"), VERBS, ids=["widen", "postpone"])
def test_only_who_booked_it_and_staff_may(trip: Trip, verb: Any, value: Any) -> None:
    assert code_of(verb, trip.pk, PassengerFactory(), value) == "trip.not_found"
    fellow = PassengerFactory()
    trip.bookings.create(passenger=fellow, amount=0, status="confirmed")
    assert code_of(verb, trip.pk, fellow, value) == "auth.forbidden"

    verb(trip.pk, StaffFactory(), value)


@pytest.mark.parametrize("status", ["accepted", "en_route", "completed", "cancelled"])
@pytest.mark.parametrize(("verb", "value"), VERBS, ids=["widen", "postpone"])
def test_trip_that_looks_for_nobody_cannot_be_changed(verb: Any, value: Any, status: str) -> None:
    trip = TripFactory(status=status)

    assert code_of(verb, trip.pk, trip.organiser, value) == "trip.transition_refused"


def test_offer_of_the_old_time_cannot_be_accepted_any_more() -> None:
    offer = OfferFactory()
    unfilled.postpone(offer.trip.pk, offer.trip.organiser, timezone.now() + HOUR)

    assert code_of(accepting.accept, offer.driver.pk, offer.pk) == "offer.withdrawn"


# The page and REST


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_page_offers_both_where_nobody_takes_it(trip: Trip) -> None:
    page = signed_in(trip.organiser).get(f"/trips/{trip.pk}/").content.decode()
    assert "Search farther, up to 100 km" in page
    assert page.count('name="departure_at"') == 3

    other = TripFactory(status="offered")
    assert "unfilled-choices" not in signed_in(other.organiser).get(f"/trips/{other.pk}/").content.decode()


def test_page_does_both(trip: Trip) -> None:
    client = signed_in(trip.organiser)
    later = (timezone.now() + HOUR).replace(microsecond=0)

    assert client.post(f"/trips/{trip.pk}/widen/", {"radius_km": "100.0"}).status_code == 302
    assert client.post(f"/trips/{trip.pk}/postpone/", {"departure_at": later.isoformat()}).status_code == 302

    trip.refresh_from_db()
    assert (trip.radius_km, trip.departure_at) == (100, later)


@pytest.mark.parametrize(("verb", "value"), [("widen", "far"), ("widen", "1e9"), ("postpone", "soon")])
def test_page_says_what_is_wrong(trip: Trip, verb: str, value: str) -> None:
    name = "radius_km" if verb == "widen" else "departure_at"

    page = signed_in(trip.organiser).post(f"/trips/{trip.pk}/{verb}/", {name: value}, follow=True)

    assert [message.level_tag for message in page.context["messages"]] == ["error"]


def test_rest_does_both(trip: Trip) -> None:
    client = signed_in(trip.organiser)
    later = (timezone.now() + HOUR).replace(microsecond=0)

    def post(verb: str, body: dict[str, Any]) -> Any:
        return client.post(f"/api/trips/{trip.pk}/{verb}", body, content_type="application/json")

    assert post("widen", {"radius_km": 100}).json()["radius_km"] == 100
    assert (
        dt.datetime.fromisoformat(post("postpone", {"departure_at": later.isoformat()}).json()["departure_at"]) == later
    )
    assert post("widen", {"radius_km": "x"}).json()["code"] == "input.invalid"
    assert post("postpone", {}).json()["code"] == "input.invalid"
    assert post("widen", {"radius_km": 500}).status_code == 400


@pytest.mark.parametrize(("ahead", "asked"), [(24 * HOUR, False), (MINUTE, True)])
def test_page_says_when_drivers_are_asked_about_a_trip_far_ahead(ahead: dt.timedelta, asked: bool) -> None:
    trip = TripFactory(status="published", in_=96 * HOUR, next_look_at=timezone.now() + ahead)

    page = signed_in(trip.organiser).get(f"/trips/{trip.pk}/").content.decode()

    assert ("Drivers are asked from" in page) != asked
    assert ("Asking drivers nearby" in page) == asked


def test_trip_put_off_far_ahead_is_booked_and_not_without_a_driver() -> None:
    """Nobody could be asked for the first time; drivers are asked about the new one later."""
    trip = TripFactory(status="unfilled", in_=HOUR)
    client = signed_in(trip.organiser)
    assert "Try again now" in client.get(f"/trips/{trip.pk}/").content.decode()

    changes.change(trip.pk, trip.organiser, {"departure_at": timezone.now() + 14 * 24 * HOUR})

    page = client.get(f"/trips/{trip.pk}/").content.decode()
    assert "Drivers are asked from" in page
    assert [words for words in ("No driver yet", "Try again now", "Or go later") if words in page] == []
