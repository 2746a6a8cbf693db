"""PostgreSQL is killed in the middle of a replay: the replay says so, waits, goes on, and no trip is there twice."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests import servers
from tests.live import ROOT

pytestmark = pytest.mark.scaled_only

ENDS_WITHIN_S = 240
RIDES = 3


@pytest.fixture
def postgresql() -> Iterator[servers.Postgresql]:
    one = servers.Postgresql()
    yield one
    one.kill()


def replay(path: Path, postgresql: servers.Postgresql) -> "subprocess.Popen[str]":
    services = ("--database-url", f"{postgresql.url}/postgres", "--redis-url", os.environ[servers.REDIS])
    return subprocess.Popen(
        [sys.executable, "manage.py", "replay", str(path), "--drivers", "3", "--speed", "480", *services],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_trips(postgresql: servers.Postgresql, number: int) -> None:
    """Returns once so many trips of the replay have a driver."""
    with psycopg.connect(f"{postgresql.url}/postgres", autocommit=True) as admin:
        [(name,)] = admin.execute("SELECT datname FROM pg_database WHERE datname LIKE 'stepper_replay_%'").fetchall()
    until = time.monotonic() + ENDS_WITHIN_S
    with psycopg.connect(f"{postgresql.url}/{name}", autocommit=True) as scratch:
        statement = "SELECT count(*) FROM trips_trip WHERE accepted_at IS NOT NULL"
        while scratch.execute(statement).fetchall()[0][0] < number:
            assert time.monotonic() < until, "nobody accepts anything"
            time.sleep(0.05)


def read_until(running: "subprocess.Popen[str]", words: str) -> str:
    said = ""
    for line in running.stderr:
        said += line
        if words in line:
            return said
    pytest.fail(f"It never said {words!r}: {said}")


def test_replay_lives_through_a_killed_database(tmp_path: Path, postgresql: servers.Postgresql) -> None:
    lines = [f"2020-05-01T10:{minute:02}:00,{43.2 + minute / 50:.4f},76.9" for minute in range(RIDES)]
    path = tmp_path / "picks.csv"
    path.write_text("\n".join(["time,lat,lng", *lines]))
    with replay(path, postgresql) as running:
        try:
            read_until(running, "max_speed_kmh")
            wait_for_trips(postgresql, 1)
            postgresql.kill()
            said = read_until(running, "the replay goes on when it is ready")
            assert "waits (database.away)" in said
            postgresql.start()
            read_until(running, "is ready again after")
            output, errors = running.communicate(timeout=ENDS_WITHIN_S)
        finally:
            # It ends its servers itself; killed, it would leave them.
            running.terminate()
            running.wait(ENDS_WITHIN_S)
    assert running.returncode == 0, output + errors
    found = json.loads(output.splitlines()[-1])
    # What the processes counted is compared elsewhere, without faults.
    assert {name: value for name, value in found.items() if name not in ("figures", "differ")} == {
        "trips": RIDES,
        "accepted": RIDES,
        "completed": RIDES,
        "unfilled": 0,
        "double_assigned": 0,
        "overlaps": 0,
        "errors": 0,
    }
