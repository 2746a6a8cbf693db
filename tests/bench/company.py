"""A year of a company in the database, by a few statements: a million trips, five million offers, and the rest.

For PostgreSQL. Rows are copies of one that was made as tests make it, with some columns computed from the row's number.
"""

import datetime as dt
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tests.bench import population

DAYS = 365
DRIVERS, PASSENGERS = 1_000, 20_000
FIRST_PASSENGER = 100_000
# The keys of rows that were made one by one are higher.
TEMPLATES = 2_000_000_000
OFFERS_A_TRIP = 5
# Days of which changes of availability are kept, and how many a driver has on each.
SHIFT_DAYS, CHANGES_A_DAY = 90, 4
PLACES = 240


def fill(trips: int, now: dt.datetime) -> dict[str, int]:
    """Fill the tables; return how many rows each got."""
    from django.db import connection

    from drivers.geo import cell
    from drivers.models import AvailabilityChange
    from tests.factories import OfferFactory, TripFactory
    from trips.models import Booking, DispatchRound, Offer, Rating, Trip, TripTransition
    from trips.states import Role, TripStatus

    population.add_drivers(1, DRIVERS, population.points(DRIVERS, seed=1), available_every=2)
    models = (Trip, Offer, Booking, TripTransition, DispatchRound, Rating, AvailabilityChange)
    with connection.cursor() as cursor:
        for model in models:
            sequence = f"pg_get_serial_sequence('{model._meta.db_table}', 'id')"
            cursor.execute(f"SELECT setval({sequence}, {TEMPLATES})")
    trip = TripFactory(status=TripStatus.COMPLETED)
    offer = OfferFactory(trip=trip, status="expired")
    step = TripTransition.objects.create(
        trip=trip, from_status="arrived", to_status="completed", role=Role.DRIVER, by=trip.driver.user
    )
    round_ = DispatchRound.objects.create(
        trip=trip, number=1, considered=9, offered=5, reasons={"busy": 3, "too_far": 1}
    )
    rating = Rating.objects.create(
        trip=trip, role=Role.ORGANISER, by=trip.organiser, about=trip.driver.user, stars=5, comment="Thank you"
    )
    base = now - dt.timedelta(hours=2)
    age_s = f"({trips} - n.i) * {DAYS * 86400 / trips}"
    at = f"(to_timestamp({base.timestamp()}) - {age_s} * interval '1 second')"
    places = list(population.points(PLACES, seed=2, towns=population.COUNTRY[:2] + population.COUNTRY[4:]))

    def pick(values: Sequence[Any], by: str) -> str:
        return f"(ARRAY[{','.join(map(str, values))}])[1 + {by} %% {len(values)}]"

    numbers = f"generate_series(1, {trips}) AS n(i)"
    fare = "(500 + (n.i::bigint * 7919) %% 9000)"
    has_driver, ended = "n.i %% 10 <> 8", "n.i %% 10 < 7"
    driver = f"CASE WHEN {has_driver} THEN 1 + (n.i * 31) %% {DRIVERS} END"
    lat, lng = (
        pick([f"{point[0]:.5f}" for point in places], "n.i"),
        pick([f"{point[1]:.5f}" for point in places], "n.i"),
    )
    with connection.cursor() as cursor, _without_indexes(cursor):
        population._without_foreign_keys(cursor)
        people = f"generate_series({FIRST_PASSENGER}, {FIRST_PASSENGER + PASSENGERS - 1}) AS n(i)"
        user = {"id": "n.i", "email": "'p' || n.i || '@bench.test'", "phone": "'+7705' || lpad(n.i::text, 7, '0')"}
        _copy(cursor, type(trip.organiser), people, trip.organiser_id, user | {"name": "'Aliya Passenger' || n.i"})
        _copy(
            cursor,
            Trip,
            numbers,
            trip.pk,
            {
                "id": "n.i",
                "organiser_id": f"{FIRST_PASSENGER} + (n.i * 17) %% {PASSENGERS}",
                "status": f"CASE WHEN {ended} THEN 'completed' ELSE 'cancelled' END",
                "driver_id": driver,
                "vehicle_id": driver,
                "departure_at": at,
                "ends_at": f"{at} + interval '40 minutes'",
                "search_until": at,
                "created_at": f"{at} - interval '5 minutes'",
                "accepted_at": f"CASE WHEN {has_driver} THEN {at} - (300 - n.i %% 700) * interval '1 second' END",
                "completed_at": f"CASE WHEN {ended} THEN {at} + interval '40 minutes' END",
                "cancelled_at": f"CASE WHEN NOT {ended} THEN {at} END",
                "cancel_code": "CASE WHEN n.i %% 10 = 7 THEN 'plans_changed' ELSE '' END",
                "vehicle_class": "(ARRAY['sedan','sedan','suv','van','bus'])[1 + n.i %% 5]",
                "pickup_lat": lat,
                "pickup_lng": lng,
                "pickup_cell": pick([cell(*point) for point in places], "n.i"),
                "fare": fare,
                "platform_fee": f"{fare} * 15 / 100",
                "driver_earnings": f"{fare} - {fare} * 15 / 100",
                "request_key": "NULL",
            },
        )
        booking = Booking.objects.get(trip=trip.pk).pk
        status = f"CASE WHEN {ended} THEN 'completed' ELSE 'cancelled' END"
        passenger = f"{FIRST_PASSENGER} + (n.i * 17) %% {PASSENGERS}"
        of_trip = {"id": "n.i", "trip_id": "n.i", "created_at": f"{at} - interval '5 minutes'"}
        _copy(
            cursor, Booking, numbers, booking, of_trip | {"passenger_id": passenger, "status": status, "amount": fare}
        )
        role = "(ARRAY['driver','driver','driver','driver','driver','driver','driver','organiser','system','driver'])"
        last = {
            "from_status": "CASE n.i %% 10 WHEN 7 THEN 'accepted' WHEN 8 THEN 'unfilled' WHEN 9 THEN 'driver_arrived' "
            "ELSE 'arrived' END",
            "to_status": f"CASE WHEN {ended} THEN 'completed' ELSE 'cancelled' END",
            "role": f"{role}[1 + n.i %% 10]",
            "by_id": f"CASE WHEN {has_driver} THEN 1 + (n.i * 31) %% {DRIVERS} END",
        }
        # Its first step and its last one.
        first = {"id": "2 * n.i - 1", "from_status": "'draft'", "to_status": "'published'", "role": "'organiser'"}
        _copy(cursor, TripTransition, numbers, step.pk, of_trip | first | {"by_id": passenger})
        _copy(cursor, TripTransition, numbers, step.pk, of_trip | last | {"id": "2 * n.i", "created_at": at})
        _copy(
            cursor, DispatchRound, numbers, round_.pk, of_trip | {"offered": "CASE WHEN n.i %% 3 = 0 THEN 0 ELSE 5 END"}
        )
        rated = f"(SELECT i FROM generate_series(1, {trips}) AS all_(i) WHERE i %% 10 < 3) AS n(i)"
        driver_user = {"about_id": f"1 + (n.i * 31) %% {DRIVERS}", "by_id": passenger, "stars": "3 + n.i %% 3"}
        _copy(cursor, Rating, rated, rating.pk, of_trip | driver_user | {"created_at": f"{at} + interval '1 hour'"})
        _fill_offers(cursor, Offer, offer.pk, trips, base)
        _fill_shifts(cursor, base)
        population._with_foreign_keys(cursor)
    population.analyse()
    return {model.__name__: model._base_manager.count() for model in models}


