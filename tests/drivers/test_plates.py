"""Number plates: one normal form however they are typed, a readable form, and what the migration does with doubles."""

from importlib import import_module
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction

from drivers.models import Vehicle
from drivers.plates import is_doubtful, normal_plate, readable_plate
from realtime.models import Notification
from tests.backoffice import list_url, member_of_staff, page_url, signed_in
from tests.factories import DriverFactory, StaffFactory, TripFactory, VehicleFactory

# As it is typed, stored and shown: Kazakhstan, its neighbours, and what is typed wrongly.
PLATES = [
    ("123 abc 02", "123ABC02", "123 ABC 02"),
    ("123ABC02", "123ABC02", "123 ABC 02"),
    ("123-АВС.02", "123ABC02", "123 ABC 02"),
    (" 123\u00a0авс\u200b02 ", "123ABC02", "123 ABC 02"),
    ("\uff11\uff12\uff13ABC02", "123ABC02", "123 ABC 02"),
    ("123 AB 01", "123AB01", "123 AB 01"),
    ("123 КМ 01", "123KM01", "123 KM 01"),
    ("А 123 ВС 77", "A123BC77", "A 123 BC 77"),
    ("о001оо777", "O001OO777", "O 001 OO 777"),
    ("01 KG 123 ABC", "01KG123ABC", "01 KG 123 ABC"),
    ("01 а 123 аа", "01A123AA", "01 A 123 AA"),
    ("01 123 aaa", "01123AAA", "01 123 AAA"),
    ("ІҺҮ 1", "IHY1", "IHY 1"),
    ("ΑΒΕ 1", "ABE1", "ABE 1"),
    ("123 ЖЯЛ 02", "123ЖЯЛ02", "123 ЖЯЛ 02"),
    ("O 0", "O0", "O 0"),
    ("--- ", "", ""),
]
SPELLINGS = ["123 abc 02", "123-ABC-02", "123авс02", "АВС", "abc 123", "bc0", "123.abc"]


@pytest.mark.embedded_only
@pytest.mark.parametrize(("typed", "stored", "shown"), PLATES)
def test_a_plate_has_one_normal_form_and_one_to_read(typed: str, stored: str, shown: str) -> None:
    assert normal_plate(typed) == stored
    assert normal_plate(shown) == stored
    assert readable_plate(typed) == shown
    assert not is_doubtful(stored)


@pytest.mark.django_db
def test_every_way_of_writing_a_plate_stores_its_normal_form() -> None:
    made = VehicleFactory.create(plate="123 авс 02")
    (many,) = Vehicle.objects.bulk_create([VehicleFactory.build(plate="124-abc-02")])
    updated = VehicleFactory.create()
    Vehicle.objects.filter(pk=updated.pk).update(plate="125 abc 02")
    assert [made.plate, many.plate] == ["123ABC02", "124ABC02"]
    assert sorted(Vehicle.objects.values_list("plate", flat=True)) == ["123ABC02", "124ABC02", "125ABC02"]
    assert Vehicle.objects.get(plate="125-АВС-02").pk == updated.pk


@pytest.mark.django_db
def test_the_database_refuses_the_same_plate_in_another_spelling() -> None:
    VehicleFactory.create(plate="123 ABC 02")
    with pytest.raises(IntegrityError), transaction.atomic():
        VehicleFactory.create(plate="123авс02")


def form(**changes: str) -> dict[str, str]:
    vehicle = {"plate": "123 ABC 02", "make": "Toyota", "model": "Camry", "colour": "White", "year": ""}
    return {**vehicle, "vehicle_class": "sedan", "seats": "4", **changes}


@pytest.mark.django_db
def test_staff_enter_a_plate_in_any_spelling_and_each_only_once() -> None:
    client = signed_in(StaffFactory.create())
    add = f"{list_url(Vehicle)}add/"
    assert client.post(add, form(plate="123-авс 02")).status_code == 302
    assert Vehicle.objects.get().plate == "123ABC02"
    for taken in ("123ABC02", "123 ABC 02", "123 АВС 02"):
        assert list(client.post(add, form(plate=taken)).context["adminform"].form.errors) == ["plate"]
    for wrong in ("---", "124 ABC 02 #2", "1" * 17):
        assert list(client.post(add, form(plate=wrong)).context["adminform"].form.errors) == ["plate"]
    assert 'value="123 ABC 02"' in client.get(page_url(Vehicle.objects.get())).content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("term", SPELLINGS)
