"""The trips of the operations room: the list, the panel of one trip, what staff do on it, and who may."""

import datetime as dt
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.html import strip_tags

from drivers.models import Driver, TrailPoint
from stepper.admin import searching
from stepper.db.keyset import PAGE as ROWS
from stepper.models import User
from stepper.ops.history import PAGE
from stepper.ops.trip_list import TripFilter, find_trips
from tests.backoffice import staff_with
from tests.factories import ALMATY, DriverFactory, OfferFactory, PassengerFactory, TripFactory
from tests.plans import full_scans, plan, statements
from trips import assignment, changes
from trips.dispatch import start_round
from trips.models import SafetyAlert, Trip, TripMessage, TripTransition

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
DISPATCHER = ("view_trip", "change_trip", "view_driver")


@pytest.fixture
def staff() -> User:
    return staff_with(*DISPATCHER)


@pytest.fixture
def desk(client: Client, staff: User) -> Client:
    client.force_login(staff)
    return client


def read(desk: Client, path: str) -> str:
    response = desk.get(path)
    assert response.status_code == 200, (path, response.status_code)
    return response.content.decode()


# The list


def rows_of(html: str) -> int:
    return html.count('data-testid="ops-trip-row"')


def test_list_shows_what_is_not_over_the_next_departure_first(desk: Client) -> None:
    later = TripFactory(status="unfilled", in_=dt.timedelta(hours=5))
    sooner = TripFactory(status="unfilled", in_=dt.timedelta(hours=2))
    TripFactory(status="completed")
    html = read(desk, "/ops/trips/")
    assert rows_of(html) == 2
    assert html.index(f"/ops/trips/{sooner.pk}/") < html.index(f"/ops/trips/{later.pk}/")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("show=open", {"open"}),
        ("show=assigned", {"driven"}),
        ("show=completed", {"past"}),
        ("show=all", {"open", "driven", "past"}),
        ("attention=unfilled", {"open"}),
        ("attention=any", {"open"}),
        ("attention=help", set()),
        ("since=2999-01-01", set()),
        ("until=2000-01-01&show=all", set()),
        ("since=nonsense&show=nonsense&attention=nonsense", {"open", "driven"}),
        ("q=Berik", {"driven"}),
        ("q=passenger%20of%20past", {"past"}),
        ("q=nobody", set()),
    ],
)
def test_list_filters_and_searches(desk: Client, query: str, found: set[str]) -> None:
    driver = DriverFactory(user__name="Berik Omarov")
    trips = {
        "open": TripFactory(status="unfilled", escalated_at=timezone.now()),
        "driven": TripFactory(status="accepted", driver=driver),
        "past": TripFactory(status="completed", organiser=PassengerFactory(name="The passenger of past")),
    }
    html = read(desk, f"/ops/trips/?{query}")
    assert {name for name, trip in trips.items() if f'href="/ops/trips/{trip.pk}/"' in html} == found
    assert ("ops-trips-empty" in html) == (not found)


def test_list_finds_a_trip_by_its_number(desk: Client) -> None:
    wanted = TripFactory(status="completed")
    TripFactory(status="unfilled")
    html = read(desk, f"/ops/trips/?q=%23{wanted.pk}")
    assert rows_of(html) == 1
    assert f"/ops/trips/{wanted.pk}/" in html


