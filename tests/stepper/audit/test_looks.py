"""Looks of staff at people's data: a row a quarter of an hour, for each member of staff and person."""

import datetime as dt
import html
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest
from django.core.cache import cache
from django.db import connections
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from stepper.audit import looks
from stepper.models import AuditEntry, User
from stepper.ops import urls as ops_urls
from tests.backoffice import list_url, member_of_staff, page_url, signed_in
from tests.factories import ALMATY, DriverFactory, OfferFactory, PassengerFactory, StaffFactory, TripFactory
from tests.papers import document
from trips.reports import keeping

pytestmark = pytest.mark.django_db


def seen(staff: User | None = None) -> list[tuple[Any, ...]]:
    """Person, kind of row and its number of the looks so far."""
    rows = AuditEntry.objects.filter(action="look", **({"actor": staff} if staff else {})).order_by("person", "pk")
    return list(rows.values_list("person", "model", "object_id"))


def test_pages_of_the_administration_say_whose_data_they_showed() -> None:
    staff, person = StaffFactory.create(), PassengerFactory.create()
    client = signed_in(staff)
    for _again in range(2):
        assert client.get(page_url(person), REMOTE_ADDR="203.0.113.5").status_code == 200
    assert seen(staff) == [(person.pk, "stepper.user", str(person.pk))]
    row = AuditEntry.objects.get()
    assert (row.address, row.via) == ("203.0.113.5", "admin:stepper_user_change")


def test_trip_shows_its_passenger_and_its_driver() -> None:
    staff, trip = StaffFactory.create(), TripFactory.create(status="accepted")
    signed_in(staff).get(f"/trips/{trip.pk}/")
    expected = [(person, "trips.trip", str(trip.pk)) for person in sorted([trip.organiser_id, trip.driver.user_id])]
    assert seen(staff) == expected


def test_whoever_is_on_the_trip_looks_at_nothing_of_others(client: Client) -> None:
    trip = TripFactory.create(status="accepted", organiser=StaffFactory.create())
    for user in (trip.organiser, trip.driver.user):
        client.force_login(user)
        assert client.get(f"/trips/{trip.pk}/").status_code == 200
    assert seen() == []


def test_rest_of_staff_is_a_look(client: Client) -> None:
    trip, staff = TripFactory.create(), StaffFactory.create()
    client.force_login(staff)
    assert client.get(f"/api/trips/{trip.pk}").status_code == 200
    assert client.get("/api/trips").status_code == 200
    assert sorted(seen(staff), key=str) == sorted(
        [(trip.organiser_id, "trips.trip", str(trip.pk)), (None, "trips.trip", "")], key=str
    )


def test_picture_of_a_document_is_not_hidden_behind_a_look_at_the_person(client: Client) -> None:
    staff, driver = StaffFactory.create(), DriverFactory.create()
    row = document(driver.user, "licence")
    client.force_login(staff)
    client.get(page_url(driver))
    assert client.get(f"/drivers/documents/{row.pk}/picture/").status_code == 200
    assert seen(staff) == [
        (driver.user_id, "drivers.driver", str(driver.pk)),
        (driver.user_id, "drivers.driverdocument", str(row.pk)),
    ]


def test_list_is_one_row_without_names() -> None:
    staff = StaffFactory.create()
    client = signed_in(staff)
    for query in ("", "?q=Unmistakable"):
        assert client.get(list_url(User) + query).status_code == 200
    assert seen(staff) == [(None, "stepper.user", "")]
    assert "Unmistakable" not in str(list(AuditEntry.objects.values()))


def test_refused_page_is_no_look() -> None:
    person = PassengerFactory.create()
    assert member_of_staff("trips.view_trip").get(page_url(person)).status_code == 403
    assert seen() == []


# How each page of the operations room is asked for, as whoever works there does (POST: data; else a query), and what it
# answers with: nothing needs a person here, and a booking lacks all but the caller.
OPS_PAGES: dict[str, dict[str, Any]] = {
    "room": {},
    "system": {},
    "stay": {"data": {}, "status": 204},
    "queue": {},
    "claim": {"args": ["trip", "{trip}"], "data": {"action": "claim"}, "status": 409},
    "search": {"query": "q=Unmistakable"},
    "in-view": {"query": "south=43&west=76&north=44&east=77"},
    "map-driver": {"args": ["{driver}"]},
    "map-trip": {"args": ["{trip}"]},
    "audit": {"query": "person={passenger}"},
    "audit-export": {"data": {"person": "{passenger}"}},
    # The number is the one that was typed; who has it is asked by the page.
    "call": {},
    "call-caller": {"data": {"phone": "{phone}"}},
    "call-quote": {"data": {"phone": "{phone}"}},
    "call-book": {"data": {"phone": "{phone}"}, "status": 422},
    "trips": {"query": "q=Unmistakable"},
    "trip": {"args": ["{trip}"]},
    "trip-history": {"args": ["{trip}"], "query": "before={later}"},
    "trip-trail": {"args": ["{trip}"]},
    "trip-pick": {"args": ["{trip}"]},
    "trip-edit": {"args": ["{trip}"]},
    "trip-act": {"args": ["{trip}", "cancel"]},
    "drivers": {"query": "q=Unmistakable"},
    "driver": {"args": ["{driver}"]},
    "driver-history": {"args": ["{driver}"], "query": "before={later}"},
    "driver-act": {"args": ["{driver}", "suspend"]},
    "reports": {},
    "report": {"args": ["drivers"]},
    "report-file": {"args": ["drivers", "csv"]},
    "report-statement": {"query": "q=Unmistakable"},
    "report-statement-file": {"args": ["csv"], "query": "driver={driver}"},
    "fares": {},
}


