"""Fills an empty database with the last release's own code: `python seed.py`, in that release's folder.

Prints, as JSON, who is there: name -> id, e-mail, tokens, place and, where somebody was here before and left, a cursor.
It runs on the release's models and factories, not on those beside it here: once the release is moved to a later one,
what it imports must be there in that one.
"""

import datetime as dt
import json
import os
import sys
from typing import Any

import django

# Hundreds of kilometres from each other, so that only those of one place are offered its trips.
PLACES = {"road": (43.24, 76.95), "offered": (51.17, 71.45), "ahead": (42.32, 69.59), "new": (50.28, 57.17)}
PLACES |= {"old": (47.10, 51.92), "during": (52.29, 76.97)}
# The log of a day: written by so many people, of whom some left a cursor so many events ago.
FILLERS, EVENTS_OF_ONE = 40, 120
MISSED, TOO_MANY = 300, 1100


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "stepper.settings"
    django.setup()
    from django.core.management import call_command  # noqa: PLC0415 - Django must be set up

    call_command("migrate", verbosity=0)
    json.dump(seed(), sys.stdout)


def seed() -> dict[str, Any]:
    from stepper.models import ServiceSettings  # noqa: PLC0415 - models need Django
    from tests.factories import DriverFactory, PassengerFactory, StaffFactory  # noqa: PLC0415

    # Staff have saved settings; on a machine that is busy with other tests an offer must not run out.
    settings = ServiceSettings.current()
    settings.offer_urgent_s = 3600
    settings.save()
    people: dict[str, Any] = {"staff": sign_in(StaffFactory.create())}
    for name, (lat, lng) in PLACES.items():
        rival = ["rival"] if name == "offered" else []
        for role in ("driver", *rival):
            driver = DriverFactory.create(at=(lat, lng))
            people[f"{name}.{role}"] = sign_in(driver.user) | {"driver_id": driver.pk, "lat": lat, "lng": lng}
        people[f"{name}.passenger"] = sign_in(PassengerFactory.create()) | {"lat": lat, "lng": lng}
    fillers = [PassengerFactory.create() for _number in range(FILLERS)]
    write_log([user.pk for user in fillers], EVENTS_OF_ONE)
    for name, count in (("missed", MISSED), ("too_many", TOO_MANY), ("too_old", 5)):
        user = PassengerFactory.create()
        people[name] = sign_in(user) | {"cursor": read_cursor(27 if name == "too_old" else 0)}
        people[name]["events"] = write_log([user.pk], count)
    return people


def sign_in(user: Any) -> dict[str, Any]:
    from stepper.api import tokens  # noqa: PLC0415

    return {"id": user.pk, "email": user.email} | tokens.sign_in(user)


def read_cursor(hours_ago: int) -> str:
    from django.utils import timezone  # noqa: PLC0415

    from realtime.outbox import read_watermark  # noqa: PLC0415

    return f"{read_watermark()}.{int((timezone.now() - dt.timedelta(hours=hours_ago)).timestamp())}"


def write_log(user_ids: list[int], count: int) -> list[str]:
    """Write so many published events to each user, over the last day; return their ids in order."""
    from django.utils import timezone  # noqa: PLC0415

    from realtime import events, groups  # noqa: PLC0415
    from realtime.models import Event  # noqa: PLC0415

    now = timezone.now()
    rows = []
    for number in range(count):
        at = now - dt.timedelta(hours=23) * (1 - number / count)
        for user_id in user_ids:
            event = events.NotificationPassenger(
                notification_id=number + 1, title="A", message="B", priority="low", category="trip", action_url=""
            )
            row = Event(event_id=event.id, group=groups.user(user_id), type=events.tag(event))
            row.frame, row.sweep_at, row.published_at, row.created_at = events.encode(event), at, at, at
            rows.append(row)
    written = Event.objects.bulk_create(rows, batch_size=2000)
    for row, at in zip(written, [row.sweep_at for row in rows], strict=True):
        row.created_at = at  # inserting set it to now
    Event.objects.bulk_update(written, ["created_at"], batch_size=500)
    return [row.event_id for row in written]


if __name__ == "__main__":
    main()
