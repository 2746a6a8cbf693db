"""Handing a trip over on the way: two drivers, one fare, and a passenger who arrives."""

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from drivers import metrics
from drivers.earnings import listing, sums
from drivers.earnings.periods import Kind, Period, current
from drivers.history import read_history
from drivers.models import Driver, DriverMetrics, TrailPoint
from drivers.positions.tracking import tracked_trip
from realtime import groups
from realtime.models import Notification
from stepper.errors import Conflict, DomainError
from stepper.models import ServiceSettings, User
from stepper.personal import export
from tests.drives import step_there
from tests.factories import (
    AIRPORT,
    ALMATY,
    DriverFactory,
    OfferFactory,
    PassengerFactory,
    StaffFactory,
    TripFactory,
    place,
)
from tests.outbox import frames, rechecked, types
from tests.rest import as_user
from trips import (
    access,
    assignment,
    bookings,
    changes,
    deadlines,
    driving,
    handover,
    messages,
    ratings,
    receipts,
    unfilled,
)
from trips.candidates import find_candidates
from trips.dispatch import start_round
from trips.models import Offer, Rating, Trip, TripLeg, TripMessage
from trips.panel import Panel

pytestmark = pytest.mark.django_db

# A third of the way to the airport.
HALFWAY = (ALMATY[0] + (AIRPORT[0] - ALMATY[0]) / 3, ALMATY[1] + (AIRPORT[1] - ALMATY[1]) / 3)
REASON = "Engine"


class Cast:
    """A trip in transit that stands a third of the way, and who is concerned."""

    def __init__(self, status: str = "in_transit", **fields: Any) -> None:
        self.staff = StaffFactory.create()
        self.first = DriverFactory.create(at=ALMATY, user__name="Askar First")
        self.second = DriverFactory.create(at=AIRPORT, user__name="Bolat Second")
        self.trip = TripFactory.create(status="accepted", driver=self.first, in_=dt.timedelta(minutes=5), **fields)
        OfferFactory.create(trip=self.trip, driver=self.first, status="accepted")
        for step in ("en_route", "driver_arrived", "passengers_boarded", "in_transit"):
            if self.trip.status != status:
                step_there(self.trip.pk, step)
                self.trip.refresh_from_db()
        place(self.first, *HALFWAY)

    def hand_over(self, **fields: Any) -> Trip:
        asked: dict[str, Any] = {"reason": REASON, **fields}
        return handover.hand_over(self.trip.pk, asked.pop("driver", self.second).pk, self.staff, **asked)

    def refused(self, **fields: Any) -> DomainError:
        before = Trip.objects.values().get(pk=self.trip.pk)
        with pytest.raises(DomainError) as error:
            self.hand_over(**fields)
        assert Trip.objects.values().get(pk=self.trip.pk) == before
        assert not TripLeg.objects.exists()
        return error.value

    def drive_on(self) -> Trip:
        for step in ("en_route", "driver_arrived", "passengers_boarded", "in_transit", "arrived", "completed"):
            step_there(self.trip.pk, step)
        self.trip.refresh_from_db()
        return self.trip


@pytest.fixture
def cast() -> Cast:
    return Cast()


def today() -> Period:
    return current(Kind.DAY, timezone.get_default_timezone(), timezone.now())


@pytest.mark.parametrize("status", ["passengers_boarded", "in_transit"])
def test_new_driver_gets_the_trip_where_the_passengers_wait(status: str) -> None:
    cast = Cast(status)

    for _pressed_twice in range(2):
        trip = cast.hand_over(place="Petrol station at km 6")

    assert (trip.status, trip.driver_id, trip.vehicle_id) == ("accepted", cast.second.pk, cast.second.vehicle_id)
    assert (trip.pickup_name, trip.pickup_lat, trip.pickup_lng) == ("Petrol station at km 6", *HALFWAY)
    assert trip.departure_at == trip.accepted_at
    assert trip.departure_at < trip.ends_at
    leg = trip.legs.get()
    assert (leg.number, leg.driver, leg.vehicle) == (1, cast.first, cast.first.vehicle)
    assert (leg.from_name, leg.to_name) == ("Almaty", "Petrol station at km 6")
    row = trip.transitions.order_by("-pk")[0]
    assert (row.from_status, row.to_status, row.role, row.by, row.note) == (
        status,
        "accepted",
        "staff",
        cast.staff,
        REASON,
    )


