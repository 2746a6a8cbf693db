"""The statements that write positions and trails."""

from collections.abc import Callable, Sequence

from django.db import connection, transaction

from drivers import geo
from drivers.positions.fixes import Fix
from drivers.positions.late import trail_time
from drivers.positions.trails import TrailFix
from stepper.db import pg_arrays
from stepper.db.transactions import isolate_failures

_COLUMNS = "driver_id, lat, lng, cell, heading_deg, speed_kmh, accuracy_m, recorded_at, received_at, jumped"
_DISPATCHABLE = (
    "(SELECT approval = 'approved' AND availability = 'available' FROM drivers_driver WHERE drivers_driver.id = {})"
)
_SET = ", ".join(f"{column} = {{0}}.{column}" for column in _COLUMNS.split(", ")[1:])
_ON_CONFLICT = (
    f"ON CONFLICT (driver_id) DO UPDATE SET {_SET.format('excluded')} "
    "WHERE (excluded.recorded_at, excluded.jumped) > "
    "(drivers_driverposition.recorded_at, drivers_driverposition.jumped)"
)
# PostgreSQL: makes rows from arrays of columns. unnest in FROM would first store all rows, which costs half as much
# again as the update itself.
_SENT = f"(SELECT {', '.join(f'unnest(%b) AS {column}' for column in _COLUMNS.split(', '))}) AS sent"
_NEW = (
    "SELECT driver_id, lat, lng, cell, NULLIF(heading_deg, 'NaN') AS heading_deg, "  # noqa: S608
    "NULLIF(speed_kmh, 'NaN') AS speed_kmh, NULLIF(accuracy_m, 'NaN') AS accuracy_m, "
    f"to_timestamp(recorded_at) AS recorded_at, to_timestamp(received_at) AS received_at, jumped FROM {_SENT}"
)
_UPDATE = (
    f"UPDATE drivers_driverposition AS old SET {_SET.format('new')} "  # noqa: S608
    f"FROM ({_NEW}) AS new WHERE old.driver_id = new.driver_id "
    "AND (new.recorded_at, new.jumped) > (old.recorded_at, old.jumped)"
)
# Only of an account that is open: a fix on its way must not bring back the position that went with the account. A
# deletion that is under way is waited for, and the account looked at again.
_INSERT = (
    f"INSERT INTO drivers_driverposition ({_COLUMNS}, dispatchable) "  # noqa: S608
    f"SELECT new.*, {_DISPATCHABLE.format('new.driver_id')} FROM ({_NEW}) AS new "
    "JOIN drivers_driver AS d ON d.id = new.driver_id JOIN stepper_user AS u ON u.id = d.user_id "
    "WHERE u.is_active "
    "AND NOT EXISTS (SELECT FROM drivers_driverposition AS old WHERE old.driver_id = new.driver_id) "
    f"ORDER BY new.driver_id FOR SHARE OF u {_ON_CONFLICT}"
)
# A row that is there is updated in any case: of an account that staff closed on a trip.
_MAY_BE_WRITTEN = (
    "(EXISTS (SELECT 1 FROM drivers_driver AS d JOIN stepper_user AS u ON u.id = d.user_id "
    "WHERE d.id = %s AND u.is_active) "
    "OR EXISTS (SELECT 1 FROM drivers_driverposition AS old WHERE old.driver_id = %s))"
)


def write_batch(fixes: Sequence[Fix], trail: Sequence[TrailFix]) -> None:
    """Write the drivers' latest fixes, ascending by driver, and points of trails, in one transaction.

    Does not wait for the disk: a lost second of positions is replaced by the next one.
    """
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                # A hash join would lock the rows in their order on the disk, not in the order of the fixes.
                cursor.execute("SET LOCAL synchronous_commit = off; SET LOCAL enable_hashjoin = off")
        write_positions(fixes)
        append_trail(trail)


def write_apart(fixes: Sequence[Fix], trail: Sequence[TrailFix]) -> set[int]:
    """Write what the database refused as one batch, by driver and by trip; return the drivers of what it refuses.

    What can never be written (its trip is gone) is dropped with a line in the log; it must take nobody else's with it.
    Errors of the connection are raised.
    """
    by_driver = {fix.driver_id: fix for fix in fixes}
    by_trip: dict[int, list[TrailFix]] = {}
    for point in trail:
        by_trip.setdefault(point.trip_id, []).append(point)

    def write_position_of(driver_ids: list[int]) -> None:
        write_batch([by_driver[pk] for pk in driver_ids], [])

    def write_trail_of(trip_ids: list[int]) -> None:
        write_batch([], [point for pk in trip_ids for point in by_trip[pk]])

    refused = _write_each(write_position_of, sorted(by_driver))
    return refused | {
        point.fix.driver_id for pk in _write_each(write_trail_of, sorted(by_trip)) for point in by_trip[pk]
    }


