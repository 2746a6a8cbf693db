"""The boarding code: who sees it, the driver who enters it, wrong ones, and what staff do about it."""

import datetime as dt
import json
from functools import partial
from typing import Any

import pytest
from django.test import Client

from realtime import events, groups
from realtime.models import Event
from realtime.sockets import commands
from stepper.errors import Conflict, DomainError, NotPermitted, TooManyRequests
from stepper.models import ServiceSettings
from tests.factories import DriverFactory, OfferFactory, PassengerFactory, StaffFactory, TripFactory
from tests.rest import as_user
from trips import accepting, assignment, boarding, driving, shares
from trips.models import Booking, Trip
from trips.states import TripStatus

pytestmark = pytest.mark.django_db

CODE = "8351"
SHOWN = 'data-testid="boarding-code"'


@pytest.fixture(autouse=True)
def asked() -> None:
    ServiceSettings(pk=1, boarding_code=True).save()


def _waiting(**fields: Any) -> Trip:
    trip: Trip = TripFactory.create(status="driver_arrived", boarding_code=CODE, **fields)
    return trip


def _board(trip: Trip, code: str = "", status: str = "passengers_boarded") -> Trip:
    assert trip.driver_id is not None
    return driving.update_status(trip.driver_id, trip.pk, status=status, code=code)


def _refused(trip: Trip, code: str = "", status: str = "passengers_boarded") -> str:
    with pytest.raises(DomainError) as refused:
        _board(trip, code, status)
    return refused.value.code


@pytest.mark.parametrize("is_on", [True, False])
def test_trip_gets_a_code_with_its_driver_where_the_setting_is_on(is_on: bool) -> None:
    ServiceSettings(pk=1, boarding_code=is_on).save()
    offer = OfferFactory.create()
    trip = accepting.accept(offer.driver.pk, offer.pk)
    trip.refresh_from_db()
    assert len(trip.boarding_code) == (4 if is_on else 0)
    assert trip.boarding_code.isdigit() is is_on