def test_all_three_are_told_once(cast: Cast) -> None:
    Notification.objects.all().delete()
    cast.hand_over()
    cast.hand_over()

    people = [cast.trip.organiser_id, cast.first.user_id, cast.second.user_id]
    assert sorted(Notification.objects.values_list("user", flat=True)) == sorted(people)
    moved = [frame for frame in frames(groups.driver(cast.first.pk)) if getattr(frame, "new", "") == "accepted"]
    assert [(frame.driver_name, frame.note) for frame in moved] == [("Bolat S.", "")]
    assert types(groups.driver(cast.second.pk))[:2] == ["trip.status.updated", "trip.offer.accepted"]
    assert "trip.offer.accepted" in types(groups.trip(cast.trip.pk))
    assert all(rechecked(groups.user(driver.user_id)) for driver in (cast.first, cast.second))


def test_first_driver_loses_the_trip_and_is_not_blamed(cast: Cast) -> None:
    TripMessage.objects.create(
        trip=cast.trip, driver=cast.first, sender=cast.trip.organiser, role="organiser", key="1", text="hello"
    )
    cast.hand_over()

    former = cast.first.user
    assert not access.visible_to(former).exists()
    with pytest.raises(DomainError):
        messages.read_conversation(former, cast.trip.pk)
    assert messages.read_conversation(cast.second.user, cast.trip.pk).messages == []
    with pytest.raises(DomainError):
        driving.update_status(cast.first.pk, cast.trip.pk, status="arrived")
    cast.first.refresh_from_db()
    # Their vehicle stands: nobody asks them before they say that it drives.
    assert (cast.first.availability, cast.first.is_online) == ("offline", False)
    metrics.schedule_count(cast.first.pk)
    metrics.count_due(10)
    assert DriverMetrics.objects.get(driver=cast.first).cancellations == 0
    assert not Offer.objects.filter(released_at__isnull=False).exists()


@pytest.mark.parametrize(
    ("driven_km", "left_km", "part", "expected"),
    [
        (1, 2, None, (4.0, 334, 50)),
        (0, 0, None, (0.0, 0, 0)),
        (3, 0, None, (12.0, 1001, 150)),
        (1, 2, 0, (4.0, 0, 0)),
        (1, 2, 500, (4.0, 500, 75)),
        (1, 2, 1001, (4.0, 1001, 150)),
    ],
)
def test_money_is_split_in_whole_tenge(
    driven_km: float, left_km: float, part: int | None, expected: tuple[float, int, int]
) -> None:
    trip = Trip(distance_km=12.0, fare=1001, platform_fee=150, driver_earnings=851)
    split = handover.split_money(trip, driven_km=driven_km, left_km=left_km, part=part)
    assert tuple(split) == expected
    trip.former_fare, trip.former_fee, trip.former_km = split.fare, split.fee, split.km
    assert (split.fare + trip.own_fare, split.fee + trip.own_fee) == (1001, 150)
    assert split.fare - split.fee + trip.own_earnings == 851


