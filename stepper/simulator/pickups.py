"""Real pick-ups from a CSV file: time, latitude, longitude, in whatever order and under whatever sensible names.

Reads what cities publish: ISO times or "4/3/2014 0:05", comma, semicolon or tab between the fields. A row that
says nothing usable is left out, and named by its line in the file under its reason. A file whose latitudes and
longitudes are in each other's column is refused.
"""

import csv
import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple, TextIO

from stepper.simulator.clock import Spot, km_between

TIME_NAMES = [
    "time",
    "datetime",
    "date_time",
    "timestamp",
    "picked_up_at",
    "pickup_at",
    "pickup_time",
    "pickup_datetime",
    "tpep_pickup_datetime",
    "lpep_pickup_datetime",
    "trip_start_timestamp",
    "started_at",
    "start_time",
    "requested_at",
    "date",
]
LAT_NAMES = [
    "lat",
    "latitude",
    "pickup_lat",
    "pickup_latitude",
    "pickup_centroid_latitude",
    "start_lat",
    "start_latitude",
    "y",
]
LNG_NAMES = [
    "lng",
    "lon",
    "long",
    "longitude",
    "pickup_lng",
    "pickup_lon",
    "pickup_longitude",
    "pickup_centroid_longitude",
    "start_lng",
    "start_lon",
    "start_longitude",
    "x",
]
TIME_FORMATS = (
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %I:%M %p",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
)
RIDE_KM = (1.0, 15.0)
# Latitudes between which people are driven: Ushuaia is at 54.8° south, the North Cape at 71.2° north.
_SOUTHMOST, _NORTHMOST = -56.0, 71.3
SWAPPED = "with latitude and longitude exchanged"
# So many rows are named for each reason.
LINES_SHOWN = 5
# Random looks for a dropoff before the whole file is searched.
LOOKS = 200


class NotPickups(Exception):
    """The file has no columns, or no rows, that could be pick-ups."""


class Pickup(NamedTuple):
    """`at` is naive: the file's own clock, of which only the differences matter."""

    at: dt.datetime
    spot: Spot


class Ride(NamedTuple):
    at: dt.datetime
    pickup: Spot
    dropoff: Spot


@dataclass
class Pickups:
    """What a file held, in order of time."""

    rows: list[Pickup]
    bad: Counter[str] = field(default_factory=Counter)
    # Reason -> the lines of the file that were left out for it, in order.
    bad_lines: dict[str, list[int]] = field(default_factory=dict)

    def leave_out(self, reason: str, line: int) -> None:
        """Count a line of the file that says nothing usable."""
        self.bad[reason] += 1
        self.bad_lines.setdefault(reason, []).append(line)

    def rides(self, seed: int, limit: int | None = None, ride_km: tuple[float, float] = RIDE_KM) -> list[Ride]:
        """Return the first `limit` pick-ups, each with another pick-up of the file as its dropoff.

        The same seed gives the same rides. A pick-up without any other at the right distance is counted as bad.
        """
        rides: list[Ride] = []
        for index, pick in enumerate(self.rows):
            if limit is not None and len(rides) >= limit:
                break
            dropoff = self._dropoff(pick.spot, Random(f"{seed}:{index}"), ride_km)
            if dropoff is None:
                self.bad[f"no other pick-up {ride_km[0]:g} to {ride_km[1]:g} km away"] += 1
            else:
                rides.append(Ride(pick.at, pick.spot, dropoff))
        return rides

    def _dropoff(self, pickup: Spot, rng: Random, ride_km: tuple[float, float]) -> Spot | None:
        low, high = ride_km
        for _look in range(LOOKS):
            spot = self.rows[rng.randrange(len(self.rows))].spot
            if low <= km_between(pickup, spot) <= high:
                return spot
        fitting = [row.spot for row in self.rows if low <= km_between(pickup, row.spot) <= high]
        return rng.choice(fitting) if fitting else None


