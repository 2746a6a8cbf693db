"""Drivers by the hundred thousand, made in the database: copies of one, put where people live.

Every table is filled by one statement from a template row, so a column that is added later needs nothing here.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django.db import connection, models, transaction
from django.utils import timezone

from drivers import geo
from drivers.models import Approval, Availability, Driver, DriverPosition, Vehicle
from stepper.models import User


class Town(NamedTuple):
    """Drivers are spread normally around the centre and none is further away than three `spread_km`."""

    lat: float
    lng: float
    spread_km: float
    share: float


ALMATY = Town(43.2220, 76.8512, 8.0, 0.45)
ASTANA = Town(51.1694, 71.4491, 8.0, 0.25)
# Towards a pole, and on both sides of the date line.
LONGYEARBYEN = Town(78.2232, 15.6267, 2.0, 0.01)
TAVEUNI = Town(-16.85, 179.995, 5.0, 0.01)
COUNTRY = (
    ALMATY,
    ASTANA,
    LONGYEARBYEN,
    TAVEUNI,
    *(
        Town(lat, lng, 5.0, 0.035)
        for lat, lng in (
            (49.8047, 73.1094),
            (42.3417, 69.5901),
            (50.2839, 57.1670),
            (43.6508, 51.1600),
            (42.8746, 74.5698),
            (40.5283, 72.7985),
            (41.2995, 69.2401),
            (39.6542, 66.9597),
        )
    ),
)


def points(count: int, seed: int, towns: Sequence[Town] = COUNTRY) -> Iterator[tuple[float, float]]:
    """`count` places (lat, lng), the same for the same seed."""
    chance = random.Random(seed)
    chosen = chance.choices(towns, [town.share for town in towns], k=count)
    for town in chosen:
        away_km = math.inf
        while away_km > 3 * town.spread_km:
            north_km, east_km = chance.gauss(0, town.spread_km), chance.gauss(0, town.spread_km)
            away_km = math.hypot(north_km, east_km)
        lng = town.lng + math.degrees(east_km / geo.EARTH_RADIUS_KM) / math.cos(math.radians(town.lat))
        yield town.lat + math.degrees(north_km / geo.EARTH_RADIUS_KM), (lng + 540) % 360 - 180


def add_drivers(first: int, count: int, places: Iterator[tuple[float, float]], available_every: int = 1) -> None:
    """Drivers `first` to `first + count - 1`, by id, with users and vehicles; every `available_every`th is online.

    Their wishes and papers differ a little, so that every kind of look-up has something to turn down: of a hundred
    drivers three have let their licence run out, four are dark, five want more money and four drive nobody far.
    """
    template = _template()
    online = f"n.i %% {available_every} = 0" if available_every > 1 else "n.i > 0"
    numbers = (
        f"generate_series({first}, {first + count - 1}) AS n(i)"
        if connection.vendor == "postgresql"
        else f"(WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {first + count - 1}) "
        "SELECT i FROM n) AS n"
    )
    yes, no = ("TRUE", "FALSE") if connection.vendor == "postgresql" else ("1", "0")
    past = "DATE '2020-01-01'" if connection.vendor == "postgresql" else "'2020-01-01'"
    with connection.cursor() as cursor:
        _without_foreign_keys(cursor)
        unique = {"id": "n.i", "email": "'driver' || n.i || '@bench.test'", "phone": "NULL"}
        _copy(cursor, User, numbers, template.user_id, unique)
        _copy(cursor, Vehicle, numbers, template.vehicle_id, {"id": "n.i", "plate": "'B' || n.i"})
        _copy(
            cursor,
            Driver,
            numbers,
            template.pk,
            {
                "id": "n.i",
                "user_id": "n.i",
                "vehicle_id": "n.i",
                "is_online": f"CASE WHEN {online} THEN {yes} ELSE {no} END",
                "availability": f"CASE WHEN {online} THEN '{Availability.AVAILABLE}' ELSE '{Availability.OFFLINE}' END",
                "licence_expires_on": f"CASE WHEN n.i / 2 %% 33 = 1 THEN {past} ELSE licence_expires_on END",
                "min_earnings": "CASE WHEN n.i / 2 %% 20 = 2 THEN 1000000 ELSE NULL END",
                "max_distance_km": "CASE WHEN n.i / 2 %% 25 = 3 THEN 0.01 ELSE NULL END",
            },
        )
        _add_positions(cursor, first, places, available_every)
        _with_foreign_keys(cursor)


def analyse() -> None:
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")


def _template() -> Driver:
    found = Driver.objects.filter(licence_number="template").first()
    if found is not None:
        return found
    user = User.objects.create(id=1_000_000_000, name="Daniyar Driver", email="template@bench.test")
    vehicle = Vehicle.objects.create(
        id=1_000_000_000, make="Toyota", model="Camry", colour="White", plate="template", seats=4
    )
    return Driver.objects.create(
        id=1_000_000_000,
        user=user,
        vehicle=vehicle,
        approval=Approval.APPROVED,
        licence_number="template",
        licence_expires_on=timezone.localdate().replace(year=timezone.localdate().year + 5, day=1),
    )


def _copy(
    cursor: Any, model: type[models.Model], numbers: str, template_id: int | None, changed: Mapping[str, str]
) -> None:
    columns = [str(field.column) for field in model._meta.concrete_fields]
    values = ", ".join(changed.get(column, f"{column}") for column in columns)
    name = model._meta.db_table
    cursor.execute(
        f"INSERT INTO {name} ({', '.join(columns)}) "
        f"SELECT {values} FROM {numbers} CROSS JOIN (SELECT * FROM {name} WHERE id = %s) AS template",
        [template_id],
    )


def _add_positions(cursor: Any, first: int, places: Iterator[tuple[float, float]], available_every: int) -> None:
    now = timezone.now()
    dark = now.replace(year=now.year - 1, day=1)
    fields = DriverPosition._meta.concrete_fields
    blank = [field.get_default() for field in fields]
    names = [field.attname for field in fields]
    adapt = connection.ops.adapt_datetimefield_value if connection.vendor == "sqlite" else lambda at: at

    def rows() -> Iterator[list[Any]]:
        for number, (lat, lng) in enumerate(places, first):
            at = adapt(dark if number // 2 % 25 == 7 else now)
            row = dict(zip(names, blank, strict=True))
            row |= {"driver_id": number, "lat": lat, "lng": lng, "cell": geo.cell(lat, lng), "accuracy_m": 10.0}
            row |= {"recorded_at": at, "received_at": at, "dispatchable": number % available_every == 0}
            yield list(row.values())

    table, columns = DriverPosition._meta.db_table, ", ".join(names)
    if connection.vendor == "postgresql":
        with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
            for row in rows():
                copy.write_row(row)
    else:
        with transaction.atomic():
            marks = ", ".join(["%s"] * len(names))
            cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows())


def _without_foreign_keys(cursor: Any) -> None:
    """Rows that are made together need no check, which would take most of the time."""
    sql = "SET session_replication_role = replica" if connection.vendor == "postgresql" else "PRAGMA foreign_keys = OFF"
    cursor.execute(sql)


def _with_foreign_keys(cursor: Any) -> None:
    sql = "SET session_replication_role = origin" if connection.vendor == "postgresql" else "PRAGMA foreign_keys = ON"
    cursor.execute(sql)
    if connection.vendor == "postgresql":
        # What is added later gets the numbers after these.
        for model in (User, Vehicle, Driver):
            name = model._meta.db_table
            sequence = f"pg_get_serial_sequence('{name}', 'id')"
            cursor.execute(f"SELECT setval({sequence}, greatest(nextval({sequence}), 2000000000))")
