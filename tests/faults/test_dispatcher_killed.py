"""Two dispatchers share what is due to drivers and trips; one of them is killed in the middle of it."""

import datetime as dt
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from drivers import availability, working_time
from drivers.models import Availability, AvailabilityChange, Break, Driver
from realtime.models import Notification
from tests.factories import ALMATY, DriverFactory, TripFactory
from tests.live import ROOT
from trips.models import Trip
from trips.states import TripStatus

# One at a time on SQLite, where the server has it.
pytestmark = [pytest.mark.scaled_only, pytest.mark.django_db(transaction=True)]

EACH = int(os.environ.get("STEPPER_KILLED", "10"))
DONE_WITHIN_S = 30
MINUTE, HOUR = dt.timedelta(minutes=1), dt.timedelta(hours=1)


@contextmanager
def dispatchers(log: Path, number: int) -> Iterator[list["subprocess.Popen[bytes]"]]:
    server, _slash, _name = settings.DATABASE_URL.rpartition("/")
    environ = {**os.environ, "DATABASE_URL": f"{server}/{connection.settings_dict['NAME']}"}
    with log.open("ab") as output:
        running = [
            subprocess.Popen([sys.executable, "manage.py", "dispatcher"], cwd=ROOT, env=environ, stderr=output)
            for _number in range(number)
        ]
    try:
        yield running
    finally:
        for process in running:
            process.send_signal(signal.SIGKILL)
            process.wait()


def until(is_so: Callable[[], bool], log: Path) -> None:
    give_up_at = time.monotonic() + DONE_WITHIN_S
    while not is_so():
        assert time.monotonic() < give_up_at, log.read_text()
        time.sleep(0.005)


def test_each_effect_happens_once_though_a_dispatcher_is_killed(tmp_path: Path) -> None:
    now = timezone.now()
    drivers = [DriverFactory(at=ALMATY, is_online=False) for _number in range(2 * EACH)]
    for driver in drivers:
        availability.set_online(driver.pk, True)
    resting, idle = drivers[:EACH], drivers[EACH:]
    for driver in resting:
        working_time.take_break(driver.pk, 30)
    Break.objects.update(starts_at=now - HOUR, ends_at=now, due_at=now)
    Driver.objects.filter(pk__in=[driver.pk for driver in idle]).update(
        active_at=now - 5 * HOUR, idle_look_at=now, auto_offline_at=now
    )
    soon = {"in_": 30 * MINUTE, "accepted_at": now - 48 * HOUR, "watch_at": now}
    trips: list[Trip] = [TripFactory(status=TripStatus.ACCEPTED, **soon) for _number in range(EACH)]
    AvailabilityChange.objects.all().delete()
    log = tmp_path / "dispatchers.log"

    def done() -> bool:
        told = Notification.objects.count()
        return AvailabilityChange.objects.count() >= 2 * EACH and told >= 2 * EACH + 2 * len(trips)

    with dispatchers(log, 2) as (victim, _survivor):
        until(AvailabilityChange.objects.exists, log)
        victim.kill()
        until(done, log)

    causes = Counter(AvailabilityChange.objects.values_list("driver", "cause"))
    assert causes == Counter(
        [(driver.pk, "break_ended") for driver in resting] + [(driver.pk, "auto_offline") for driver in idle]
    )
    online = set(Driver.objects.filter(availability=Availability.AVAILABLE).values_list("pk", flat=True))
    assert online >= {driver.pk for driver in resting}
    assert not online & {driver.pk for driver in idle}
    told = Counter(Notification.objects.values_list("user", flat=True))
    for trip in trips:
        assert trip.driver is not None
        assert (told[trip.organiser_id], told[trip.driver.user_id]) == (1, 1)
    assert "Traceback" not in log.read_text()
