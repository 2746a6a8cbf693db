"""Trips and their histories in the admin: lists, pages, what may be edited, what staff do with a trip."""

import datetime as dt

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from drivers.models import Approval, Driver
from realtime.models import Event
from tests.backoffice import action_url, list_url, member_of_staff, page_url, queries_of, run_on_list, said, signed_in
from tests.factories import ALMATY, DriverFactory, OfferFactory, PassengerFactory, StaffFactory, TripFactory
from tests.stepper.test_confirmation import LONG_AGO, leads_to_form
from tests.stepper.test_sessions import age
from trips.history_words import end_in_words, round_in_words
from trips.models import (
    Booking,
    DispatchRound,
    DispatchRule,
    Offer,
    PickupArea,
    Rating,
    Trip,
    TripLeg,
    TripTransition,
)
from trips.states import BookingStatus, OfferStatus, Role, TripStatus

pytestmark = pytest.mark.django_db

ACTIONS = ["assign", "offer_again", "take_off", "take_back_arrival", "hand_over", "complete", "cancel"]
# Where else than after the acceptance an action makes sense.
BEFORE = {
    "take_back_arrival": TripStatus.ARRIVED,
    "complete": TripStatus.ARRIVED,
    "hand_over": TripStatus.IN_TRANSIT,
}
HISTORIES = [Booking, Offer, DispatchRound, TripTransition, Rating]
TOMORROW = dt.timedelta(days=1)


@pytest.fixture
def staff():
    return StaffFactory.create()


@pytest.fixture
def client(staff):
    return signed_in(staff)


@pytest.fixture
def driver():
    return DriverFactory.create(at=ALMATY, user__name="Daniyar Seitkali")


def status(trip):
    return Trip.objects.values_list("status", flat=True).get(pk=trip.pk)


def make(number):
    """Trips that each have one of everything, or one trip with `number` of everything under it."""
    trips = [TripFactory.create(status=TripStatus.COMPLETED) for _number in range(number)]
    for index in range(number):
        for trip in {trips[0], trips[index]}:
            person = PassengerFactory.create()
            OfferFactory.create(trip=trip, status=OfferStatus.EXPIRED, round_number=index + 1)
            DispatchRound.objects.create(trip=trip, number=index + 1, considered=3, reasons={"too_few_seats": 3})
            TripTransition.objects.create(
                trip=trip, from_status="draft", to_status="published", role=Role.STAFF, by=person
            )
            Rating.objects.create(trip=trip, role=Role.ORGANISER, by=person, about=trip.organiser, stars=5)
            Booking.objects.create(trip=trip, passenger=person, amount=1000)
    return trips[0]


# Lists and pages


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(
    ("model", "listing", "opening"),
    [
        (Trip, 8, 20),
        (Booking, 8, 7),
        (Offer, 8, 9),
        (DispatchRound, 8, 7),
        (TripTransition, 8, 8),
        (Rating, 8, 8),
    ],
)
def test_lists_and_pages_cost_the_same_for_one_row_and_three(client, query_count, model, listing, opening, rows):
    make(rows)
    queries_of(client, list_url(model), query_count(listing, listing))
    queries_of(client, page_url(model.objects.order_by("pk").first()), query_count(opening, opening))


def test_every_filter_of_the_list_answers(client):
    TripFactory.create(in_=TOMORROW)
    for query in ("status=offered", "trip_type=private", "vehicle_class=sedan"):
        field, value = query.split("=")
        assert client.get(list_url(Trip), {f"{field}__exact": value}).context["cl"].result_count == 1


@pytest.mark.parametrize(("departs", "days"), [("past", -1), ("today", 0), ("tomorrow", 1), ("week", 5), ("later", 20)])
def test_departure_filter(client, departs, days):
    noon = timezone.localtime().replace(hour=12, minute=0, second=0, microsecond=0)
    trips = {day: TripFactory.create() for day in (-1, 0, 1, 5, 20)}
    for day, trip in trips.items():
        at = noon + dt.timedelta(days=day)
        Trip.objects.filter(pk=trip.pk).update(departure_at=at, ends_at=at + dt.timedelta(hours=1))
    found = {row.pk for row in client.get(list_url(Trip), {"departs": departs}).context["cl"].result_list}
    assert trips[days].pk in found
    assert trips[20 if days < 20 else 1].pk not in found


