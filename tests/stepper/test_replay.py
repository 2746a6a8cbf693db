"""`manage.py replay`: reading pick-ups, reporting from the database, and short replays from end to end."""

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import InterfaceError, OperationalError, connections
from django.db.backends.utils import CursorWrapper
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from stepper.management.commands.replay import Command
from stepper.simulator import pickups, report
from stepper.simulator.clock import Spot, km_between
from stepper.simulator.servers import Scratch, attach, detach, scratch_database
from tests import servers
from tests.factories import ALMATY, DriverFactory, OfferFactory, TripFactory
from tests.live import ROOT
from trips.models import Trip, TripTransition
from trips.states import OfferStatus, Role, TripStatus

PICKS = ROOT / ".." / "shared" / "data" / "uber_nyc_2014-04-03_to_05.csv"
ENDS_WITHIN_S = 540


def write(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "picks.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


# Reading


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("picked_up_at,lat,lng", "2014-04-03T00:05:00,40.7422,-74.0062"),
        ("Date/Time,Lat,Lon,Base", "4/3/2014 0:05:00,40.7422,-74.0062,B02512"),
        ("longitude;latitude;timestamp", "-74,0062;40,7422;2014-04-03 00:05"),
        ("VendorID,tpep_pickup_datetime,pickup_longitude,pickup_latitude", "2,2014-04-03 00:05:00,-74.0062,40.7422"),
        ("Trip Start Timestamp\tPickup Latitude\tPickup Longitude", "04/03/2014 12:05:00 AM\t40.7422\t-74.0062"),
        ("time,lat,lng", "2014-04-03T05:05:00+05:00,40.7422,-74.0062"),
        ("time,lat,lng", "2014-04-03 00:05:00 UTC, 40.7422 , -74.0062 "),
    ],
)
def test_read_takes_what_cities_publish(tmp_path, header, row):
    found = pickups.read(write(tmp_path, header, row))
    assert found.rows == [pickups.Pickup(dt.datetime(2014, 4, 3, 0, 5), Spot(40.7422, -74.0062))]  # noqa: DTZ001
    assert not found.bad


def test_read_orders_by_time_and_counts_bad_rows(tmp_path):
    path = write(
        tmp_path,
        "time,lat,lng",
        "2014-04-03T00:02:00,40.7,-74.0",
        "2014-04-03T00:01:00,40.8,-74.1",
        "yesterday,40.7,-74.0",
        "2014-04-03T00:03:00,north,-74.0",
        "2014-04-03T00:03:00,91,-74.0",
        "2014-04-03T00:03:00,nan,-74.0",
        "2014-04-03T00:03:00,0,0",
        "2014-04-03T00:03:00",
        "",
        "0001-01-01T00:00:00+14:00,40.7,-74.0",
        "2014-04-03T00:03:00,-74.0,40.7",
    )
    found = pickups.read(path)
    assert [pick.spot.lat for pick in found.rows] == [40.8, 40.7]
    assert found.bad == {
        "without a readable time": 2,
        "without a readable position": 1,
        "with a position off the map": 3,
        "rows too short": 1,
        "with latitude and longitude exchanged": 1,
    }
    said = pickups.describe(found)
    assert "3 with a position off the map (rows 6, 7, 8)" in said
    assert "2 without a readable time (rows 4, 11)" in said
    assert "1 with latitude and longitude exchanged (row 12)" in said


def test_read_names_the_first_of_many_bad_rows(tmp_path):
    path = write(tmp_path, "time,lat,lng", "2014-04-03T00:02:00,40.7,-74.0", *["never,40.7,-74.0"] * 7)
    assert pickups.describe(pickups.read(path)) == "7 without a readable time (rows 3, 4, 5, 6, 7, …)"


