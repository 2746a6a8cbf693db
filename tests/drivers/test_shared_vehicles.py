"""Drivers who share a vehicle: one of them is online or on a trip with it, whatever happens at the same moment."""

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from drivers import approvals, availability, working_time
from drivers.models import AvailabilityChange, Driver, Vehicle
from realtime import groups
from realtime.models import Notification
from stepper.errors import Conflict
from tests.backoffice import list_url, page_url, signed_in
from tests.drivers.test_admin import FORM
from tests.factories import ALMATY, DriverFactory, OfferFactory, StaffFactory, TripFactory, VehicleFactory
from tests.outbox import frames
from tests.plans import plan
from tests.rest import as_user
from trips import accepting, assignment, driving, steering
from trips.models import Offer, Trip
from trips.states import OfferStatus, TripStatus

pytestmark = pytest.mark.django_db


def pair() -> tuple[Driver, Driver]:
    """Two drivers of one vehicle, the first online."""
    vehicle = VehicleFactory.create(plate="123 ABC 02")
    return DriverFactory.create(at=ALMATY, vehicle=vehicle), DriverFactory.create(vehicle=vehicle)


def now_is(driver: Driver) -> str:
    return Driver.objects.values_list("availability", flat=True).get(pk=driver.pk)


def refused(driver: Driver) -> str:
    with pytest.raises(Conflict) as error:
        availability.set_online(driver.pk, True)
    return error.value.code


def test_the_second_driver_goes_online_once_the_first_is_offline() -> None:
    first, second = pair()
    assert refused(second) == "vehicle.in_use"
    assert (now_is(first), now_is(second)) == ("available", "offline")
    assert not Driver.objects.get(pk=second.pk).is_online
    assert not AvailabilityChange.objects.filter(driver=second).exists()
    availability.set_online(first.pk, False)
    assert availability.set_online(second.pk, True).availability == "available"
    assert refused(first) == "vehicle.in_use"


def test_a_suspended_driver_leaves_the_vehicle_to_the_other() -> None:
    first, second = pair()
    approvals.suspend(first.pk, StaffFactory.create())
    assert availability.set_online(second.pk, True).availability == "available"


def test_a_deactivated_driver_leaves_the_vehicle_to_the_other() -> None:
    first, second = pair()
    first.user.is_active = False
    first.user.save()
    assert availability.set_online(second.pk, True).availability == "available"


@pytest.mark.parametrize("end", ["offline", "suspended"])
def test_a_trip_under_way_keeps_the_vehicle_until_it_ends(end: str) -> None:
    first, second = pair()
    trip = TripFactory.create(status=TripStatus.ARRIVED, driver=first)
    if end == "offline":
        availability.set_online(first.pk, False)
    else:
        approvals.suspend(first.pk, StaffFactory.create())
    assert now_is(first) == "busy"
    assert refused(second) == "vehicle.in_use"
    steering.complete(trip.pk, StaffFactory.create(), "phone dead")
    assert availability.set_online(second.pk, True).availability == "available"


def test_a_trip_cannot_begin_with_a_vehicle_that_the_other_drives() -> None:
    first, second = pair()
    trip = TripFactory.create(status=TripStatus.ACCEPTED, driver=second)
    with pytest.raises(Conflict) as error:
        driving.update_status(second.pk, trip.pk, status="en_route")
    assert error.value.code == "vehicle.in_use"
    trip.refresh_from_db()
    assert (trip.status, now_is(first), now_is(second)) == (TripStatus.ACCEPTED, "available", "offline")
    availability.set_online(first.pk, False)
    driving.update_status(second.pk, trip.pk, status="en_route")
    assert now_is(second) == "busy"


def test_programs_read_the_code() -> None:
    _first, second = pair()
    response = as_user(second.user).put("/api/drivers/availability", {"availability": "available"}, format="json")
    assert (response.status_code, response.json()["code"]) == (409, "vehicle.in_use")


@pytest.mark.django_db(transaction=True)
def test_of_drivers_who_go_online_at_the_same_moment_one_succeeds() -> None:
    vehicle = VehicleFactory.create()
    drivers = [DriverFactory.create(vehicle=vehicle) for _number in range(6)]
    at_once = threading.Barrier(len(drivers))

    def go_online(driver: Driver) -> str:
        try:
            at_once.wait(timeout=20)
            availability.set_online(driver.pk, True)
        except Conflict as error:
            return error.code
        finally:
            connection.close()
        return "online"

    with ThreadPoolExecutor(len(drivers)) as pool:
        outcomes = sorted(pool.map(go_online, drivers))
    assert outcomes == ["online"] + ["vehicle.in_use"] * 5
    assert Driver.objects.filter(availability="available").count() == 1


def test_the_database_refuses_two_drivers_of_one_vehicle() -> None:
    _first, second = pair()
    with pytest.raises(IntegrityError), transaction.atomic():
        Driver.objects.filter(pk=second.pk).update(availability="busy")