def test_each_driver_earns_their_part_and_all_of_it_is_the_fare(cast: Cast) -> None:
    booked = Trip.objects.values("pickup_name", "pickup_lat", "departure_at", "ends_at", "is_now").get()
    trip = cast.hand_over(place="km 6")
    assert (trip.own_fare, trip.former_fare) == (trip.fare - TripLeg.objects.get().fare, TripLeg.objects.get().fare)
    trip = cast.drive_on()

    assert frames(groups.driver(cast.first.pk))[-1].changed == ["trips"]
    # As it was booked: for receipts, lists and "book again".
    assert Trip.objects.values(*booked).get() == booked
    rows = {driver.pk: listing.all_trips(driver.pk, today())[0] for driver in (cast.first, cast.second)}
    first, second = rows[cast.first.pk], rows[cast.second.pk]
    assert (first.pickup, first.dropoff, second.pickup, second.dropoff) == ("Almaty", "km 6", "km 6", "Almaty airport")
    assert first.fare + second.fare == trip.fare
    assert first.fee + second.fee == trip.platform_fee
    assert first.earned + second.earned == trip.driver_earnings
    assert first.distance_km + second.distance_km == pytest.approx(trip.distance_km)
    assert 0.3 < first.fare / trip.fare < 0.37
    # The passenger paid the second one, who owes the service the fee and what the first one earned.
    assert (first.cash, second.cash) == (0, trip.fare)
    assert (first.fee_owed, second.fee_owed) == (-first.earned, trip.fare - second.earned)
    for driver, row in ((cast.first, first), (cast.second, second)):
        (total,) = [one for one in sums.by_span(driver.pk, today()) if one.trips]
        assert total == sums.Sums(1, row.fare, row.fee, row.earned, row.fee_owed)
        week = sums.for_driver(driver, timezone.now())
        assert (week.today, week.today_trips, week.week) == (row.earned, 1, row.earned)
        assert [one.trip_id for one in listing.page(driver.pk, today()).trips] == [trip.pk]
        (past,) = read_history(driver, "", now=timezone.now(), settings=ServiceSettings.current()).trips
        assert (past.part.earned, past.part.pickup) == (row.earned, row.pickup)


def test_both_drivers_and_the_passenger_rate_each_other(cast: Cast) -> None:
    cast.hand_over()
    passenger = cast.trip.organiser
    with pytest.raises(Conflict) as early:
        ratings.rate(cast.trip.pk, cast.first.user, stars=5)
    assert early.value.code == "rating.too_early"
    cast.drive_on()

    for stars in (4, 3):
        ratings.rate(cast.trip.pk, passenger, stars=stars, driver_id=cast.first.pk)
    ratings.rate(cast.trip.pk, passenger, stars=5)
    ratings.rate(cast.trip.pk, cast.first.user, stars=2)
    ratings.rate(cast.trip.pk, cast.second.user, stars=4)

    given = Rating.objects.order_by("pk").values_list("by", "about", "leg", "stars")
    assert list(given) == [
        (passenger.pk, cast.first.user_id, 1, 3),
        (passenger.pk, cast.second.user_id, 0, 5),
        (cast.first.user_id, passenger.pk, 1, 2),
        (cast.second.user_id, passenger.pk, 0, 4),
    ]
    sums_of = dict(Driver.objects.values_list("pk", "rating_sum"))
    assert (sums_of[cast.first.pk], sums_of[cast.second.pk]) == (3, 5)
    assert User.objects.get(pk=passenger.pk).rating_sum == 6
    for stranger in (PassengerFactory.create(), DriverFactory.create().user):
        with pytest.raises(DomainError):
            ratings.rate(cast.trip.pk, stranger, stars=1, driver_id=cast.first.pk)
    with pytest.raises(DomainError):
        ratings.rate(cast.trip.pk, passenger, stars=1, driver_id=DriverFactory.create().pk)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"reason": " "}, "input.invalid"),
        ({"part": 1_000_000}, "input.invalid"),
        ({"part": -1}, "input.invalid"),
        ({"place": "93.0, 76.9"}, "input.invalid"),
    ],
)
def test_what_staff_enter_is_checked(cast: Cast, fields: dict[str, Any], code: str) -> None:
    assert cast.refused(**fields).code == code


def test_new_driver_has_to_be_able_to_take_the_trip(cast: Cast) -> None:
    assert cast.refused(driver=cast.first).code == "driver.had_trip"
    Driver.objects.filter(pk=cast.second.pk).update(licence_expires_on=timezone.localdate() - dt.timedelta(days=1))
    assert cast.refused().code == "driver.licence_expired"
    Driver.objects.filter(pk=cast.second.pk).update(approval="suspended", availability="offline")
    assert cast.refused().code == "driver.not_approved"
    busy = TripFactory.create(status="in_transit", driver=DriverFactory.create(at=ALMATY)).driver
    assert cast.refused(driver=busy).code == "driver.overlap"


def test_handing_over_is_for_staff_and_with_passengers_on_board() -> None:
    cast = Cast("driver_arrived")
    assert cast.refused().code == "trip.transition_refused"
    cast.staff = cast.first.user
    assert cast.refused().code == "auth.forbidden"