@pytest.mark.parametrize(
    ("lat", "lng"),
    [(40.7422, -74.0062), (43.222, 76.8512), (51.1694, 71.4491), (42.8746, 74.5698), (-33.87, 151.21), (35.68, 139.69)],
    ids=["New York", "Almaty", "Astana", "Bishkek", "Sydney", "Tokyo"],
)
def test_a_file_with_exchanged_columns_is_refused_with_the_row(tmp_path, lat, lng):
    good = [f"2014-04-03T00:0{n}:00,{lat},{lng}" for n in range(3)]
    assert len(pickups.read(write(tmp_path, "time,lat,lng", *good)).rows) == 3
    exchanged = write(tmp_path, "time,lng,lat", "", *good)
    with pytest.raises(pickups.NotPickups, match="each other's column: row 3 is nowhere"):
        pickups.read(exchanged)
    with pytest.raises(CommandError, match="row 3"):
        call_command("replay", str(exchanged))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["when,where"], "No column for the time among: when, where"),
        (["time,lat,colour"], "No column for the longitude"),
        (["time,lat,lng"], "no usable pick-up"),
        (["time,lat,lng", "never,1,1"], "1 without a readable time"),
        ([""], "No column for the time"),
    ],
)
def test_read_says_what_is_missing(tmp_path, lines, words):
    with pytest.raises(pickups.NotPickups, match=words):
        pickups.read(write(tmp_path, *lines))


def test_rides_go_to_other_pick_ups_within_reach():
    start = dt.datetime(2014, 4, 3)  # noqa: DTZ001
    rows = [pickups.Pickup(start + dt.timedelta(minutes=n), Spot(43.2 + n / 100, 76.9)) for n in range(30)]
    rides = pickups.Pickups(rows).rides(seed=7)
    spots = {pick.spot for pick in rows}
    assert [ride.pickup for ride in rides] == [pick.spot for pick in rows]
    assert all(ride.dropoff in spots and 1 <= km_between(ride.pickup, ride.dropoff) <= 15 for ride in rides)
    assert rides == pickups.Pickups(rows).rides(seed=7)
    assert rides != pickups.Pickups(rows).rides(seed=8)
    assert rides[:5] == pickups.Pickups(rows).rides(seed=7, limit=5)


def test_a_pick_up_far_from_all_others_is_left_out():
    start = dt.datetime(2014, 4, 3)  # noqa: DTZ001
    spots = [Spot(43.20, 76.9), Spot(43.25, 76.9), Spot(51.1, 71.4)]
    found = pickups.Pickups([pickups.Pickup(start, spot) for spot in spots])
    assert [ride.pickup for ride in found.rides(seed=1)] == spots[:2]
    assert found.bad == {"no other pick-up 1 to 15 km away": 1}


# Reporting


def moved(trip, to, role, by):
    TripTransition.objects.create(trip=trip, from_status=TripStatus.OFFERED, to_status=to, role=role, by=by)


@pytest.fixture
def driver(db):
    return DriverFactory(at=ALMATY)


def completed(driver, starts, ends):
    """A trip of `driver` from one minute of today's to another."""
    since = timezone.now() - dt.timedelta(hours=2)
    trip = TripFactory(
        status=TripStatus.COMPLETED,
        driver=driver,
        accepted_at=since + dt.timedelta(minutes=starts),
        completed_at=since + dt.timedelta(minutes=ends),
    )
    moved(trip, TripStatus.ACCEPTED, Role.DRIVER, driver.user)
    return trip


@pytest.mark.django_db
def test_report_counts_what_the_database_says(driver):
    trip = completed(driver, 0, 10)
    Trip.objects.filter(pk=trip.pk).update(created_at=trip.accepted_at - dt.timedelta(seconds=4))
    OfferFactory(trip=trip, driver=driver, status=OfferStatus.ACCEPTED, distance_km=2.5)
    unfilled = TripFactory(status=TripStatus.UNFILLED)
    OfferFactory(trip=unfilled, driver=driver, status=OfferStatus.DECLINED, reason="Not this one")
    found = report.read(Trip.objects.all())
    assert found.as_json() == {
        "trips": 2,
        "accepted": 1,
        "completed": 1,
        "unfilled": 1,
        "double_assigned": 0,
        "overlaps": 0,
        "errors": 0,
    }
    assert found.accept_s == [pytest.approx(4)]
    assert found.pickup_km == [2.5]
    assert found.reasons == {"1 Not this one": 1}
    assert not found.passed  # half of them is not enough
    assert ("Unfilled", "1") in found.rows()