def test_search_finds_a_trip_by_id_people_phone_and_plate(client):
    trip = TripFactory.create(
        status=TripStatus.ACCEPTED,
        organiser__name="Aigerim Kassymova",
        organiser__phone="+77011234567",
        driver=DriverFactory.create(user__name="Daniyar Seitkali", vehicle__plate="KZ 777 ABC"),
    )
    TripFactory.create()
    for term in (str(trip.pk), "Kassymova", "8 (701) 123-45-67", "seitkali", "777 ABC"):
        found = [row.pk for row in client.get(list_url(Trip), {"q": term}).context["cl"].result_list]
        assert trip.pk in found, term
        assert term == str(trip.pk) or found == [trip.pk], term


def test_departure_is_shown_in_the_trips_zone(client):
    trip = TripFactory.create(in_=TOMORROW)
    at = dt.datetime(2031, 5, 1, 6, 0, tzinfo=dt.UTC)
    Trip.objects.filter(pk=trip.pk).update(departure_at=at, ends_at=at, timezone="Asia/Aqtau")
    Trip.objects.filter(pk=trip.pk).update(timezone="Europe/Berlin")
    assert "1 May 2031 08:00 (Europe/Berlin)" in client.get(list_url(Trip)).content.decode()


def test_a_round_in_words():
    found = DispatchRound(considered=17, offered=9, reasons={"position_dark": 2, "too_far": 3}, more=True)
    words = round_in_words(found)
    assert words.startswith("17 considered: 9 offered, 2 position dark, 3 too far")
    assert words.endswith("3 later, if nobody takes it")


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("timeout", "not answered in time"),
        ("accepted_by_another", "another driver was faster"),
        ("too far", "too far"),
        ("too_far", "Too far away"),
        ("", "–"),
    ],
)
def test_the_end_of_an_offer_in_words(reason, words):
    assert end_in_words(Offer(reason=reason)) == words


def test_an_offer_given_back_says_when():
    at = dt.datetime(2031, 5, 1, 6, 0, tzinfo=dt.UTC)
    assert end_in_words(Offer(reason="", released_at=at)) == "given back 1 May 11:00:00"


def test_the_page_tells_the_rounds_in_words(client):
    trip = TripFactory.create()
    DispatchRound.objects.create(trip=trip, number=1, considered=5, offered=3, reasons={"licence_expired": 2})
    assert "5 considered: 3 offered, 2 licence expired" in client.get(page_url(trip)).content.decode()


@pytest.mark.parametrize("model", HISTORIES)
def test_histories_cannot_be_written(client, model):
    make(1)
    row = model.objects.first()
    assert client.get(page_url(row)).status_code == 200
    assert client.post(page_url(row), {"status": "cancelled", "stars": "1"}).status_code == 403
    assert client.get(f"{list_url(model)}add/").status_code == 403
    assert client.post(page_url(row).replace("change", "delete"), {"post": "yes"}).status_code == 403
    assert "delete_selected" not in client.get(list_url(model)).content.decode()


def test_trips_are_neither_added_nor_deleted(client):
    trip = TripFactory.create()
    assert client.get(f"{list_url(Trip)}add/").status_code == 403
    assert client.post(page_url(trip).replace("change", "delete"), {"post": "yes"}).status_code == 403
    run_on_list(client, "delete_selected", [trip], post="yes")
    assert Trip.objects.exists()


# Editing

INLINES = ["bookings", "changes", "staff_assignments", "offers", "rounds", "transitions", "ratings", "messages"]


def form(trip, **changes):
    """What the browser posts from a trip's page."""
    tables: dict[str, str] = {}
    for name in INLINES:
        tables |= {f"{name}-TOTAL_FORMS": "0", f"{name}-INITIAL_FORMS": "0", f"{name}-MAX_NUM_FORMS": "0"}
    words = {name: getattr(trip, name) for name in ("pickup_name", "pickup_address", "dropoff_name", "dropoff_address")}
    return {**tables, **words, "note": trip.note, **changes}


def test_the_words_of_a_trip_can_be_edited_and_open_pages_hear_of_it(client):
    trip = TripFactory.create(note="at the gate")
    response = client.post(page_url(trip), form(trip, note="at the fountain", pickup_address="Dostyk 52"))
    assert response.status_code == 302
    saved = Trip.objects.get()
    assert (saved.note, saved.pickup_address) == ("at the fountain", "Dostyk 52")
    assert (saved.status, saved.version) == (trip.status, trip.version + 1)
    assert Event.objects.filter(type="trip.status.updated", group=f"trip.{trip.pk}").count() == 1


