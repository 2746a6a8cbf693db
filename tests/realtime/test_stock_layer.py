"""`CHANNEL_LAYER=channels_redis`: sockets that live on the stock layer hear and forget what they do on ours."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# One of each: an event, a position, leaving a group, rights that end, what is missed, two groups, a page.
ESSENTIAL = [
    "test_booking_reaches_the_driver_and_accepting_reaches_the_passenger",
    "test_position_reaches_the_passenger_with_eta",
    "test_position_reaches_nobody_else",
    "test_trip_unsubscribe_ends_its_frames",
    "test_resume_delivers_what_was_missed",
    "test_suspended_driver_cannot_send_positions",
    "test_released_driver_hears_of_the_trip_no_more",
    "test_closing_one_tab_leaves_the_others",
    "test_event_in_two_groups_of_a_socket_arrives_once",
    "test_trip_page_follows_the_trip",
]


@pytest.mark.scaled_only
def test_consumers_pass_on_the_stock_layer() -> None:
    """In a process of its own: the layer is settled with the settings."""
    tests = [f"tests/realtime/test_consumers.py::{name}" for name in ESSENTIAL]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=ROOT,
        # As a terminal has it: this process's pytest and settings are its own.
        env={name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "DJANGO_"))}
        | {"STEPPER_SUITE": "scaled", "STEPPER_LAYER": "channels_redis"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert f"{len(ESSENTIAL)} passed" in done.stdout