def _fill_offers(cursor: Any, model: Any, template: int, trips: int, base: dt.datetime) -> None:
    trip = f"(1 + (n.i - 1) / {OFFERS_A_TRIP})"
    age_s = f"({trips} - {trip}) * {DAYS * 86400 / trips}"
    at = f"(to_timestamp({base.timestamp()}) - {age_s} * interval '1 second' - interval '4 minutes')"
    # The first one of a trip is its driver's.
    accepted = f"n.i %% {OFFERS_A_TRIP} = 1 AND {trip} %% 10 <> 8"
    _copy(
        cursor,
        model,
        f"generate_series(1, {trips * OFFERS_A_TRIP}) AS n(i)",
        template,
        {
            "id": "n.i",
            "trip_id": trip,
            "driver_id": f"1 + ({trip} * 31 + (n.i - 1) %% {OFFERS_A_TRIP} * 100) %% {DRIVERS}",
            "status": f"CASE WHEN {accepted} THEN 'accepted' WHEN n.i %% 3 = 0 THEN 'declined' ELSE 'expired' END",
            "created_at": at,
            "expires_at": f"{at} + interval '2 minutes'",
            "responded_at": f"{at} + interval '1 minute'",
        },
    )


def _fill_shifts(cursor: Any, base: dt.datetime) -> None:
    """Each driver comes online, drives, is online again and goes offline, on each of the last days."""
    from drivers.models import AvailabilityChange, Driver

    row = AvailabilityChange.objects.create(
        driver=Driver.objects.earliest("pk"),
        previous="offline",
        availability="available",
        is_online=True,
        cause="driver",
    )
    number = SHIFT_DAYS * CHANGES_A_DAY * DRIVERS
    nth = f"(n.i %% {CHANGES_A_DAY})"
    day = f"(n.i / {CHANGES_A_DAY * DRIVERS})"
    states = "(ARRAY['offline','available','busy','available','offline'])"
    _copy(
        cursor,
        AvailabilityChange,
        f"generate_series(0, {number - 1}) AS n(i)",
        row.pk,
        {
            "id": "n.i + 1000000",
            "driver_id": f"1 + n.i / {CHANGES_A_DAY} %% {DRIVERS}",
            "previous": f"{states}[1 + {nth}]",
            "availability": f"{states}[2 + {nth}]",
            "created_at": f"to_timestamp({base.timestamp()}) - ({SHIFT_DAYS} - {day}) * interval '1 day' "
            f"+ {nth} * interval '2 hours'",
        },
    )