def test_saving_without_a_change_announces_nothing(client):
    trip = TripFactory.create()
    assert client.post(page_url(trip), form(trip)).status_code == 302
    assert Trip.objects.get().version == trip.version
    assert not Event.objects.exists()


def test_status_driver_seats_and_money_cannot_be_posted(client, driver):
    trip = TripFactory.create()
    forged = {
        "status": "completed",
        "driver": driver.pk,
        "vehicle": driver.vehicle_id,
        "seats": "9",
        "available_seats": "9",
        "fare": "1",
        "platform_fee": "0",
        "driver_earnings": "1",
        "seat_price": "1",
        "organiser": driver.user_id,
        "version": "99",
        "departure_at_0": "2031-05-01",
        "departure_at_1": "10:00",
    }
    assert client.post(page_url(trip), form(trip, **forged)).status_code == 302
    saved = Trip.objects.get()
    for name in ("status", "driver", "vehicle", "seats", "available_seats", "fare", "platform_fee"):
        assert getattr(saved, name) == getattr(trip, name), name
    assert (saved.driver_earnings, saved.version) == (trip.driver_earnings, trip.version)
    assert (saved.organiser, saved.departure_at) == (trip.organiser, trip.departure_at)


def test_rows_under_a_trip_cannot_be_posted(client):
    offer = OfferFactory.create()
    booking = Booking.objects.get()
    tables = {
        "bookings-TOTAL_FORMS": "1",
        "bookings-INITIAL_FORMS": "1",
        "bookings-0-id": booking.pk,
        "bookings-0-trip": offer.trip_id,
        "bookings-0-seats": "7",
        "bookings-0-amount": "1",
        "bookings-0-DELETE": "on",
        "offers-TOTAL_FORMS": "1",
        "offers-INITIAL_FORMS": "1",
        "offers-0-id": offer.pk,
        "offers-0-trip": offer.trip_id,
        "offers-0-status": "accepted",
    }
    assert client.post(page_url(offer.trip), form(offer.trip, **tables)).status_code == 302
    saved = Booking.objects.get()
    assert (saved.seats, saved.amount) == (booking.seats, booking.amount)
    assert Offer.objects.get().status == OfferStatus.PENDING


# Assigning


@pytest.mark.parametrize("before", [TripStatus.PUBLISHED, TripStatus.OFFERED, TripStatus.UNFILLED])
def test_assign_from_the_page(client, staff, driver, before):
    trip = TripFactory.create(status=before)
    assert client.get(action_url(trip, "assign")).status_code == 200
    response = client.post(action_url(trip, "assign"), {"driver": driver.pk})
    assert (response.status_code, response["Location"]) == (302, page_url(trip))
    saved = Trip.objects.get()
    assert (saved.status, saved.driver, saved.vehicle) == (TripStatus.ACCEPTED, driver, driver.vehicle)
    assert saved.transitions.get().by == staff
    assert LogEntry.objects.get().user == staff


def test_assign_from_the_list_reports_the_overlap(client, driver):
    first, second = TripFactory.create(in_=TOMORROW), TripFactory.create(in_=TOMORROW)
    asking = run_on_list(client, "assign", [first, second])
    assert asking.status_code == 200
    response = run_on_list(client, "assign", [first, second], confirmed="yes", driver=driver.pk)
    (message,) = said(response)
    assert message.startswith("warning: 1 assigned, 1 refused: ")
    assert sorted([status(first), status(second)]) == [TripStatus.ACCEPTED, TripStatus.OFFERED]


def test_an_overlap_is_said_where_another_driver_can_be_chosen(client, driver):
    TripFactory.create(status=TripStatus.ACCEPTED, driver=driver, in_=TOMORROW)
    trip = TripFactory.create(in_=TOMORROW)
    response = client.post(action_url(trip, "assign"), {"driver": driver.pk})
    assert response.status_code == 200
    assert said(response)[0].startswith("error: 1 refused: ")
    assert 'name="driver"' in response.content.decode()
    assert status(trip) == TripStatus.OFFERED