def test_place_is_coordinates_a_known_place_or_the_drivers_position(cast: Cast) -> None:
    cast.first.position.delete()
    assert "place" in cast.refused(place="Petrol station").fields
    trip = cast.hand_over(place="43.3000, 76.9000")
    assert (trip.pickup_lat, trip.pickup_lng) == (43.3, 76.9)


def test_colleague_drives_on_with_the_same_vehicle(cast: Cast) -> None:
    Driver.objects.filter(pk=cast.second.pk).update(vehicle=cast.first.vehicle, is_online=False, availability="offline")
    trip = cast.hand_over()
    assert (trip.driver_id, trip.vehicle_id) == (cast.second.pk, cast.first.vehicle_id)
    assert cast.drive_on().status == "completed"
    rows = dict(receipts.read_receipt(trip.organiser, trip.pk).rows)
    plate = cast.first.vehicle.plate_text.replace(" ", "\N{NO-BREAK SPACE}")
    assert (rows["Driver"], rows["Vehicle"].count(plate)) == ("Askar F.; Bolat S.", 1)


def test_under_way_only_staff_end_it_or_give_it_to_somebody_else(cast: Cast) -> None:
    trip = cast.hand_over()
    codes = []
    for verb in (
        lambda: bookings.cancel(trip.pk, trip.organiser, "no"),
        lambda: assignment.release(cast.second.pk, trip.pk, "no"),
        lambda: changes.change(trip.pk, trip.organiser, {"seats": 2}),
    ):
        with pytest.raises(DomainError) as refused:
            verb()
        codes.append(refused.value.code)
    for step in ("en_route", "driver_arrived"):
        step_there(trip.pk, step)
    with pytest.raises(DomainError) as refused:
        driving.update_status(cast.second.pk, trip.pk, status="no_show")
    assert [*codes, refused.value.code] == [
        "trip.cancel_too_late", "trip.release_too_late", "trip.change_too_late", "trip.handed_over",
    ]  # fmt: skip


def test_taken_off_the_second_driver_it_is_never_offered_to_the_first(cast: Cast) -> None:
    trip = cast.hand_over()
    assignment.take_off(trip.pk, cast.staff, "Stuck")
    Driver.objects.filter(pk=cast.first.pk).update(is_online=True, availability="available")
    place(Driver.objects.get(pk=cast.first.pk), *HALFWAY)
    third = DriverFactory.create(at=HALFWAY)
    # Less than the whole trip pays, and more than what is left of it.
    DriverFactory.create(at=HALFWAY, min_earnings=trip.own_earnings + 1)

    shown = {one.driver: one.judged.refused for one in find_candidates(trip)}
    assert shown[cast.first] == ["had_trip"]

    start_round(trip.pk, at_once=True)

    asked = set(Offer.objects.filter(trip=trip, status="pending").values_list("driver", flat=True))
    assert asked == {third.pk}
    assert Offer.objects.get(driver=third).distance_km < 0.1
    assert frames(groups.driver(third.pk))[-1].earnings == trip.own_earnings < trip.driver_earnings
    with pytest.raises(Conflict) as refused:
        assignment.assign(trip.pk, cast.first.pk, cast.staff)
    assert refused.value.code == "driver.had_trip"
    trip.refresh_from_db()
    with pytest.raises(Conflict):
        changes.change(trip.pk, trip.organiser, {"seats": 2})
    with pytest.raises(Conflict):
        bookings.cancel(trip.pk, trip.organiser)


def test_trail_has_the_legs_and_passengers_see_the_rides_alone(cast: Cast) -> None:
    def point(driver: Driver, seconds: int) -> None:
        at = timezone.now() + dt.timedelta(seconds=seconds)
        TrailPoint.objects.create(trip=cast.trip, driver=driver, lat=43, lng=76, recorded_at=at)

    point(cast.first, -60)  # on the way to the pickup
    point(cast.first, 0)
    trip = cast.hand_over()
    point(cast.second, 0)  # on the way to the passengers
    assert tracked_trip(trip, ServiceSettings.current()).leg == 2
    assert access.trail_visible_to(trip.organiser, trip).count() == 1
    for step in ("en_route", "driver_arrived", "passengers_boarded"):
        step_there(trip.pk, step)
    point(cast.second, 0)
    trip.refresh_from_db()
    assert access.trail_visible_to(trip.organiser, trip).count() == 2
    assert access.trail_visible_to(cast.first.user, trip).count() == 2
    assert access.trail_visible_to(cast.staff, trip).count() == 4