def _write_each(write: Callable[[list[int]], None], ids: list[int]) -> set[int]:
    """Return those of the ids that cannot be written."""
    written: set[int] = set()

    def write_and_note(some: list[int]) -> int:
        write(some)
        written.update(some)
        return len(some)

    write_and_note.__name__ = write.__name__  # for the log
    isolate_failures(write_and_note, ids)
    return set(ids) - written


def write_positions(fixes: Sequence[Fix]) -> None:
    """Write each fix that is newer than the driver's row, or as new and in doubt; create the row for a first fix.

    `fixes` ascend by driver, so that two processes cannot deadlock.
    """
    if not fixes:
        return
    if connection.vendor == "postgresql":
        _write_positions_as_arrays(fixes)
    else:
        _write_positions_row_by_row(fixes)


def _write_positions_as_arrays(fixes: Sequence[Fix]) -> None:
    """Write positions on PostgreSQL: an array for each column, in one UPDATE, and an INSERT where rows are missing."""
    points = [fix.point for fix in fixes]
    lats, lngs = [point.lat for point in points], [point.lng for point in points]
    sent = [
        pg_arrays.Int8s([fix.driver_id for fix in fixes]),
        pg_arrays.Float8s(lats),
        pg_arrays.Float8s(lngs),
        pg_arrays.Int8s(list(map(geo.cell, lats, lngs))),
        pg_arrays.Float8s([point.heading_deg for point in points]),
        pg_arrays.Float8s([point.speed_kmh for point in points]),
        pg_arrays.Float8s([point.accuracy_m for point in points]),
        pg_arrays.Float8s([fix.recorded_at.timestamp() for fix in fixes]),
        pg_arrays.Float8s([fix.received_at.timestamp() for fix in fixes]),
        pg_arrays.Booleans([fix.is_doubted for fix in fixes]),
    ]
    if pg_arrays.execute(_UPDATE, sent) < len(fixes):
        pg_arrays.execute(_INSERT, sent)


def _write_positions_row_by_row(fixes: Sequence[Fix]) -> None:
    """Write positions on SQLite, where a statement for each costs no round trip."""
    adapt = connection.ops.adapt_datetimefield_value
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO drivers_driverposition ({_COLUMNS}, dispatchable) "
            f"SELECT %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, {_DISPATCHABLE.format('%s')} "
            f"WHERE {_MAY_BE_WRITTEN} {_ON_CONFLICT}",
            [
                (
                    fix.driver_id,
                    fix.point.lat,
                    fix.point.lng,
                    geo.cell(fix.point.lat, fix.point.lng),
                    fix.point.heading_deg,
                    fix.point.speed_kmh,
                    fix.point.accuracy_m,
                    adapt(fix.recorded_at),
                    adapt(fix.received_at),
                    fix.is_doubted,
                    fix.driver_id,
                    fix.driver_id,
                    fix.driver_id,
                )
                for fix in fixes
            ],
        )


def append_trail(trail: Sequence[TrailFix]) -> None:
    """Add points to the trails, each second of a trip once, also if another process has written it.

    No model instances: for thousands of points a second they would cost the most.
    """
    if not trail:
        return
    into = "INSERT INTO drivers_trailpoint (trip_id, driver_id, leg, lat, lng, recorded_at, once)"
    if connection.vendor == "postgresql":
        pg_arrays.execute(
            f"{into} SELECT unnest(%b), unnest(%b), unnest(%b), unnest(%b), unnest(%b), to_timestamp(unnest(%b)), TRUE "
            "ON CONFLICT DO NOTHING",
            [
                pg_arrays.Int8s([point.trip_id for point in trail]),
                pg_arrays.Int8s([point.fix.driver_id for point in trail]),
                pg_arrays.Int8s([point.leg for point in trail]),
                pg_arrays.Float8s([point.fix.point.lat for point in trail]),
                pg_arrays.Float8s([point.fix.point.lng for point in trail]),
                pg_arrays.Float8s([trail_time(point.fix).timestamp() for point in trail]),
            ],
        )
        return
    adapt = connection.ops.adapt_datetimefield_value
    with connection.cursor() as cursor:
        cursor.executemany(
            f"{into} VALUES (%s, %s, %s, %s, %s, %s, TRUE) ON CONFLICT DO NOTHING",
            [
                (trip_id, fix.driver_id, leg, fix.point.lat, fix.point.lng, adapt(trail_time(fix)))
                for trip_id, leg, fix in trail
            ],
        )
