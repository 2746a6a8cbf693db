"""The audit log in the operations room: who may read it, what is found, its pages and its file."""

import asyncio
import csv
import datetime as dt
import io
import re
from typing import Any

import pytest
from django.db import connection
from django.test import AsyncClient, Client
from django.utils import timezone

from stepper.models import AuditEntry, User
from stepper.ops.audit_search import SearchForm, find_entries
from tests.backoffice import member_of_staff, signed_in
from tests.factories import PassengerFactory, StaffFactory, TripFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def reader() -> Client:
    return member_of_staff("stepper.view_auditentry")


def entry(**fields: Any) -> AuditEntry:
    return AuditEntry.objects.create(**{"action": "change", "model": "trips.trip", "object_id": "7"} | fields)


def shown(client: Client, **search: Any) -> list[int]:
    """Numbers of the entries on the page, in its order."""
    response = client.get("/ops/audit/", search)
    assert response.status_code == 200
    return [line.entry.pk for line in response.context["lines"] if line.entry.model != "stepper.auditentry"]


@pytest.mark.parametrize("permissions", [(), ("trips.view_trip", "drivers.view_driver", "stepper.view_securityevent")])
def test_staff_without_the_permission_read_nothing(permissions: tuple[str, ...]) -> None:
    client = member_of_staff(*permissions)
    assert client.get("/ops/audit/").status_code == 403
    assert client.post("/ops/audit/export/").status_code == 403


def test_entry_says_who_what_and_from_what_to_what(reader: Client) -> None:
    staff, person = StaffFactory.create(name="Asem Boss"), PassengerFactory.create(name="Aliya Rider")
    fields = {"status": ["offered", "accepted"], "note": None, "driver": [None, 31]}
    entry(actor=staff, person=person, fields=fields, address="203.0.113.9", via="admin:trips_trip_assign")
    page = reader.get("/ops/audit/").content.decode()
    for words in ("Asem Boss", "Aliya Rider", "203.0.113.9", "status: Asking drivers → Driver found"):
        assert words in page
    assert "driver: – → #31" in page


def test_erased_and_deleted_people_are_numbers(reader: Client) -> None:
    entry(actor_id=987_654, person_id=987_655)
    page = reader.get("/ops/audit/").content.decode()
    assert "deleted account (#987654)" in page
    assert "deleted account (#987655)" in page


def test_search_finds_by_each_field(reader: Client) -> None:
    staff = StaffFactory.create(email="boss@example.test")
    person = PassengerFactory.create(name="Zarina Rider", phone="+77015550001")
    day = timezone.localtime() - dt.timedelta(days=3)
    mine = entry(actor=staff, person=person, object_id="41", model="drivers.driver", action="delete", at=day)
    other = entry(actor=StaffFactory.create(), person=PassengerFactory.create(name="Other"))
    system = entry(via="command shell")
    assert shown(reader) == [system.pk, other.pk, mine.pk]
    for search in (
        {"actor": "boss@example.test"},
        {"actor": str(staff.pk)},
        {"person": "8 701 555 00 01"},
        {"person": "zarina"},
        {"number": "41"},
        {"model": "drivers.driver"},
        {"action": "delete"},
        {"since": f"{day:%d.%m.%Y}", "until": f"{day:%d.%m.%Y}"},
        {"actor": "boss@example.test", "person": "zarina", "action": "delete"},
    ):
        assert shown(reader, **search) == [mine.pk], search
    assert shown(reader, by="system") == [system.pk]
    assert shown(reader, by="staff", model="trips.trip") == [other.pk]
    assert shown(reader, actor="nobody at all") == []


@pytest.mark.parametrize("search", [{"since": "32.13.2026"}, {"action": "invented"}, {"model": "no.such"}])
def test_search_that_cannot_be_read_says_so(reader: Client, search: dict[str, str]) -> None:
    response = reader.get("/ops/audit/", search)
    assert response.status_code == 400
    assert response.context["form"].errors
    assert reader.post("/ops/audit/export/", search).status_code == 400