@pytest.mark.parametrize("approval", [Approval.PENDING, Approval.REJECTED, Approval.SUSPENDED])
def test_only_an_approved_driver_can_be_chosen(client, approval):
    trip = TripFactory.create()
    other = DriverFactory.create(approval=approval)
    response = client.post(action_url(trip, "assign"), {"driver": other.pk})
    assert said(response)[0].startswith("error: 1 refused: ")
    assert "This driver is not approved" in said(response)[0]
    assert status(trip) == TripStatus.OFFERED


def test_assigning_again_changes_nothing(client, driver):
    trip = TripFactory.create()
    client.post(action_url(trip, "assign"), {"driver": driver.pk})
    client.post(action_url(trip, "assign"), {"driver": driver.pk})
    assert TripTransition.objects.count() == 1


def test_a_trip_that_has_a_driver_is_not_assigned_to_another(client, driver):
    trip = TripFactory.create(status=TripStatus.ACCEPTED)
    response = client.post(action_url(trip, "assign"), {"driver": driver.pk})
    assert said(response)[0].startswith("error: ")
    assert Trip.objects.get().driver == trip.driver


def test_assigning_needs_to_see_drivers(driver):
    trip = TripFactory.create()
    client = member_of_staff("trips.change_trip", "trips.view_trip")
    assert action_url(trip, "assign") not in client.get(page_url(trip)).content.decode()
    assert client.post(action_url(trip, "assign"), {"driver": driver.pk}).status_code == 403


# Offering again


def test_offer_again_from_the_page(client, driver):
    trip = TripFactory.create(status=TripStatus.UNFILLED)
    assert client.get(action_url(trip, "offer_again")).status_code == 200
    assert status(trip) == TripStatus.UNFILLED
    response = client.post(action_url(trip, "offer_again"))
    assert said(response) == ["success: 1 offered again"]
    assert status(trip) == TripStatus.OFFERED
    assert Offer.objects.get().driver == driver


def test_offer_again_from_the_list_reports_each_outcome(client, driver):
    waiting = [TripFactory.create(status=TripStatus.UNFILLED), TripFactory.create(status=TripStatus.UNFILLED)]
    done = TripFactory.create(status=TripStatus.CANCELLED)
    response = run_on_list(client, "offer_again", [*waiting, done])
    (message,) = said(response)
    assert message.startswith(f"warning: 2 offered again, 1 refused: {done}: ")
    assert {status(trip) for trip in waiting} == {TripStatus.OFFERED}


@pytest.mark.parametrize("wanted", ["abc", "-1", "1.5", "9" * 30])
def test_why_not_of_what_is_no_driver_is_a_wrong_field(client, wanted):
    page = client.get(f"/admin/trips/trip/{TripFactory().pk}/why/", {"driver": wanted})

    assert page.status_code == 200
    assert "Select a valid choice" in page.content.decode()


def test_offering_to_nobody_says_why(client, driver):
    Driver.objects.update(licence_expires_on=timezone.localdate() - TOMORROW)
    trip = TripFactory.create(status=TripStatus.UNFILLED)
    response = client.post(action_url(trip, "offer_again"))
    assert "1 licence expired" in said(response)[0]
    assert status(trip) == TripStatus.UNFILLED


def test_offering_again_twice_asks_nobody_twice(client, driver):
    trip = TripFactory.create(status=TripStatus.UNFILLED)
    client.post(action_url(trip, "offer_again"))
    response = client.post(action_url(trip, "offer_again"))
    assert said(response)[-1].startswith("error: ")
    assert Offer.objects.count() == 1


# Taking off, completing, cancelling


def test_take_off_from_the_page(client):
    trip = TripFactory.create(status=TripStatus.ACCEPTED, in_=TOMORROW)
    response = client.post(action_url(trip, "take_off"), {"reason": "the vehicle broke down"})
    assert said(response) == ["success: 1 taken off the driver"]
    saved = Trip.objects.get()
    assert saved.driver is None
    assert saved.transitions.order_by("pk")[0].note == "the vehicle broke down"
    assert not saved.offers.filter(driver=trip.driver, status=OfferStatus.PENDING).exists()