def test_every_page_of_the_operations_room_that_names_somebody_is_a_look() -> None:
    """Whose name, phone or plate the answer has, of them there is a look, or one at a list of their kind."""
    assert {str(pattern.name) for pattern in ops_urls.urlpatterns} == set(OPS_PAGES)
    drivers = [DriverFactory.create(at=ALMATY, user__name=f"{name} Unmistakable") for name in ("Daniyar", "Erlan")]
    passenger = PassengerFactory.create(name="Zhanar Unmistakable")
    trip = TripFactory.create(status="accepted", driver=drivers[0], organiser=passenger)
    OfferFactory.create(trip=trip, driver=drivers[1], status="declined")
    TripFactory.create(status="completed", driver=drivers[1], organiser=passenger)
    keeping.rebuild()
    values = {
        "{trip}": str(trip.pk),
        "{driver}": str(drivers[0].pk),
        "{passenger}": str(passenger.pk),
        "{phone}": str(passenger.phone),
        "{later}": (timezone.now() + dt.timedelta(days=1)).isoformat(),
    }

    def filled(text: str) -> str:
        for mark, value in values.items():
            text = text.replace(mark, value)
        return text

    naming, unseen = set(), {}
    for name, asked in OPS_PAGES.items():
        staff = StaffFactory.create()
        client = signed_in(staff)
        address = reverse(f"ops:{name}", args=[filled(one) for one in asked.get("args", [])])
        if "data" in asked:
            response = client.post(address, {key: filled(one) for key, one in asked["data"].items()})
        else:
            response = client.get(f"{address}?{quote(filled(asked.get('query', '')), safe='=&')}")
        assert response.status_code == asked.get("status", 200), name
        shown = html.unescape(response.getvalue().decode())
        named = {
            person.pk
            for person in (passenger, *(driver.user for driver in drivers))
            if any(str(mark) in shown for mark in (person.name, person.phone))
        }
        # A file of the log is an entry of its own.
        looked = set(
            AuditEntry.objects.filter(action__in=["look", "export"], actor=staff).values_list("person", flat=True)
        )
        if named:
            naming.add(name)
        if named - looked and None not in looked:
            unseen[name] = named - looked
    assert not unseen
    assert naming >= {
        *("search", "in-view", "map-driver", "map-trip", "audit", "audit-export", "call-caller", "trips", "trip"),
        *("trip-history", "trip-pick", "drivers", "driver", "report", "report-file", "report-statement"),
    }


def request_of(user: User) -> Any:
    request = RequestFactory().get("/")
    request.user = user
    return request


def test_another_quarter_of_an_hour_is_another_row(monkeypatch: Any) -> None:
    staff, person = StaffFactory.create(), PassengerFactory.create()
    looks.looked_at(request_of(staff), [person.pk], "stepper.user", person.pk)
    later = timezone.now() + dt.timedelta(seconds=looks.MERGED_S)
    monkeypatch.setattr(looks.timezone, "now", lambda: later)
    looks.looked_at(request_of(staff), [person.pk], "stepper.user", person.pk)
    assert len(seen(staff)) == 2


def test_own_data_and_that_of_who_is_not_staff_is_nothing() -> None:
    staff, person = StaffFactory.create(), PassengerFactory.create()
    looks.looked_at(staff, [staff.pk, None], "stepper.user", staff.pk)
    looks.looked_at(person, [staff.pk], "stepper.user", staff.pk)
    assert seen() == []


@pytest.mark.django_db(transaction=True)
def test_looks_at_the_same_moment_are_one_row() -> None:
    staff, person = StaffFactory.create(), PassengerFactory.create()

    def look(_number: int) -> None:
        try:
            cache.clear()
            looks.looked_at(request_of(staff), [person.pk], "stepper.user", person.pk)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(look, range(8)))
    assert len(seen(staff)) == 1


def test_look_costs_one_statement_and_then_none(django_assert_num_queries: Any) -> None:
    staff, people = StaffFactory.create(), [PassengerFactory.create().pk for _number in range(3)]
    with django_assert_num_queries(1):
        looks.looked_at(request_of(staff), people, "trips.trip", 1)
    assert len(seen(staff)) == 3