def test_page_and_rest_name_all_who_drove(cast: Cast) -> None:
    trip = cast.hand_over(place="km 6")
    panel = Panel(access.trip_for(trip.organiser, trip.pk), trip.organiser)
    assert "Bolat" in panel.headline.sentence
    assert [mark.label for mark in panel.timeline.marks[:3]] == [
        "Booked",
        "Askar drove to km 6",
        "Our staff chose Bolat",
    ]
    cast.drive_on()
    panel = Panel(access.trip_for(trip.organiser, trip.pk), trip.organiser)
    assert [former.name for former in panel.actions.former_drivers] == ["Askar"]
    answered = as_user(trip.organiser).get(f"/api/trips/{trip.pk}").json()
    (leg,) = answered["legs"]
    assert (leg["number"], leg["driver"]["name"], leg["driver"]["phone"], leg["dropoff"]) == (
        1,
        "Askar F.",
        None,
        "km 6",
    )
    assert (
        as_user(trip.organiser)
        .post(f"/api/trips/{trip.pk}/rate", {"stars": 4, "driver_id": cast.first.pk}, format="json")
        .status_code
        == 201
    )
    exported = export._of_driver("driver")
    assert TripLeg.objects.filter(exported(export.Person(cast.first.user_id, cast.first.pk, "en"))).count() == 1


def test_metrics_know_the_trip_of_both(cast: Cast) -> None:
    cast.hand_over()
    cast.drive_on()
    for driver in (cast.first, cast.second):
        metrics.schedule_count(driver.pk)
    metrics.count_due(10)
    assert all(DriverMetrics.objects.values_list("last_trip_at", flat=True))


def test_pages_rate_each_driver_and_the_former_one_rates_back(cast: Cast) -> None:
    cast.hand_over(place="km 6")
    cast.drive_on()
    passenger, former = Client(), Client()
    passenger.force_login(cast.trip.organiser)
    former.force_login(cast.first.user)
    url = f"/trips/{cast.trip.pk}/rate/"

    assert "How was Askar, who drove to km 6?" in passenger.get(f"/trips/{cast.trip.pk}/").content.decode()
    assert passenger.post(url, {"stars": "4", "driver": cast.first.pk}).status_code == 302
    assert former.post(f"/driver/trips/{cast.trip.pk}/rate/", {"stars": "3"}).status_code == 302
    # Somebody who has no part in it: said on the page, which stays.
    assert passenger.post(url, {"stars": "4", "driver": DriverFactory.create().pk}).status_code == 302

    assert list(Rating.objects.order_by("pk").values_list("role", "leg", "stars")) == [
        ("organiser", 1, 4),
        ("driver", 1, 3),
    ]
    assert former.get(f"/trips/{cast.trip.pk}/").status_code == 404


def test_history_of_staffs_doing_has_both_drivers(cast: Cast) -> None:
    trip = cast.hand_over()
    rows = list(trip.staff_assignments.order_by("pk"))
    assert [(row.driver_id, row.ended_at is None) for row in rows][-1] == (trip.driver_id, True)
    assert not trip.staff_assignments.running().filter(driver=cast.first).exists()
    # What the first driver had answered is theirs, and nothing was given back.
    assert not trip.offers.filter(driver=cast.first, released_at__isnull=False).exists()


def test_passengers_on_the_road_are_not_left_when_a_search_ends(cast: Cast) -> None:
    trip = cast.hand_over()
    assignment.take_off(trip.pk, cast.staff, "Stuck")
    Trip.objects.filter(pk=trip.pk).update(search_until=timezone.now() - dt.timedelta(seconds=1))

    deadlines.cancel_due_searches()

    trip.refresh_from_db()
    assert (trip.status, trip.search_until > timezone.now()) == ("offered", True)