def test_another_driver_gets_another_code(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([17, 9999])
    monkeypatch.setattr(boarding.secrets, "randbelow", lambda _most: next(drawn))
    offer = OfferFactory.create()
    trip = accepting.accept(offer.driver.pk, offer.pk)
    assert Trip.objects.get().boarding_code == "0017"

    driving.update_status(offer.driver.pk, trip.pk, status="released")
    assert Trip.objects.get().boarding_code == ""
    assignment.assign(trip.pk, DriverFactory.create(at=(43.2, 76.8)).pk, StaffFactory.create(), "asked to")
    assert Trip.objects.get().boarding_code == "9999"


@pytest.mark.parametrize("status", ["passengers_boarded", "in_transit"])
def test_driver_boards_with_the_code_only(status: str) -> None:
    trip = _waiting()
    assert _refused(trip, "", status) == "trip.boarding_code_required"
    assert _refused(trip, "1358", status) == "trip.boarding_code_wrong"
    assert Trip.objects.get().status == "driver_arrived"
    for entered in (" 83 51 ", ""):  # repeated, it changes nothing and is not asked for again
        assert _board(trip, entered, status).status == status
    stored = Trip.objects.get()
    assert (stored.boarding_code, stored.wrong_codes, stored.codes_refused_until) == ("", 0, None)


def test_code_is_not_asked_for_by_any_other_step() -> None:
    trip = TripFactory.create(status="accepted", boarding_code=CODE)
    for status in ("en_route", "driver_arrived"):
        assert _board(trip, status=status).status == status
    _board(trip, CODE)
    for status in ("in_transit", "arrived", "completed"):
        assert _board(trip, status=status).status == status


def test_five_wrong_codes_and_none_is_tried_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    trip = _waiting()
    assert [_refused(trip, "0000") for _try in range(5)] == [
        *["trip.boarding_code_wrong"] * 4,
        "trip.boarding_code_blocked",
    ]
    with pytest.raises(TooManyRequests) as blocked:
        _board(trip, CODE)
    assert blocked.value.retry_after_s == pytest.approx(600, abs=5)
    assert Trip.objects.get().status == "driver_arrived"

    later = driving.database_now() + boarding.REFUSED_FOR
    monkeypatch.setattr(driving, "database_now", lambda: later)
    assert _refused(trip, "0000") == "trip.boarding_code_wrong"
    assert _board(trip, CODE).status == "passengers_boarded"


def test_code_that_was_not_entered_is_no_try() -> None:
    trip = _waiting()
    for _time in range(7):
        assert _refused(trip) == "trip.boarding_code_required"
    assert Trip.objects.get().wrong_codes == 0


def test_refused_code_does_not_use_up_the_key_of_the_command() -> None:
    trip = _waiting()
    assert trip.driver_id
    for entered in ("0000", CODE, CODE):
        step = partial(
            driving.update_status, trip.driver_id, trip.pk, status="in_transit", code=entered, key="the-same"
        )
        if entered == CODE:
            assert step().status == "in_transit"
        else:
            with pytest.raises(Conflict):
                step()


@pytest.mark.parametrize(("is_on", "code"), [(False, CODE), (True, "")])
def test_setting_that_is_switched_while_trips_are_on_the_road_stops_none(is_on: bool, code: str) -> None:
    ServiceSettings(pk=1, boarding_code=is_on).save()
    trip = TripFactory.create(status="driver_arrived", boarding_code=code)
    page = Client()
    page.force_login(trip.organiser)
    assert SHOWN not in page.get(f"/trips/{trip.pk}/").content.decode()
    assert _board(trip).status == "passengers_boarded"


# Who sees it


def test_who_travels_sees_the_code_until_they_are_on_board() -> None:
    trip = _waiting()
    mate = PassengerFactory.create()
    Booking.objects.create(trip=trip, passenger=mate, status="confirmed", seats=1, amount=0)
    for user in (trip.organiser, mate):
        browser = Client()
        browser.force_login(user)
        assert CODE in browser.get(f"/trips/{trip.pk}/").content.decode()
        answer = as_user(user).get(f"/api/trips/{trip.pk}").json()
        assert (answer["boarding_code_required"], answer["boarding_code"]) == (True, CODE)
    _board(trip, CODE)
    answer = as_user(trip.organiser).get(f"/api/trips/{trip.pk}").json()
    assert (answer["boarding_code_required"], answer["boarding_code"]) == (False, None)


def test_neither_driver_staff_nor_a_link_gets_the_code() -> None:
    trip = _waiting()
    assert trip.driver
    token = shares.create_share(trip.pk, trip.organiser).token
    driver, staff = trip.driver.user, StaffFactory.create()
    said = [Client().get(f"/t/{token}/").content.decode()]
    for user, paths in (
        (driver, ["/driver/", "/driver/tab/active/", f"/trips/{trip.pk}/", f"/api/trips/{trip.pk}", "/api/trips"]),
        (staff, [f"/trips/{trip.pk}/", f"/api/trips/{trip.pk}", f"/admin/trips/trip/{trip.pk}/change/"]),
    ):
        browser = Client()
        browser.force_login(user)
        answers = [browser.get(path) for path in paths]
        assert {answer.status_code for answer in answers} == {200}
        said += [answer.content.decode() for answer in answers]
    said += [json.dumps(as_user(driver).get(f"/api/trips/{trip.pk}").json())]
    frames = commands.snapshot(driver, trip.driver.pk, [trip.pk]) + commands.trip_snapshots(trip.organiser, [trip.pk])
    said += [events.encode(frame) for frame in frames]
    _board(trip, CODE)
    said += [str(row.frame) for row in Event.objects.filter(group__in=[groups.driver(trip.driver.pk), groups.STAFF])]
    assert [text for text in said if CODE in text] == []


def test_drivers_page_and_rest_say_that_a_code_is_asked_for() -> None:
    trip = _waiting()
    assert trip.driver
    browser = Client()
    browser.force_login(trip.driver.user)
    assert 'data-testid="boarding-code-input"' in browser.get("/driver/").content.decode()
    assert as_user(trip.driver.user).get(f"/api/trips/{trip.pk}").json()["boarding_code_required"] is True

    address = f"/driver/trips/{trip.pk}/status/"
    refused = browser.post(address, {"status": "in_transit", "code": "1111"}, headers={"HX-Request": "true"})
    assert (refused.status_code, "not the code" in refused.content.decode()) == (409, True)
    answer = as_user(trip.driver.user).put(
        f"/api/drivers/trips/{trip.pk}/status", {"status": "in_transit", "code": CODE}, format="json"
    )
    assert (answer.status_code, answer.json()["status"]) == (200, "in_transit")


# Staff


def test_staff_let_the_driver_board_without_it() -> None:
    trip = _waiting()
    staff = StaffFactory.create()
    with pytest.raises(NotPermitted):
        driving.waive_boarding_code(trip.pk, trip.organiser)
    for _twice in range(2):
        driving.waive_boarding_code(trip.pk, staff, "The phone is empty")
    assert _board(trip).status == "passengers_boarded"
    with pytest.raises(Conflict):
        driving.waive_boarding_code(trip.pk, staff)


@pytest.mark.parametrize("status", ["completed", "cancelled"])
def test_code_ends_with_the_trip(status: str) -> None:
    trip = TripFactory.create(status="arrived" if status == "completed" else "accepted", boarding_code=CODE)
    trip.move(TripStatus(status), "staff")
    assert Trip.objects.get().boarding_code == ""


def test_wait_is_told_in_minutes_that_are_left() -> None:
    trip = _waiting(codes_refused_until=driving.database_now() + dt.timedelta(seconds=61))
    with pytest.raises(TooManyRequests) as blocked:
        _board(trip, CODE)
    assert "2 min" in str(blocked.value.message)