# Trips that both drivers would have at the same time

HOUR = dt.timedelta(hours=1)


def hand_over(first: Driver, second: Driver) -> None:
    """The first goes offline, the second online, where the first was."""
    availability.set_online(first.pk, False)
    availability.set_online(second.pk, True)


@pytest.mark.parametrize(("hours", "code"), [(0, "vehicle.overlap"), (-2.5, "vehicle.overlap"), (2.7, None)])
def test_one_vehicle_is_not_promised_to_two_passengers(hours: float, code: str | None) -> None:
    """The ride takes 38 min and two hours are kept free around it."""
    first, second = pair()
    offer = OfferFactory.create(driver=first, trip__in_=10 * HOUR)
    accepting.accept(first.pk, offer.pk)
    hand_over(first, second)
    other = OfferFactory.create(driver=second, trip__in_=(10 + hours) * HOUR)
    if code is None:
        assert accepting.accept(second.pk, other.pk).driver == second
        return
    with pytest.raises(Conflict) as error:
        accepting.accept(second.pk, other.pk)
    assert error.value.code == code
    assert Offer.objects.get(pk=other.pk).status == OfferStatus.PENDING


@pytest.mark.parametrize("status", ["completed", "cancelled"])
def test_a_trip_that_is_over_leaves_the_vehicle_to_the_other(status: str) -> None:
    first, second = pair()
    TripFactory.create(status=status, driver=first)
    offer = OfferFactory.create(driver=second)
    assert accepting.accept(second.pk, offer.pk).driver == second


def test_the_drivers_own_trip_is_named_before_the_others() -> None:
    first, second = pair()
    TripFactory.create(status=TripStatus.ACCEPTED, driver=first)
    TripFactory.create(status=TripStatus.ACCEPTED, driver=second, in_=HOUR)
    offer = OfferFactory.create(driver=second)
    with pytest.raises(Conflict) as error:
        accepting.accept(second.pk, offer.pk)
    assert error.value.code == "driver.overlap"


def test_staff_cannot_assign_what_overlaps_a_trip_of_the_other() -> None:
    first, second = pair()
    TripFactory.create(status=TripStatus.ACCEPTED, driver=first)
    trip = TripFactory.create(status=TripStatus.OFFERED)
    with pytest.raises(Conflict) as error:
        assignment.assign(trip.pk, second.pk, StaffFactory.create(), "asked to")
    assert error.value.code == "vehicle.overlap"
    trip.refresh_from_db()
    assert trip.driver is None


def test_offers_of_the_other_that_overlap_are_withdrawn() -> None:
    first, second = pair()
    held = OfferFactory.create(driver=first, trip__in_=HOUR)
    later = OfferFactory.create(driver=first, trip__in_=9 * HOUR)
    of_stranger = OfferFactory.create(trip__in_=HOUR)
    trip = TripFactory.create(status=TripStatus.OFFERED)
    assignment.assign(trip.pk, second.pk, StaffFactory.create(), "asked to")
    for offer in (held, later, of_stranger):
        offer.refresh_from_db()
    assert (held.status, held.reason) == (OfferStatus.WITHDRAWN, "vehicle_busy")
    assert (later.status, of_stranger.status) == (OfferStatus.PENDING, OfferStatus.PENDING)
    (frame,) = frames(groups.driver(first.pk))
    assert (frame.offer_id, frame.reason) == (held.pk, "cancelled")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("by_staff", [False, True])
def test_of_drivers_of_one_vehicle_who_get_trips_at_the_same_moment_one_succeeds(by_staff: bool) -> None:
    vehicle, staff = VehicleFactory.create(), StaffFactory.create()
    offers = [OfferFactory.create(driver=DriverFactory.create(vehicle=vehicle)) for _number in range(4)]
    at_once = threading.Barrier(len(offers))

    def get_trip(offer: Offer) -> str:
        try:
            at_once.wait(timeout=20)
            if by_staff:
                assignment.assign(offer.trip_id, offer.driver_id, staff, "asked to")
            else:
                accepting.accept(offer.driver_id, offer.pk)
        except Conflict as error:
            return error.code
        finally:
            connection.close()
        return "won"

    with ThreadPoolExecutor(len(offers)) as pool:
        outcomes = list(pool.map(get_trip, offers))
    assert outcomes.count("won") == 1
    # The losers meet the overlap, or find the offer withdrawn because of it.
    assert set(outcomes) <= {"won", "vehicle.overlap", "offer.withdrawn"}
    assert Trip.objects.filter(status=TripStatus.ACCEPTED).count() == 1