def read(path: Path) -> Pickups:
    """Read a file. Raises OSError (no such file) or NotPickups."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            picks = _read(file)
    except UnicodeDecodeError as error:
        raise NotPickups(f"{path.name} is not a text file in UTF-8.") from error
    except csv.Error as error:
        raise NotPickups(f"{path.name} is not a table: {error}.") from error
    swapped = picks.bad_lines.get(SWAPPED, [])
    if len(swapped) > len(picks.rows):
        raise NotPickups(
            f"{path.name} has latitude and longitude in each other's column: row {swapped[0]} is nowhere that people "
            "drive, and is if they are exchanged."
        )
    if not picks.rows:
        raise NotPickups(f"{path.name} holds no usable pick-up ({describe(picks) or 'it is empty'}).")
    picks.rows.sort(key=lambda pick: pick.at)
    return picks


def describe(found: Pickups) -> str:
    """Say how many were left out for what, and which rows of the file."""
    return ", ".join(
        f"{count} {reason}{_lines(found.bad_lines.get(reason, []))}" for reason, count in found.bad.most_common()
    )


def _lines(lines: Sequence[int]) -> str:
    if not lines:
        return ""
    shown = ", ".join(map(str, lines[:LINES_SHOWN]))
    return f" (row{'s' if len(lines) > 1 else ''} {shown}{', …' if len(lines) > LINES_SHOWN else ''})"


def _read(file: TextIO) -> Pickups:
    sample = file.read(8192).partition("\n")[0]
    file.seek(0)
    delimiter = max(",;\t|", key=sample.count)
    reader = csv.reader(file, delimiter=delimiter)
    columns = _columns(next(reader, []))
    picks = Pickups([])
    for row in _filled(reader):
        try:
            time, lat, lng = (row[column] for column in columns)
            picks.rows.append(Pickup(_time(time), _spot(lat, lng)))
        except IndexError:
            picks.leave_out("rows too short", reader.line_num)
        except BadRow as reason:
            picks.leave_out(str(reason), reader.line_num)
    return picks


def _filled(reader: Iterable[list[str]]) -> Iterator[list[str]]:
    return (row for row in reader if any(cell.strip() for cell in row))


def _columns(header: Sequence[str]) -> tuple[int, int, int]:
    names = [re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_") for name in header]
    found = []
    for what, known in (("time", TIME_NAMES), ("latitude", LAT_NAMES), ("longitude", LNG_NAMES)):
        # The order of the known names is their rank: "pickup_lat" beats "y" wherever they stand.
        column = next((names.index(name) for name in known if name in names), None)
        if column is None:
            raise NotPickups(f"No column for the {what} among: {', '.join(names) or 'nothing'}.")
        found.append(column)
    return found[0], found[1], found[2]


class BadRow(Exception):
    pass


def _time(text: str) -> dt.datetime:
    text = text.strip()
    try:
        at = dt.datetime.fromisoformat(text.removesuffix(" UTC"))
    except ValueError:
        at = _other_time(text)
    try:
        return at.astimezone(dt.UTC).replace(tzinfo=None) if at.tzinfo else at
    except OverflowError as error:  # the year 1 east of Greenwich
        raise BadRow("without a readable time") from error


def _other_time(text: str) -> dt.datetime:
    for known in TIME_FORMATS:
        try:
            return dt.datetime.strptime(text, known)  # noqa: DTZ007 - the file's own clock
        except ValueError:
            continue
    raise BadRow("without a readable time")


def _spot(lat_text: str, lng_text: str) -> Spot:
    try:
        lat, lng = (float(text.strip().replace(",", ".")) for text in (lat_text, lng_text))
    except ValueError as error:
        raise BadRow("without a readable position") from error
    # Zero, zero is how recorders write "no fix"; nobody is picked up there. NaN fails both comparisons.
    if (lat, lng) == (0, 0) or not (-180 <= lat <= 180 and -180 <= lng <= 180):
        raise BadRow("with a position off the map")
    if not _SOUTHMOST <= lat <= _NORTHMOST and _SOUTHMOST <= lng <= _NORTHMOST:
        raise BadRow(SWAPPED)
    if not -90 <= lat <= 90:
        raise BadRow("with a position off the map")
    return Spot(lat, lng)