def test_a_trip_under_way_is_not_put_off(cast: Cast) -> None:
    trip = cast.hand_over()
    assignment.take_off(trip.pk, cast.staff, "Stuck")
    for user in (trip.organiser, cast.staff):
        with pytest.raises(Conflict) as refused:
            unfilled.postpone(trip.pk, user, timezone.now() + dt.timedelta(days=1))
        assert refused.value.code == "trip.change_too_late"


def test_who_handed_it_over_is_not_who_gave_it_back() -> None:
    """Staff had given it to the first driver, after somebody else gave it back."""
    staff, early = StaffFactory.create(), DriverFactory.create(at=ALMATY, user__name="Early Bird")
    trip = TripFactory.create(status="accepted", driver=early, in_=dt.timedelta(hours=9))
    OfferFactory.create(trip=trip, driver=early, status="accepted")
    assignment.release(early.pk, trip.pk, "no")
    first = DriverFactory.create(at=ALMATY, user__name="Askar First")
    assignment.assign(trip.pk, first.pk, staff, "near")
    Trip.objects.filter(pk=trip.pk).update(departure_at=timezone.now() + dt.timedelta(minutes=5))
    for step in ("en_route", "driver_arrived", "passengers_boarded"):
        step_there(trip.pk, step)
    handover.hand_over(trip.pk, DriverFactory.create(at=AIRPORT).pk, staff, reason=REASON)

    panel = Panel(access.trip_for(trip.organiser, trip.pk), trip.organiser)
    assert [one.name for one in panel.timeline.given_back] == ["Early"]


@pytest.mark.parametrize(
    ("words", "lat", "lng"),
    [
        ("43.25, 76.95", 43.25, 76.95),
        ("43.25,76.95", 43.25, 76.95),
        ("43,25 76,95", 43.25, 76.95),
        ("43,25; 76,95", 43.25, 76.95),
        # Half of them is not a point on the Danube, but words.
        ("43,25", *HALFWAY),
    ],
)
def test_coordinates_are_read_with_either_decimal_sign(cast: Cast, words: str, lat: float, lng: float) -> None:
    trip = cast.hand_over(place=words)
    assert trip.pickup_lat == pytest.approx(lat)
    assert trip.pickup_lng == pytest.approx(lng)


def test_two_staff_hand_a_trip_over_once(cast: Cast) -> None:
    third = DriverFactory(at=ALMATY)
    cast.hand_over(shown_driver_id=cast.first.pk)
    with pytest.raises(Conflict) as error:
        cast.hand_over(driver=third, shown_driver_id=cast.first.pk)
    assert error.value.code == "assignment.changed_meanwhile"
    assert cast.trip.legs.count() == 1


@pytest.mark.parametrize(
    ("place", "is_plausible"),
    [
        ("43.25, 76.95", True),
        ("76.95, 43.25", False),  # swapped
        ("51.16, 71.44", False),  # Astana
        ("Astana", False),
        ("Almaty airport", True),
    ],
)
def test_passengers_wait_where_the_trip_can_have_come_to(cast: Cast, place: str, is_plausible: bool) -> None:
    if is_plausible:
        assert cast.hand_over(place=place).former_legs == 1
    else:
        assert "place" in cast.refused(place=place).fields


def test_a_driver_who_handed_over_has_their_part_where_staff_cancel_the_rest(cast: Cast) -> None:
    cast.hand_over(part=900)
    leg = cast.trip.legs.get()
    bookings.cancel(cast.trip.pk, cast.staff, "the second vehicle broke down, too")

    mine = sum((one for one in sums.by_span(cast.first.pk, today())), sums.Sums())
    assert (mine.trips, mine.fare, mine.earned) == (1, 900, leg.earned)
    # Nobody paid: the service owes it.
    assert mine.service_owes == leg.earned
    assert [row.earned for row in listing.page(cast.first.pk, today()).trips] == [leg.earned]
    theirs = sum((one for one in sums.by_span(cast.second.pk, today())), sums.Sums())
    assert theirs == sums.Sums()
    settings = ServiceSettings.current()
    histories = [read_history(one, "", now=timezone.now(), settings=settings) for one in (cast.first, cast.second)]
    assert [[past.is_earned for past in page.trips] for page in histories] == [[True], [False]]