@pytest.mark.parametrize("listing", ["vehicle", "driver", "trip"])
def test_staff_find_a_plate_in_any_spelling(term: str, listing: str) -> None:
    trip = TripFactory.create(
        status="accepted", driver=DriverFactory.create(vehicle=VehicleFactory.create(plate="123 ABC 02"))
    )
    TripFactory.create(status="accepted", driver=DriverFactory.create(vehicle=VehicleFactory.create(plate="456MM09")))
    wanted = {"vehicle": trip.vehicle, "driver": trip.driver, "trip": trip}[listing]
    response = signed_in(StaffFactory.create()).get(list_url(type(wanted)), {"q": term})
    assert [row.pk for row in response.context["cl"].result_list] == [wanted.pk]


@pytest.mark.django_db
def test_a_search_without_letters_and_digits_finds_no_plate() -> None:
    VehicleFactory.create()
    response = signed_in(StaffFactory.create()).get(list_url(Vehicle), {"q": "--"})
    assert list(response.context["cl"].result_list) == []


# The migration

normalise = import_module("drivers.migrations.0013_plates").normalise


def stored_as(*plates: str) -> list[int]:
    """Vehicles with plates as releases before the normal form had stored them."""
    pks = [VehicleFactory.create().pk for _plate in plates]
    with connection.cursor() as cursor:
        for pk, plate in zip(pks, plates, strict=True):
            cursor.execute("UPDATE drivers_vehicle SET plate = %s WHERE id = %s", [plate, pk])
    return pks


def migrated(*plates: str) -> list[str]:
    pks = stored_as(*plates)
    normalise(apps, SimpleNamespace(connection=connection))
    found = dict(Vehicle.objects.values_list("pk", "plate"))
    return [found[pk] for pk in pks]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["123 abc 02", "124 АВС 02"], ["123ABC02", "124ABC02"]),
        (["123 abc 02", "123-ABC-02", "123авс02"], ["123ABC02", "123ABC02#2", "123ABC02#3"]),
        (["123 abc 02", "123ABC02"], ["123ABC02#2", "123ABC02"]),
        (["123 abc 02", "123ABC02#2", "123ABC02"], ["123ABC02#3", "123ABC02#2", "123ABC02"]),
        (["---", "...", "A1"], ["#2", "#3", "A1"]),
        (
            ["\ufdfa" * 2],
            ["\u0635\u0644\u0649\u0627\u0644\u0644\u0647\u0639\u0644\u064a\u0647\u0648\u0633\u0644\u0645\u0635"],
        ),
    ],
    ids=["other plates", "the first keeps it", "the normal one keeps it", "a suffix is taken", "no plates", "too long"],
)
def test_the_migration_keeps_every_vehicle(before: list[str], after: list[str]) -> None:
    assert migrated(*before) == after
    assert migrated() == []
    assert sorted(Vehicle.objects.values_list("plate", flat=True)) == sorted(after)


@pytest.mark.django_db
def test_staff_are_told_of_plates_in_doubt_and_correct_them() -> None:
    member_of_staff("drivers.view_vehicle")
    client = member_of_staff("drivers.change_vehicle", "drivers.view_vehicle")
    assert migrated("123 abc 02", "123ABC02") == ["123ABC02#2", "123ABC02"]
    told = Notification.objects.get()
    assert told.user.has_perm("drivers.change_vehicle")
    (row,) = client.get(told.action_url).context["cl"].result_list
    assert row.plate == "123ABC02#2"
    assert "123 ABC 02, in doubt" in client.get(list_url(Vehicle)).content.decode()
    # Passengers look for the plate as it is on the vehicle.
    assert row.plate_text == "123 ABC 02"

    # Another field is corrected first, the plate stays in doubt; then the plate.
    assert client.post(page_url(row), form(plate="123 ABC 02 #2", colour="Red")).status_code == 302
    assert client.post(page_url(row), form(plate="777 NEW 02", colour="Red")).status_code == 302
    row.refresh_from_db()
    assert (row.plate, row.colour) == ("777NEW02", "Red")