def test_list_says_below_its_last_row_that_a_search_found_more(desk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    passenger = PassengerFactory(name="Aidana")
    for _number in range(2):
        TripFactory(status="completed", organiser=passenger)
    assert "ops-trips-cut" not in read(desk, "/ops/trips/?q=Aidana")
    monkeypatch.setattr(searching, "ROWS_SHOWN", 1)
    html = read(desk, "/ops/trips/?q=Aidana")
    assert (rows_of(html), "ops-trips-cut" in html) == (1, True)


def test_list_goes_on_behind_the_last_row_also_where_departures_are_equal(desk: Client) -> None:
    at = timezone.now() + dt.timedelta(hours=3)
    first = TripFactory(status="unfilled")
    passenger = first.organiser
    TripFactory.create_batch(ROWS, status="unfilled", organiser=passenger)
    Trip.objects.update(departure_at=at, ends_at=at + dt.timedelta(hours=1))
    html = read(desk, "/ops/trips/")
    assert rows_of(html) == ROWS
    more = html.split('hx-get="?', 1)[1].split('"', 1)[0].replace("&amp;", "&")
    response = desk.get(f"/ops/trips/?{more}", headers=HTMX)
    assert rows_of(response.content.decode()) == 1
    assert "<html" not in response.content.decode()


def queries(desk: Client, path: str) -> int:
    with CaptureQueriesContext(connection) as asked:
        read(desk, path)
    return len([one for one in asked if one["sql"].startswith(("SELECT", "WITH"))])


@pytest.mark.parametrize("count", [1, 3])
def test_list_costs_the_same_for_any_number_of_rows(desk: Client, count: int) -> None:
    for number in range(count):
        TripFactory(status="accepted", driver=DriverFactory(), in_=dt.timedelta(hours=3 + number))
    # Session, user, two for permissions, whether they need a second factor (twice), the rows, the bell.
    assert queries(desk, "/ops/trips/") == 8


@pytest.mark.scaled_only
@pytest.mark.parametrize("query", ["", "show=open", "show=assigned", "show=completed", "show=all", "since=2026-01-01"])
@pytest.mark.parametrize("after", ["", "1700000000000000-4"])
def test_list_reads_an_index_in_its_order_however_many_trips_there_are(query: str, after: str) -> None:
    TripFactory(status="unfilled")
    wanted = TripFilter.of(dict(parse_qsl(query)))
    asked = [one for one in statements(lambda: find_trips(wanted, after)) if '"trips_trip"."departure_at"' in one[0]]
    assert len(asked) == 1
    lines = plan(*asked[0], is_large=True)
    assert full_scans(lines) == [], lines


# The panel


def busy_trip(staff: User) -> Trip:
    """A trip to which as much happened as there are kinds of it."""
    driver, other = DriverFactory(at=ALMATY, user__name="Aida Nurlan"), DriverFactory(at=ALMATY)
    trip: Trip = TripFactory(status="published", next_look_at=None)
    start_round(trip.pk)
    trip.refresh_from_db()
    changes.change(trip.pk, staff, {"note": "at the gate"})
    assignment.assign(trip.pk, driver.pk, staff, "knows the place")
    assignment.reassign(trip.pk, other.pk, staff, "nearer")
    TripMessage.objects.create(
        trip=trip, driver=other, sender=trip.organiser, role="organiser", key="1", text="I wear red"
    )
    trip.refresh_from_db()
    return trip


def test_panel_tells_everything_in_order(desk: Client, staff: User) -> None:
    trip = busy_trip(staff)
    html = read(desk, f"/ops/trips/{trip.pk}/")
    told = ["Booked", "Round 1, wave 1", "Changed", "Assigned to Aida Nurlan", "Taken off Aida Nurlan"]
    places = [html.index(words) for words in told]
    assert places == sorted(places)
    assert "knows the place" in html
    assert f"tel:{trip.organiser.phone.as_e164}" in html
    assert "distance " in html  # the parts of the score of who was asked


@pytest.mark.parametrize("permission", ["view_tripmessage", "view_notification"])
def test_messages_and_what_people_were_told_are_shown_by_permission(client: Client, permission: str) -> None:
    trip = busy_trip(staff_with(*DISPATCHER))
    shown = {"view_tripmessage": "I wear red", "view_notification": "A trip was assigned to you"}[permission]
    client.force_login(staff_with(*DISPATCHER))
    assert shown not in read(client, f"/ops/trips/{trip.pk}/")
    client.force_login(staff_with(*DISPATCHER, permission))
    assert shown in read(client, f"/ops/trips/{trip.pk}/")


def test_panel_costs_the_same_however_long_its_history_is(desk: Client, staff: User) -> None:
    trip = busy_trip(staff)
    before = queries(desk, f"/ops/trips/{trip.pk}/")
    rows = [
        TripTransition(trip=trip, from_status="offered", to_status="unfilled", role="system")
        for _number in range(3 * PAGE)
    ]
    TripTransition.objects.bulk_create(rows)
    assert queries(desk, f"/ops/trips/{trip.pk}/") == before == 17


def test_a_long_history_comes_in_pages_and_nothing_twice(desk: Client) -> None:
    trip = TripFactory(status="unfilled")
    begin = timezone.now() - dt.timedelta(hours=1)
    TripTransition.objects.filter(trip=trip).delete()
    for number in range(PAGE + 5):
        row = TripTransition.objects.create(
            trip=trip, from_status="offered", to_status="unfilled", role="system", note=f"step {number:03}"
        )
        TripTransition.objects.filter(pk=row.pk).update(created_at=begin + dt.timedelta(seconds=number))
    Trip.objects.filter(pk=trip.pk).update(created_at=begin - dt.timedelta(hours=1))
    html = read(desk, f"/ops/trips/{trip.pk}/")
    earlier = html.split('hx-get="/ops/trips/')[1]
    path = html.split("/history/?before=", 1)[1].split('"', 1)[0]
    assert earlier
    response = desk.get(f"/ops/trips/{trip.pk}/history/?before={path}", headers=HTMX).content.decode()
    told = [f"step {number:03}" for number in range(PAGE + 5)]
    assert [words in response for words in told] == [words not in html for words in told]
    assert "Booked" in response
    assert desk.get(f"/ops/trips/{trip.pk}/history/?before=nonsense").status_code == 400
    assert "step 000" in read(desk, f"/ops/trips/{trip.pk}/history/?before={path}")


def test_trail_is_sent_in_order_for_the_slider(desk: Client) -> None:
    trip = TripFactory(status="in_transit", driver=DriverFactory(at=ALMATY))
    at = timezone.now().replace(microsecond=0)
    for seconds in (20, 0, 10):
        TrailPoint.objects.create(
            trip=trip, driver=trip.driver, lat=43.0 + seconds, lng=76.0, recorded_at=at + dt.timedelta(seconds=seconds)
        )
    points = desk.get(f"/ops/trips/{trip.pk}/trail/").json()["points"]
    start = int(at.timestamp())
    driver = trip.driver_id
    assert points == [[43.0, 76.0, start, driver], [53.0, 76.0, start + 10, driver], [63.0, 76.0, start + 20, driver]]


def test_who_may_only_look_is_shown_no_action_and_refused(client: Client) -> None:
    trip = TripFactory(status="unfilled")
    client.force_login(staff_with("view_trip"))
    html = read(client, f"/ops/trips/{trip.pk}/")
    assert "data-action" not in html
    for path in ("driver/", "edit/", "do/cancel/"):
        assert client.get(f"/ops/trips/{trip.pk}/{path}").status_code == 403
        assert client.post(f"/ops/trips/{trip.pk}/{path}", {"reason": "no"}).status_code == 403
    trip.refresh_from_db()
    assert trip.status == "unfilled"


@pytest.mark.parametrize("path", ["", "history/", "trail/", "driver/", "edit/", "do/cancel/", "do/nothing/"])
def test_there_is_no_such_trip_or_action(desk: Client, path: str) -> None:
    assert desk.get(f"/ops/trips/4000/{path}").status_code == 404


# Choosing a driver


Give = Callable[..., Any]


@pytest.fixture
def give(desk: Client) -> Give:
    def post(trip: Trip, driver: Driver, mode: str, **fields: Any) -> Any:
        data = {"mode": mode, "driver": driver.pk, "reason": "", **fields}
        return desk.post(f"/ops/trips/{trip.pk}/driver/", data, headers=HTMX)

    return post


def test_an_open_trip_is_given_to_the_nearest_driver(desk: Client, give: Give) -> None:
    trip, driver = TripFactory(status="unfilled"), DriverFactory(at=ALMATY)
    html = desk.get(f"/ops/trips/{trip.pk}/driver/", headers=HTMX).content.decode()
    assert html.count('data-testid="assign-candidate"') == 1
    assert 'value="assign"' in html
    answer = give(trip, driver, "assign")
    assert answer.status_code == 200
    assert "The trip has its driver." in answer.content.decode()
    trip.refresh_from_db()
    assert (trip.status, trip.driver) == ("accepted", driver)


def test_what_speaks_against_a_driver_needs_a_reason(desk: Client, give: Give) -> None:
    trip, driver = TripFactory(status="unfilled", vehicle_class="suv"), DriverFactory(at=ALMATY)
    assert "assign-warning" in desk.get(f"/ops/trips/{trip.pk}/driver/").content.decode()
    answer = give(trip, driver, "assign")
    assert answer.status_code == 400
    assert "smaller vehicle class" in answer.content.decode()
    assert give(trip, driver, "assign", reason="the passenger agrees").status_code == 200


def test_a_page_that_showed_another_driver_moves_nothing(give: Give, staff: User) -> None:
    first, second, third = (DriverFactory(at=ALMATY) for _number in range(3))
    trip = TripFactory(status="accepted", driver=first)
    assert give(trip, second, "reassign", shown=first.pk).status_code == 200
    answer = give(trip, third, "reassign", shown=first.pk)
    assert answer.status_code == 409
    assert "The driver of this trip is another one meanwhile" in answer.content.decode()
    trip.refresh_from_db()
    assert trip.driver == second


def test_a_trip_with_passengers_on_board_is_handed_over_with_a_split(desk: Client, give: Give) -> None:
    first, second = DriverFactory(at=ALMATY), DriverFactory(at=ALMATY)
    trip = TripFactory(status="in_transit", driver=first)
    html = desk.get(f"/ops/trips/{trip.pk}/driver/", headers=HTMX).content.decode()
    assert 'name="part"' in html
    assert give(trip, second, "hand-over", shown=first.pk).status_code == 422  # without a reason
    answer = give(trip, second, "hand-over", shown=first.pk, part="100", place="Almaty", reason="engine")
    assert answer.status_code == 200, answer.content
    trip.refresh_from_db()
    assert (trip.driver, trip.former_fare) == (second, 100)


def test_who_takes_passengers_on_is_near_to_where_they_are(desk: Client) -> None:
    there = (ALMATY[0] + 0.2, ALMATY[1])
    trip = TripFactory(status="in_transit", driver=DriverFactory(at=there))
    DriverFactory(at=ALMATY, user__name="At the pickup")
    DriverFactory(at=there, user__name="Beside them")
    html = read(desk, f"/ops/trips/{trip.pk}/driver/")
    assert html.index("Beside them") < html.index("At the pickup")


def test_drivers_are_found_by_name(desk: Client) -> None:
    trip = TripFactory(status="unfilled")
    DriverFactory(user__name="Aida Nurlan")
    DriverFactory(user__name="Berik Omarov")
    html = read(desk, f"/ops/trips/{trip.pk}/driver/?q=berik")
    assert html.count('data-testid="assign-candidate"') == 1
    assert "Berik Omarov" in html


# Actions


def test_an_action_says_what_it_will_do_and_does_it(desk: Client) -> None:
    trip = TripFactory(status="unfilled")
    path = f"/ops/trips/{trip.pk}/do/cancel/"
    assert "offers are withdrawn" in read(desk, path)
    refused = desk.post(path, {"reason": ""}, headers=HTMX)
    assert refused.status_code == 422
    assert desk.post(path, {"reason": "asked by phone"})["Location"] == f"/ops/trips/{trip.pk}/"
    trip.refresh_from_db()
    assert (trip.status, trip.cancel_reason) == ("cancelled", "asked by phone")


def test_an_action_on_another_drivers_trip_than_was_shown_does_nothing(desk: Client) -> None:
    trip, former = TripFactory(status="accepted", driver=DriverFactory()), DriverFactory()
    data = {"reason": "late", "shown": former.pk}
    answer = desk.post(f"/ops/trips/{trip.pk}/do/take-off/", data, headers=HTMX)
    assert answer.status_code == 409
    trip.refresh_from_db()
    assert trip.status == "accepted"


def test_only_what_makes_sense_is_offered(desk: Client) -> None:
    offered = OfferFactory(trip__status="offered").trip
    html = read(desk, f"/ops/trips/{offered.pk}/")
    assert 'data-testid="act-offer-again"' in html
    assert 'data-testid="assign"' in html
    assert 'data-testid="act-complete"' not in html
    finished = TripFactory(status="completed")
    assert "data-action" not in read(desk, f"/ops/trips/{finished.pk}/")


def test_a_call_for_help_of_the_queue_is_handled_on_the_panel_of_its_trip(client: Client) -> None:
    trip = TripFactory(status="in_transit", driver=DriverFactory())
    alert = SafetyAlert.objects.create(trip=trip, raised_by=trip.organiser)
    client.force_login(staff_with("view_trip"))
    assert "act-help-handled" not in read(client, f"/ops/trips/{trip.pk}/")
    client.force_login(staff_with(*DISPATCHER))
    assert "act-help-handled" in read(client, f"/ops/trips/{trip.pk}/")
    answer = client.post(f"/ops/trips/{trip.pk}/do/help-handled/", headers=HTMX)
    assert answer.status_code == 200
    assert "act-help-handled" not in answer.content.decode()
    alert.refresh_from_db()
    assert alert.handled_at is not None


def test_a_trip_that_is_over_says_so_and_not_that_rights_are_missing(desk: Client, client: Client) -> None:
    over, open_trip = TripFactory(status="cancelled"), TripFactory(status="unfilled")
    assert "This trip is over" in read(desk, f"/ops/trips/{over.pk}/")
    client.force_login(staff_with("view_trip"))
    html = read(client, f"/ops/trips/{open_trip.pk}/")
    assert "You can look at this trip" in html
    assert "This trip is over" not in html


@pytest.mark.parametrize(("status", "warns"), [("accepted", False), ("passengers_boarded", True), ("in_transit", True)])
def test_cancelling_warns_where_passengers_are_on_board(desk: Client, status: str, warns: bool) -> None:
    trip = TripFactory(status=status, driver=DriverFactory())
    assert ("Passengers are on board" in read(desk, f"/ops/trips/{trip.pk}/do/cancel/")) == warns


def test_a_move_that_comes_too_late_says_so_and_shows_what_is_possible_now(desk: Client, give: Give) -> None:
    first, second = DriverFactory(at=ALMATY), DriverFactory(at=ALMATY)
    trip = TripFactory(status="in_transit", driver=first)
    answer = give(trip, second, "reassign", shown=first.pk)
    html = answer.content.decode()
    assert answer.status_code == 409
    assert "The trip has gone on meanwhile (“On the road”): the passengers are on board." in html
    assert 'value="hand-over"' in html
    assert 'name="part"' in html
    assert "This field is required" not in html
    trip.refresh_from_db()
    assert trip.driver == first


@pytest.mark.parametrize(
    ("status", "mode", "words"),
    [
        ("arrived", "hand-over", "it cannot get another driver any more"),
        ("completed", "reassign", "This trip is over."),
        ("accepted", "hand-over", "it can be moved to another driver"),
        ("accepted", "assign", "it can be moved to another driver"),
        ("unfilled", "reassign", "a driver can be assigned now"),
        ("unfilled", "hand-over", "a driver can be assigned now"),
    ],
)
def test_each_refused_choice_of_a_driver_says_what_became_of_the_trip(
    give: Give, status: str, mode: str, words: str
) -> None:
    driver = None if status == "unfilled" else DriverFactory(at=ALMATY)
    trip = TripFactory(status=status, driver=driver)
    answer = give(trip, DriverFactory(at=ALMATY), mode, reason="nearer")
    assert answer.status_code == 409
    assert words in answer.content.decode()


def test_a_trip_booked_by_phone_says_who_took_the_call(desk: Client, staff: User) -> None:
    trip = TripFactory(status="unfilled", organiser=PassengerFactory(name="Aliya Karimova"))
    TripTransition.objects.filter(trip=trip).delete()
    TripTransition.objects.create(trip=trip, from_status="draft", to_status="published", role="staff", by=staff)
    html = read(desk, f"/ops/trips/{trip.pk}/")
    entry = html[html.index("Booked by phone") :].split("</li>", 1)[0]
    assert f"{staff.name} · Staff" in entry
    assert "for Aliya Karimova" in entry


def test_candidates_say_once_that_they_are_on_a_trip_and_never_that_a_past_one_is_next(desk: Client) -> None:
    trip = TripFactory(status="unfilled")
    driver = DriverFactory(at=ALMATY, availability="busy")
    TripFactory(status="in_transit", driver=driver, in_=-dt.timedelta(minutes=20))
    html = read(desk, f"/ops/trips/{trip.pk}/driver/")
    assert "now on the trip" in html
    assert "next trip" not in html
    assert "has an overlapping trip" in html
    assert "assign-warning" not in html


def test_a_candidate_who_should_have_set_off_is_not_said_to_have_that_trip_next(desk: Client) -> None:
    trip = TripFactory(status="unfilled")
    TripFactory(status="accepted", driver=DriverFactory(at=ALMATY), in_=-dt.timedelta(minutes=5))
    assert "has not set off yet for the trip of" in read(desk, f"/ops/trips/{trip.pk}/driver/")


# Editing


class BookingFields(HTMLParser):
    """The fields of the booking form: which of them a person sees, and what a browser sends."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.shown: set[str] = set()
        self.sent: dict[str, Any] = {}
        self._hidden: list[bool] = []
        self._text = ""
        start = html.index('<form id="booking-form"')
        self.feed(html[start : html.index("</form>", start)])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        name, kind = found.get("name") or "", found.get("type")
        if tag in ("input", "textarea", "select") and name:
            if kind != "hidden" and not any(self._hidden):
                self.shown.add(name)
            if kind not in ("radio", "checkbox") or "checked" in found:
                self.sent[name] = found.get("value") or ""
            self._text = name if tag == "textarea" else ""
        if tag in ("div", "fieldset", "details", "ul", "p"):
            self._hidden.append("hidden" in found)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("div", "fieldset", "details", "ul", "p"):
            self._hidden.pop()
        self._text = ""

    def handle_data(self, data: str) -> None:
        if self._text:
            self.sent[self._text] = data.strip()


def shown_fields(html: str) -> set[str]:
    return BookingFields(html).shown


@pytest.mark.parametrize(
    ("status", "shown", "words"),
    [
        ("in_transit", {"dropoff_name", "fare", "reason"}, "only the destination and the fare can still change"),
        ("arrived", {"fare", "reason"}, "The passengers have arrived: only the fare can still change"),
    ],
)
def test_editing_shows_what_can_still_change(desk: Client, status: str, shown: set[str], words: str) -> None:
    trip = TripFactory(status=status, driver=DriverFactory(at=ALMATY), note="at the gate")
    html = read(desk, f"/ops/trips/{trip.pk}/edit/")
    assert shown_fields(html) == shown
    assert words in html
    assert "at the gate" in html.split('<form id="booking-form"', 1)[0]


def test_editing_at_the_pickup_leaves_pickup_and_time_alone(desk: Client) -> None:
    trip = TripFactory(status="driver_arrived", driver=DriverFactory(at=ALMATY))
    html = read(desk, f"/ops/trips/{trip.pk}/edit/")
    shown = shown_fields(html)
    assert {"dropoff_name", "seats", "vehicle_class", "note"} <= shown
    assert shown.isdisjoint({"pickup_name", "departure", "traveller_name"})
    assert "Take back the arrival first" in html


def test_editing_before_that_shows_all_and_no_limit(desk: Client) -> None:
    html = read(desk, f"/ops/trips/{TripFactory(status='accepted', driver=DriverFactory(at=ALMATY)).pk}/edit/")
    assert {"pickup_name", "departure", "seats", "note", "fare"} <= shown_fields(html)
    assert "edit-limit" not in html


def sent_form(html: str, **changed: Any) -> dict[str, Any]:
    return {**BookingFields(html).sent, **changed}


def test_a_form_with_fixed_parts_is_saved(desk: Client) -> None:
    trip = TripFactory(status="in_transit", driver=DriverFactory(at=ALMATY))
    data = sent_form(read(desk, f"/ops/trips/{trip.pk}/edit/"), fare="4321", reason="agreed")
    assert desk.post(f"/ops/trips/{trip.pk}/edit/", data).status_code == 302
    trip.refresh_from_db()
    assert trip.fare == 4321


def test_a_form_whose_trip_has_gone_on_is_drawn_anew_with_what_still_can_change(desk: Client) -> None:
    trip = TripFactory(status="accepted", driver=DriverFactory(at=ALMATY))
    before = trip.note
    page = read(desk, f"/ops/trips/{trip.pk}/edit/")
    data = sent_form(page, seats="2", fare="4321", reason="agreed")
    Trip.objects.filter(pk=trip.pk).update(status="in_transit")
    answer = desk.post(f"/ops/trips/{trip.pk}/edit/", data)
    html = answer.content.decode()
    assert answer.status_code == 409
    assert shown_fields(html) == {"dropoff_name", "fare", "reason"}
    assert desk.post(f"/ops/trips/{trip.pk}/edit/", sent_form(html)).status_code == 302
    trip.refresh_from_db()
    assert (trip.fare, trip.seats, trip.note) == (4321, 1, before)


def test_list_says_who_of_the_two_drives(desk: Client) -> None:
    driver = DriverFactory(user__name="Nurlan Akhmetov")
    TripFactory(driver=driver, status="accepted", organiser__name="Anton Vlasov")
    page = re.sub(r"\s+", " ", strip_tags(desk.get("/ops/trips/").content.decode()))
    assert "Passenger: Anton Vlasov" in page
    assert "Driver: Nurlan Akhmetov" in page