@pytest.mark.parametrize(("hours", "status"), [(0, 200), (9, 302)])
def test_staff_cannot_give_a_driver_with_trips_a_vehicle_that_is_promised(hours: float, status: int) -> None:
    first, _second = pair()
    third = DriverFactory.create()
    promised = TripFactory.create(status=TripStatus.ACCEPTED, driver=first)
    TripFactory.create(status=TripStatus.ACCEPTED, driver=third, in_=hours * HOUR)
    response = signed_in(StaffFactory.create()).post(page_url(third), {**FORM, "vehicle": first.vehicle_id})
    assert response.status_code == status
    if status == 200:
        (words,) = response.context["adminform"].form.errors["vehicle"]
        assert words.startswith(f"Trip {promised.pk} of {first} ")


# Working time


def test_hours_that_begin_while_the_other_drives_tell_the_driver_why() -> None:
    first, second = pair()
    begin_hours(second)
    working_time.apply_due_hours()
    assert (now_is(first), now_is(second)) == ("available", "offline")
    told = Notification.objects.get(user=second.user)
    assert (told.title, "with this vehicle" in told.message) == ("You were not put online", True)
    saved = Driver.objects.get(pk=second.pk)
    assert not saved.is_online
    # Tried again when the hours begin next.
    assert saved.hours_due_at is not None
    assert saved.hours_due_at > timezone.now()


def test_one_drivers_hours_end_when_the_others_begin() -> None:
    second, first = reversed(pair())
    begin_hours(second)
    Driver.objects.filter(pk=first.pk).update(hours_due_at=timezone.now() - dt.timedelta(seconds=1))
    # The one whose hours begin is due first.
    Driver.objects.filter(pk=second.pk).update(hours_due_at=timezone.now() - dt.timedelta(minutes=1))
    working_time.apply_due_hours()
    assert (now_is(first), now_is(second)) == ("offline", "available")


def begin_hours(driver: Driver) -> None:
    """Give the driver hours that cover every day, and begin now."""
    always = {day: {"from": "00:00", "to": "23:59"} for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
    Driver.objects.filter(pk=driver.pk).update(
        weekly_hours=always, timezone="UTC", hours_due_at=timezone.now() - dt.timedelta(seconds=1)
    )


def test_a_break_that_ends_while_the_other_drives_ends_offline() -> None:
    first, second = pair()
    working_time.take_break(first.pk, 15)
    availability.set_online(second.pk, True)
    working_time.end_break(first.pk, first.breaks.get().pk)
    saved = Driver.objects.get(pk=first.pk)
    assert (saved.availability, saved.is_online, saved.on_break_until) == ("offline", False, None)
    assert first.breaks.get().ended_at is not None
    assert Notification.objects.filter(user=first.user, title="You were not put online").exists()


# What staff see


def test_staff_see_who_shares_a_vehicle_and_who_drives_it() -> None:
    first, second = pair()
    client = signed_in(StaffFactory.create())
    names = f"{first} (Online), {second}"
    assert names in client.get(list_url(Vehicle), {"drivers": "shared"}).content.decode()
    assert names in client.get(page_url(Vehicle.objects.get())).content.decode()
    assert f"{first} (Online)" in client.get(page_url(second)).content.decode()
    VehicleFactory.create()
    assert len(client.get(list_url(Vehicle), {"drivers": "none"}).context["cl"].result_list) == 1


def test_staff_give_a_driver_a_vehicle_that_another_has() -> None:
    first, _second = pair()
    third = DriverFactory.create(vehicle=None)
    client = signed_in(StaffFactory.create())
    assert client.post(page_url(third), {**FORM, "vehicle": first.vehicle_id}).status_code == 302
    assert Driver.objects.filter(vehicle=first.vehicle).count() == 3


def test_staff_cannot_give_a_driver_who_is_online_a_vehicle_in_use() -> None:
    first, _second = pair()
    third = DriverFactory.create(at=ALMATY)
    response = signed_in(StaffFactory.create()).post(page_url(third), {**FORM, "vehicle": first.vehicle_id})
    assert list(response.context["adminform"].form.errors) == ["vehicle"]
    assert Driver.objects.get(pk=third.pk).vehicle_id == third.vehicle_id


def test_a_vehicle_that_changes_has_the_offers_of_all_its_drivers_judged_again(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: object
) -> None:
    first, second = pair()
    judged: list[int] = []
    monkeypatch.setattr("drivers.admin.drivers.review_driver", judged.append)
    vehicle = {"plate": "123 ABC 02", "make": "Toyota", "model": "Camry", "colour": "White", "year": "", "seats": "2"}
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        signed_in(StaffFactory.create()).post(page_url(Vehicle.objects.get()), {**vehicle, "vehicle_class": "sedan"})
    assert judged == [first.pk, second.pk]


def test_who_shares_a_vehicle_is_found_by_indexes() -> None:
    """Each accept asks for it; otherwise it would read all drivers."""
    driver = DriverFactory.create()
    sql, params = Driver.objects.with_mates(driver.pk).order_by().query.sql_with_params()
    with transaction.atomic():
        lines = "\n".join(plan(sql, params, is_large=True, bitmaps=True))
    assert ("BitmapOr" if connection.vendor == "postgresql" else "MULTI-INDEX OR") in lines