def test_pages_go_on_by_key_also_where_instants_are_equal(reader: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr("stepper.ops.audit.PAGE", 2)
    at = timezone.now()
    rows = [entry(at=at, object_id=str(number), action="look") for number in range(5)]
    found: list[int] = []
    url = "/ops/audit/?model=trips.trip"
    while url:
        response = reader.get(url)
        found += [line.entry.pk for line in response.context["lines"]]
        url = f"/ops/audit/{response.context['older']}" if response.context["older"] else ""
    assert found == [row.pk for row in reversed(rows)]


@pytest.mark.parametrize("before", ["x", "1", "-", "99999999999999999-1", "1-99999999999999999999", "²-3"])
def test_cursor_that_means_nothing_is_the_first_page(reader: Client, before: str) -> None:
    row = entry()
    assert shown(reader, before=before) == [row.pk]


@pytest.mark.parametrize("number", [1, 30])
def test_page_costs_the_same_whatever_is_on_it(reader: Client, django_assert_num_queries: Any, number: int) -> None:
    for _one in range(number):
        entry(actor=StaffFactory.create(), person=PassengerFactory.create(), fields={"driver": [1, 2]})
    reader.get("/ops/audit/")
    # Session, account, its second factor, permissions of its own and by group; the entries, the look at them, which
    # after a commit the cache knows; the menu's two.
    with django_assert_num_queries(9):
        reader.get("/ops/audit/")


@pytest.mark.parametrize(
    "search",
    [
        {},
        {"actor": "1"},
        {"person": "1"},
        {"model": "trips.trip", "number": "1"},
        {"number": "1"},
        {"number": "1", "since": "01.01.2026", "until": "01.02.2026"},
        {"action": "look"},
    ],
)
def test_entries_are_read_in_the_order_of_an_index(reader: Client, search: dict[str, str]) -> None:
    form = SearchForm(search)
    plan = find_entries(form).order_by("-at", "-pk")[:50]
    if connection.vendor == "sqlite":
        assert "TEMP B-TREE" not in plan.explain()
        assert "USING INDEX auditentry_" in plan.explain()
        assert ("object_id=?" in plan.explain()) == ("number" in search)
        return
    # Which of two indexes is read is decided by what is known about the rows, so there are some, known.
    now = timezone.now()
    AuditEntry.objects.bulk_create(
        AuditEntry(
            action=("look", "change")[number % 2],
            model="trips.trip",
            object_id=str(number),
            actor_id=number,
            person_id=number,
            at=now - dt.timedelta(hours=number),
        )
        for number in range(1, 2001)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE stepper_auditentry")
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
    assert "Index Scan using auditentry_" in plan.explain()
    if "number" in search:
        assert "object_id" in plan.explain().partition("Index Cond:")[2].partition("\n")[0]
    assert "Sort" not in plan.explain().replace("Incremental Sort", "")


def test_reading_is_a_look_and_of_one_person_at_that_person(reader: Client) -> None:
    person = PassengerFactory.create()
    for _again in range(2):
        reader.get("/ops/audit/")
        reader.get("/ops/audit/", {"person": person.email})
    looks = AuditEntry.objects.filter(action="look", model="stepper.auditentry").order_by("pk")
    assert list(looks.values_list("person", flat=True)) == [None, person.pk]


def read_csv(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))


def test_file_has_all_that_was_searched_for_without_formulas(reader: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr("stepper.ops.audit.EXPORTED_AT_ONCE", 2)
    evil = PassengerFactory.create(name="=HYPERLINK(1)")
    rows = [entry(person=evil, via="+evil") for _number in range(5)]
    entry(person=PassengerFactory.create())
    response = reader.post("/ops/audit/export/", {"person": str(evil.pk)})
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    head, *lines = read_csv(response.getvalue())
    assert head[0] == "Number"
    assert [int(line[0]) for line in lines] == [
        AuditEntry.objects.get(action="export").pk,
        *(row.pk for row in reversed(rows)),
    ]
    assert lines[-1][6:8] == ["'+evil", f"'=HYPERLINK(1) (#{evil.pk})"]


def test_each_file_is_an_entry(reader: Client) -> None:
    person = PassengerFactory.create()
    for _twice in range(2):
        reader.post("/ops/audit/export/", {"person": person.email}).getvalue()
    rows = AuditEntry.objects.filter(action="export")
    assert [(row.model, row.person) for row in rows] == [("stepper.auditentry", person)] * 2


@pytest.mark.django_db(transaction=True)
def test_server_sends_the_file_while_it_is_written(monkeypatch: Any) -> None:
    monkeypatch.setattr("stepper.ops.audit.EXPORTED_AT_ONCE", 1)
    staff: User = StaffFactory.create()
    rows = [entry() for _number in range(3)]
    cookies = signed_in(staff).cookies

    async def send() -> list[bytes]:
        client = AsyncClient()
        client.cookies = cookies
        response: Any = await client.post("/ops/audit/export/", {"model": "trips.trip"})
        assert response.is_async
        return [part async for part in response.streaming_content]

    parts = asyncio.run(send())
    assert len(parts) > 3
    assert [int(line[0]) for line in read_csv(b"".join(parts))[1:]] == [row.pk for row in reversed(rows)]


def test_link_leads_to_rows_that_the_reader_may_see() -> None:
    trip = TripFactory.create()
    entry(object_id=str(trip.pk))
    link = f'href="/admin/trips/trip/{trip.pk}/change/"'
    assert link not in member_of_staff("stepper.view_auditentry").get("/ops/audit/").content.decode()
    may_see = member_of_staff("stepper.view_auditentry", "trips.view_trip")
    assert link in may_see.get("/ops/audit/").content.decode()


def test_search_has_pickers_for_days_and_names_of_ours(reader: Client) -> None:
    page = reader.get("/ops/audit/?since=2026-11-27").content.decode()
    assert re.search(r'<input type="date" name="since" value="2026-11-27"', page)
    assert '<input type="date" name="until"' in page
    kinds = page.partition('name="model"')[2].partition("</select>")[0]
    assert "Groups of an account" in kinds
    for foreign in ("relationship", "Authenticator"):
        assert foreign not in kinds


def test_way_and_fields_are_written_in_words(reader: Client) -> None:
    entry(model="trips.tripshare", via="ops:trip-pick", fields={"token_digest": None})
    page = reader.get("/ops/audit/").content.decode()
    assert ">Operations room</span>" in page
    assert "token digest" not in page