@pytest.mark.django_db
def test_report_fails_a_trip_that_neither_ended_nor_stayed_unfilled(driver):
    completed(driver, 0, 10)
    assert report.read(Trip.objects.all()).passed
    TripFactory(status=TripStatus.IN_TRANSIT)
    found = report.read(Trip.objects.all())
    assert found.unfinished == {"in_transit": 1}
    assert not found.passed


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("spans", "overlaps"),
    [
        ([(0, 10), (10, 20), (30, 40)], 0),
        ([(0, 10), (9, 20)], 1),
        ([(0, 60), (10, 20), (30, 40)], 2),
    ],
)
def test_report_finds_overlapping_trips_of_one_driver(driver, spans, overlaps):
    for starts, ends in spans:
        completed(driver, starts, ends)
    completed(DriverFactory(at=ALMATY), 0, 60)
    found = report.read(Trip.objects.all())
    assert found.overlaps == overlaps
    assert found.passed is (overlaps == 0)


@pytest.mark.django_db
def test_report_finds_a_trip_with_two_drivers(driver):
    trip, other = completed(driver, 0, 10), DriverFactory(at=ALMATY)
    assert report.read(Trip.objects.all()).double_assigned == 0
    moved(trip, TripStatus.ACCEPTED, Role.DRIVER, other.user)
    found = report.read(Trip.objects.all())
    assert found.double_assigned == 1
    assert not found.passed


@pytest.mark.django_db
def test_report_lets_a_released_trip_go_to_another_driver(driver):
    trip, other = completed(driver, 0, 10), DriverFactory(at=ALMATY)
    moved(trip, TripStatus.OFFERED, Role.DRIVER, driver.user)
    moved(trip, TripStatus.ACCEPTED, Role.DRIVER, other.user)
    moved(trip, TripStatus.EN_ROUTE, Role.DRIVER, other.user)
    assert report.read(Trip.objects.all()).double_assigned == 0


def test_percentile_is_a_value_that_occurred():
    assert report.percentile([3, 1, 2], 50) == 2
    assert report.percentile(range(1, 101), 95) == 95
    assert report.percentile([7], 95) == 7


# The command


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"processes": 2}, "need --database-url and --redis-url"),
        ({"dispatchers": 1}, "need --database-url and --redis-url"),
        ({"database_url": "postgresql://127.0.0.1/postgres"}, "go together"),
        ({"url": "http://127.0.0.1:1", "processes": 2}, "excludes"),
        ({"url": "http://127.0.0.1:1"}, "DEBUG is off"),
        ({"url": "http://127.0.0.1:1", "yes": True, "mode": "batched"}, "dispatches as its settings say"),
        ({"mode": "batched", "compare": True}, "plays every mode"),
        ({"svg": Path("chart.svg")}, "draws what --compare found"),
    ],
)
def test_replay_refuses_options_that_do_not_fit(options, words):
    with pytest.raises(CommandError, match=words):
        call_command("replay", "picks.csv", **options)


def test_replay_says_that_there_is_no_file(tmp_path):
    with pytest.raises(CommandError, match="No such file"):
        call_command("replay", str(tmp_path / "none.csv"))


@pytest.mark.django_db
@pytest.mark.embedded_only
def test_replay_repeats_database_work_once_the_database_is_back(monkeypatch, capsys):
    answers = [OperationalError("away"), InterfaceError("closed"), 7]

    def work():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(time, "sleep", lambda _s: None)
    monkeypatch.setitem(connections.databases, "replay", connections.databases["default"])
    assert Command()._with_database("replay", work) == 7
    assert capsys.readouterr().err.splitlines() == [
        "The database is away; the replay waits for it.",
        "The database is back.",
    ]