def _copy(cursor: Any, model: Any, numbers: str, template: int, changed: Mapping[str, str]) -> None:
    started = time.perf_counter()
    table, key = model._meta.db_table, model._meta.pk.column
    columns = [str(field.column) for field in model._meta.concrete_fields]
    values = ", ".join(changed.get(column, f'template."{column}"') for column in columns)
    names = ", ".join(f'"{column}"' for column in columns)
    cursor.execute(
        f"INSERT INTO {table} ({names}) "
        f"SELECT {values} FROM {numbers} CROSS JOIN (SELECT * FROM {table} WHERE {key} = %s) AS template",
        [template],
    )
    print(f"{table}: {cursor.rowcount:,} rows in {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)


@contextmanager
def _without_indexes(cursor: Any) -> Iterator[None]:
    """Fill without the indexes that no constraint needs, and build them afterwards: in a third of the time."""
    cursor.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexdef NOT LIKE '% UNIQUE %' "
        "AND indexname NOT IN (SELECT conname FROM pg_constraint) "
        "AND tablename IN ('trips_trip', 'trips_offer', 'trips_booking', 'trips_triptransition', "
        "'trips_dispatchround', 'trips_rating', 'drivers_availabilitychange')"
    )
    dropped = cursor.fetchall()
    for name, _definition in dropped:
        cursor.execute(f'DROP INDEX "{name}"')
    yield
    started = time.perf_counter()
    cursor.execute("SET maintenance_work_mem = '512MB'")
    for _name, definition in dropped:
        cursor.execute(definition)
    print(f"{len(dropped)} indexes in {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
