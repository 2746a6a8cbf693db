"""Places from a CSV file of staff: what it adds and changes, errors by row, who may; places on their own pages."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from tests.backoffice import list_url, member_of_staff, page_url, said
from trips import places
from trips.models import Place, PlaceSource
from trips.places.csv_import import MOST_ROWS, RowError, import_csv
from trips.places.curated import write_curated

pytestmark = pytest.mark.django_db

URL = "admin:trips_place_import_file"
IMPORT = ("trips.add_place", "trips.change_place", "trips.view_place")
HEAD = "name_en,name_ru,name_kk,lat,lng,country,kind,aliases\n"


def test_rows_become_places_that_search_finds() -> None:
    outcome = import_csv((HEAD + "Hotel Kazakhstan,Гостиница Казахстан,,43.2451,76.9577,kz,other,HK; Отель\n").encode())
    assert (outcome.added, outcome.changed, outcome.errors) == (1, 0, [])
    place = Place.objects.get(name_en="Hotel Kazakhstan")
    assert (place.source, place.country, place.kind) == (PlaceSource.STAFF, "KZ", "other")
    assert [found.name for found in places.search("гостиница казахст")] == ["Hotel Kazakhstan"]
    assert places.search("отель")[0].name == "Hotel Kazakhstan"


@pytest.mark.parametrize(
    "text",
    [
        "name_en;lat;lng\r\nDepot;43,25;76,9\r\n",
        "\ufeffname_en;lat;lng\nDepot;43.25;76.9",
        "name_en\tlat\tlng\nDepot\t43.25\t76.9\n\n",
        'lng,lat,name_en\n76.9,43.25,"Depot"\n',
    ],
)
def test_files_of_spreadsheets_are_read(text: str) -> None:
    assert import_csv(text.encode()).added == 1
    place = Place.objects.get(name_en="Depot")
    assert (place.lat, place.lng) == (43.25, 76.9)


def test_same_file_again_changes_its_own_rows() -> None:
    text = b"name_en,lat,lng,rank\nDepot,43.25,76.9,50\nDepot,51.1,71.4,50\n"
    assert import_csv(text).added == 2
    again = import_csv(text.replace(b"50", b"60"))
    assert (again.added, again.changed) == (0, 2)
    assert list(Place.objects.filter(name_en="Depot").values_list("rank", flat=True)) == [60, 60]


def test_slug_changes_a_place_which_is_staffs_from_then_on() -> None:
    text = "slug,name_en,name_ru,lat,lng,popular\nsight-medeu,Medeu rink,Каток Медеу,43.16,77.08,\n"
    assert import_csv(text.encode()).changed == 1
    write_curated()
    place = Place.objects.get(slug="sight-medeu")
    assert (place.name_en, place.name_kk, place.source, place.popular) == ("Medeu rink", "Медеу", "staff", None)


def test_errors_are_said_by_row_and_nothing_is_imported() -> None:
    before = Place.objects.count()
    outcome = import_csv(
        b"slug,name_en,lat,lng,kind,rank\n"
        b",Good,43.2,76.9,city,40\n"
        b",,43.2,76.9,city,40\n"
        b",Far north,95,76.9,city,40\n"
        b",Words,north,east,city,40\n"
        b",Endless,nan,inf,city,40\n"
        b",Kind,43.2,76.9,planet,40\n"
        b"no-such-slug,Key,43.2,76.9,city,40\n"
        b",Short,43.2\n"
        b",Long,43.2,76.9,city,40,more\n"
        b"sight-medeu,Twice,43.2,76.9,sight,40\n"
        b"sight-medeu,Twice,43.2,76.9,sight,40\n"
    )
    assert (outcome.added, outcome.changed) == (0, 0)
    assert Place.objects.count() == before
    assert Place.objects.get(slug="sight-medeu").name_en == "Medeu"
    assert {error.line for error in outcome.errors} == {3, 4, 5, 6, 7, 8, 9, 10, 12}
    messages = {error.line: error.message for error in outcome.errors}
    assert messages[3] == "Empty: name_en."
    assert messages[4] == "lat: Ensure this value is less than or equal to 90."
    assert messages[5] == "lat: “north” is no number."
    assert "no-such-slug" in messages[8]
    assert messages[12] == "Line 11 is the same place."


@pytest.mark.parametrize(
    ("data", "said_"),
    [
        (b"", "Columns are missing: name_en, lat, lng."),
        (b"name_en,lat\nA,1\n", "Columns are missing: lng."),
        (b"name_en,lat,lng,colour\nA,1,2,red\n", "Unknown columns: colour."),
        ("name_en,lat,lng\nПарк,1,2\n".encode("cp1251"), "The file is not UTF-8. In a spreadsheet choose “CSV UTF-8”."),
        (b"name_en,lat,lng\n" + b"A,1,2\n" * (MOST_ROWS + 1), f"At most {MOST_ROWS} rows at once."),
    ],
)
def test_file_that_is_none_is_refused(data: bytes, said_: str) -> None:
    assert import_csv(data).errors == [RowError(1, said_)]


def test_many_errors_are_counted() -> None:
    outcome = import_csv(b"name_en,lat,lng\n" + b"A,x,2\n" * 60)
    assert (len(outcome.errors), outcome.more) == (50, 10)


# In the administration


def send(client: Any, data: bytes) -> Any:
    return client.post(reverse(URL), {"file": SimpleUploadedFile("places.csv", data)})


def test_staff_import_a_file() -> None:
    client = member_of_staff(*IMPORT)
    assert client.get(reverse(URL)).status_code == 200
    response = send(client, b"name_en,lat,lng\nDepot,43.2,76.9\n")
    assert (response.status_code, response["Location"]) == (302, list_url(Place))
    assert said(response) == ["success: 1 place added, 0 changed."]
    assert Place.objects.filter(name_en="Depot").exists()


def test_staff_see_errors_by_row() -> None:
    response = send(member_of_staff(*IMPORT), b"name_en,lat,lng\nDepot,43.2,east\n<b>,200,1\n")
    assert response.status_code == 422
    page = response.content.decode()
    assert "Line 2: lng: “east” is no number." in page
    assert "Line 3: lat:" in page
    assert not Place.objects.filter(name_en="Depot").exists()


def test_import_without_a_file_says_so() -> None:
    response = member_of_staff(*IMPORT).post(reverse(URL), {})
    assert response.status_code == 422
    assert "This field is required." in response.content.decode()


@pytest.mark.parametrize("permissions", [("trips.view_place",), ("trips.view_place", "trips.change_place")])
def test_import_needs_adding_and_changing(permissions: tuple[str, ...]) -> None:
    client = member_of_staff(*permissions)
    assert client.get(reverse(URL)).status_code == 403
    assert send(client, b"name_en,lat,lng\nDepot,43.2,76.9\n").status_code == 403
    assert not Place.objects.filter(name_en="Depot").exists()


def test_edited_place_is_staffs() -> None:
    client = member_of_staff(*IMPORT)
    place = Place.objects.get(slug="sight-medeu")
    fields = {name: getattr(place, name) for name in ("kind", "name_en", "name_kk", "aliases", "lat", "lng", "country")}
    fields |= {name: getattr(place, name) for name in ("region", "address_en", "address_ru", "address_kk", "rank")}
    fields |= {"popular": place.popular, "is_shown": "on", "name_ru": "Медео"}
    response = client.post(page_url(place), {name: value for name, value in fields.items() if value is not None})
    assert response.status_code == 302, response.context["errors"]
    write_curated()
    changed = Place.objects.get(pk=place.pk)
    assert (changed.name_ru, changed.source) == ("Медео", PlaceSource.STAFF)
    assert changed.revision > place.revision


def test_list_finds_a_place_however_it_is_spelled() -> None:
    client = member_of_staff("trips.view_place")
    page = client.get(list_url(Place), {"q": "Qaragandy"}).content.decode()
    assert "Караганда" in page
    assert "Тараз" not in page