def replay(path: Path, *options: str) -> subprocess.Popen[str]:
    """On what this suite is about: the embedded default, or two servers and two dispatchers on PostgreSQL and Redis."""
    if os.environ["STEPPER_SUITE"] == "scaled":
        address = os.environ[servers.POSTGRESQL]
        options += ("--database-url", f"{address}/postgres", "--redis-url", os.environ[servers.REDIS])
        options += ("--processes", "2", "--dispatchers", "2")
    return subprocess.Popen(
        [sys.executable, "manage.py", "replay", str(path), *options],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def scratch_databases(running: subprocess.Popen[str]) -> set[str]:
    """Of this replay: others may run beside it."""
    if os.environ["STEPPER_SUITE"] != "scaled":
        return set()
    with psycopg.connect(f"{os.environ[servers.POSTGRESQL]}/postgres") as connection:
        names = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'stepper_replay_%'")
        return {name for (name,) in names if name.startswith(f"stepper_replay_{running.pid}_")}


@pytest.mark.long
@pytest.mark.skipif(not PICKS.exists(), reason=f"the real pick-ups are not here: {PICKS.name}")
def test_replay_of_real_pick_ups(suite: str):
    """More where several processes count, so that more accepts lose than win."""
    pick_ups = {"embedded": 15, "scaled": 40}[suite]
    running = replay(PICKS, "--limit", str(pick_ups), "--drivers", str(pick_ups // 5), "--speed", "480")
    output, errors = running.communicate(timeout=ENDS_WITHIN_S)
    assert running.returncode == 0, output + errors
    found = json.loads(output.splitlines()[-1])
    assert found["trips"] == pick_ups
    assert found["completed"] + found["unfilled"] == pick_ups
    assert (found["double_assigned"], found["overlaps"], found["errors"]) == (0, 0, 0)
    assert "Seconds to accept" in output
    assert "status_per_min 10 → 4800" in errors
    # What all processes counted together is what the database says, and what the clients were refused with.
    assert found["differ"] == {}
    figures = found["figures"]
    assert figures["stepper_trips_total completed"] == found["completed"]
    assert figures["stepper_accepts_total accepted"] == figures["stepper_trips_total accepted"] >= found["completed"]
    # Two of the few drivers of the embedded suite may never answer one offer; a figure that nothing counted is missing.
    assert suite == "embedded" or figures["stepper_refusals_total offer.taken"] > 0
    assert not scratch_databases(running)


def test_a_scratch_database_begins_as_a_copy_of_another(tmp_path: Path, suite: str, django_db_blocker: DjangoDbBlocker):
    server = {"embedded": "", "scaled": f"{os.environ.get(servers.POSTGRESQL)}/postgres"}[suite]
    folders = tmp_path / "template", tmp_path / "copy"
    for folder in folders:
        folder.mkdir()
    with django_db_blocker.unblock(), scratch_database(folders[0], server) as template:
        with attached(template) as cursor:
            cursor.execute("CREATE TABLE kept (number integer)")
            cursor.execute("INSERT INTO kept VALUES (7)")
        with scratch_database(folders[1], server, template) as copy, attached(copy) as cursor:
            cursor.execute("UPDATE kept SET number = number + 1 RETURNING number")
            assert cursor.fetchall() == [(8,)]
        with attached(template) as cursor:
            cursor.execute("SELECT number FROM kept")
            assert cursor.fetchall() == [(7,)]


@contextmanager
def attached(scratch: Scratch) -> Iterator[CursorWrapper]:
    attach("scratch", scratch)
    try:
        with connections["scratch"].cursor() as cursor:
            yield cursor
    finally:
        detach("scratch")


@pytest.mark.embedded_only
@pytest.mark.long
@pytest.mark.skipif(not PICKS.exists(), reason=f"the real pick-ups are not here: {PICKS.name}")
def test_replay_compares_the_modes(tmp_path):
    drawing = tmp_path / "modes.svg"
    running = replay(PICKS, "--limit", "5", "--drivers", "4", "--speed", "240", "--compare", "--svg", str(drawing))
    output, errors = running.communicate(timeout=ENDS_WITHIN_S)
    assert running.returncode == 0, output + errors
    found = json.loads(output.splitlines()[-1])
    modes = ("broadcast", "targeted", "batched")
    assert [found[mode]["trips"] for mode in modes] == [5, 5, 5]
    assert list(found["pickup_km"]) == [*modes, "optimum"]
    assert all(f"Replay, {mode}" in output for mode in modes)
    drawn = ElementTree.parse(drawing).getroot()  # noqa: S314 - our own
    told = drawn.findtext("{http://www.w3.org/2000/svg}desc") or ""
    assert f"batched: mean {found['pickup_km']['batched']:.2f} km" in told


def test_replay_stopped_in_the_middle_leaves_nothing(tmp_path):
    lines = [f"2020-05-01T10:{minute:02}:00,{43.2 + minute / 500:.4f},76.9" for minute in range(60)]
    running = replay(write(tmp_path, "time,lat,lng", *lines), "--drivers", "2", "--speed", "1")
    assert running.stderr is not None
    for line in running.stderr:
        if "status_per_min" in line:
            break
    assert len(scratch_databases(running)) == (os.environ["STEPPER_SUITE"] == "scaled")
    running.send_signal(signal.SIGTERM)
    started = time.monotonic()
    _output, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in errors
    assert time.monotonic() - started < 30
    assert not scratch_databases(running)