@pytest.mark.parametrize("before", [TripStatus.OFFERED, TripStatus.IN_TRANSIT, TripStatus.COMPLETED])
def test_take_off_is_refused_without_a_driver_or_once_aboard(client, before):
    trip = TripFactory.create(status=before)
    response = client.post(action_url(trip, "take_off"), {"reason": ""})
    assert said(response)[0].startswith("error: 1 refused: ")
    assert status(trip) == before


def test_take_off_from_the_list_asks_first(client):
    trip = TripFactory.create(status=TripStatus.ACCEPTED, in_=TOMORROW)
    assert run_on_list(client, "take_off", [trip]).status_code == 200
    assert status(trip) == TripStatus.ACCEPTED
    assert run_on_list(client, "take_off", [trip], confirmed="yes", reason="").status_code == 302
    assert Trip.objects.get().driver is None


def test_complete_a_trip_that_has_arrived(client):
    trip = TripFactory.create(status=TripStatus.ARRIVED)
    assert client.get(action_url(trip, "complete")).status_code == 200
    assert status(trip) == TripStatus.ARRIVED
    client.post(action_url(trip, "complete"), {"reason": "phone dead"})
    assert status(trip) == TripStatus.COMPLETED
    assert Booking.objects.get().status == BookingStatus.COMPLETED


def test_complete_is_refused_before_the_boarding_and_asks_why(client):
    trips = [TripFactory.create(status=TripStatus.ARRIVED), TripFactory.create(status=TripStatus.EN_ROUTE)]
    assert "reason" in run_on_list(client, "complete", trips, confirmed="yes").context["form"].errors
    response = run_on_list(client, "complete", trips, confirmed="yes", reason="phone dead")
    assert said(response)[0].startswith("warning: 1 completed, 1 refused: ")
    assert status(trips[1]) == TripStatus.EN_ROUTE


def test_hand_over_and_take_back_from_the_page(client, driver):
    trip = TripFactory.create(status=TripStatus.ARRIVED)
    response = client.post(action_url(trip, "take_back_arrival"), {"reason": "tapped too early"})
    assert (said(response), status(trip)) == (["success: 1 under way again"], TripStatus.IN_TRANSIT)
    page = client.get(action_url(trip, "hand_over")).content.decode()
    assert "The passenger pays the whole fare to the new driver" in page.replace("\n", " ")
    asked = {"driver": driver.pk, "place": "43.30, 76.95", "part": "500", "reason": "engine"}
    assert said(client.post(action_url(trip, "hand_over"), asked)) == ["success: 1 handed over"]
    leg = TripLeg.objects.get()
    assert (Trip.objects.get().driver, leg.driver, leg.fare) == (driver, trip.driver, 500)
    assert "part of the fee" in client.get(page_url(trip)).content.decode()


@pytest.mark.parametrize("before", [TripStatus.OFFERED, TripStatus.ACCEPTED, TripStatus.IN_TRANSIT])
def test_cancel_from_the_page(client, before):
    trip = TripFactory.create(status=before)
    assert client.get(action_url(trip, "cancel")).status_code == 200
    assert status(trip) == before
    response = client.post(action_url(trip, "cancel"), {"reason": "road closed"})
    assert said(response) == ["success: 1 cancelled"]
    saved = Trip.objects.get()
    assert (saved.status, saved.cancel_reason) == (TripStatus.CANCELLED, "road closed")
    assert Booking.objects.get().status == BookingStatus.CANCELLED


def test_cancelling_needs_a_reason(client):
    trip = TripFactory.create()
    response = client.post(action_url(trip, "cancel"), {"reason": ""})
    assert response.status_code == 200
    assert "reason" in response.context["form"].errors
    assert status(trip) == TripStatus.OFFERED


def test_cancel_from_the_list_asks_first_and_reports(client):
    trip, done = TripFactory.create(), TripFactory.create(status=TripStatus.COMPLETED)
    assert run_on_list(client, "cancel", [trip, done]).status_code == 200
    assert status(trip) == TripStatus.OFFERED
    response = run_on_list(client, "cancel", [trip, done], confirmed="yes", reason="road closed")
    assert said(response)[0].startswith(f"warning: 1 cancelled, 1 refused: {done}: ")
    assert (status(trip), status(done)) == (TripStatus.CANCELLED, TripStatus.COMPLETED)


def test_cancelling_twice_changes_nothing_the_second_time(client):
    trip = TripFactory.create()
    client.post(action_url(trip, "cancel"), {"reason": "road closed"})
    version = Trip.objects.get().version
    client.post(action_url(trip, "cancel"), {"reason": "again"})
    saved = Trip.objects.get()
    assert (saved.version, saved.cancel_reason) == (version, "road closed")


def test_a_report_counts_what_an_action_changed(client):
    trips = [TripFactory.create(), TripFactory.create(), TripFactory.create(status=TripStatus.CANCELLED)]

    both = run_on_list(client, "cancel", trips[1:], confirmed="yes", reason="road closed")
    again = run_on_list(client, "cancel", trips[1:], confirmed="yes", reason="road closed")

    assert said(both) == ["success: 1 cancelled, 1 as before: nothing was to be changed"]
    assert said(again)[-1] == "info: 2 as before: nothing was to be changed"
    assert [row.object_id for row in LogEntry.objects.all()] == [str(trips[1].pk)]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"considered": 0, "looked_km": 50}, "nobody online within 50 km"),
        ({"considered": 3, "reasons": {"position_dark": 3}}, "3 considered, none asked: 3 position dark"),
        ({"considered": 3, "offered": 2, "reasons": {"busy": 1}}, "3 considered: 2 offered, 1 on a trip"),
    ],
)
def test_what_a_search_found_is_said_in_words(found, words):
    assert round_in_words(DispatchRound(**found)) == words


def test_too_many_rows_at_once_are_refused(client, monkeypatch):
    monkeypatch.setattr("stepper.admin.base.ROWS_AT_ONCE", 1)
    trips = [TripFactory.create(status=TripStatus.UNFILLED), TripFactory.create(status=TripStatus.UNFILLED)]
    response = run_on_list(client, "offer_again", trips)
    assert said(response) == ["error: Choose at most 1 at once."]
    assert not DispatchRound.objects.exists()


# Who may


@pytest.mark.parametrize("action", ACTIONS)
def test_viewing_is_not_doing(driver, action):
    trip = TripFactory.create(status=BEFORE.get(action, TripStatus.ACCEPTED), in_=TOMORROW)
    viewer = member_of_staff("trips.view_trip", "drivers.view_driver")
    data = {"driver": driver.pk, "reason": "because"}
    assert action_url(trip, action) not in viewer.get(page_url(trip)).content.decode()
    assert f'value="{action}"' not in viewer.get(list_url(Trip)).content.decode()
    assert viewer.get(action_url(trip, action)).status_code == 403
    assert viewer.post(action_url(trip, action), data).status_code == 403
    run_on_list(viewer, action, [trip], confirmed="yes", **data)
    assert status(trip) == trip.status


@pytest.mark.parametrize("action", ACTIONS)
def test_passengers_and_strangers_are_kept_out(action):
    trip = TripFactory.create()
    assert signed_in(trip.organiser).post(action_url(trip, action), {"reason": "mine"}).status_code in {302, 403}
    assert Client().post(action_url(trip, action), {"reason": "mine"}).status_code == 302
    assert status(trip) == TripStatus.OFFERED


@pytest.mark.parametrize(
    ("before", "offered"),
    [
        (TripStatus.OFFERED, {"assign", "offer_again", "cancel"}),
        (TripStatus.UNFILLED, {"assign", "offer_again", "cancel"}),
        (TripStatus.ACCEPTED, {"take_off", "cancel"}),
        (TripStatus.DRIVER_ARRIVED, {"take_back_arrival", "cancel"}),
        (TripStatus.IN_TRANSIT, {"hand_over", "complete", "cancel"}),
        (TripStatus.ARRIVED, {"take_back_arrival", "complete"}),
        (TripStatus.COMPLETED, set()),
    ],
)
def test_the_page_offers_what_makes_sense_now(client, before, offered):
    trip = TripFactory.create(status=before)
    page = client.get(page_url(trip)).content.decode()
    assert {action for action in ACTIONS if action_url(trip, action) in page} == offered


@pytest.mark.parametrize("model", [DispatchRule, PickupArea])
def test_rules_of_dispatch_and_pickup_areas_need_the_password_once_more(client, model):
    """As the settings, which they override."""
    add = f"{list_url(model)}add/"
    assert client.get(add).status_code == 200
    age(client, LONG_AGO)
    assert leads_to_form(client.get(add), add)
    assert leads_to_form(client.post(add, {}, headers={"referer": f"http://testserver{add}"}), add)
