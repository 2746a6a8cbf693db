"""A trip for later as a file for calendars: RFC 5545, one event with an alarm, its times in UTC.

A calendar that has the event takes a later file for the same one: the UID stays, and SEQUENCE is the trip's version.
"""

import datetime as dt

from django.utils.translation import gettext as _

from stepper.db.clock import database_now
from stepper.errors import NotFound
from stepper.models import User
from stepper.web.downloads import File

from . import access
from .models import Trip
from .states import TripStatus

ALARM_BEFORE = dt.timedelta(minutes=60)
# Octets of a line before its end, RFC 5545, 3.1.
_LINE_OCTETS = 75


def write_calendar(user: User, trip_id: int, *, link: str) -> File:
    """Return the file of a trip that the user may see. `link`: the address of the trip's page.

    Raises:
        NotFound: trip.not_found, also where the trip is for now
    """
    trip = access.trip_for(user, trip_id)
    if trip.is_now:
        raise NotFound("trip.not_found", _("There is no such trip."))
    lines = _calendar_lines(trip, database_now(), link)
    content = "".join(f"{_fold(line)}\r\n" for line in lines)
    return File(f"steppergo-{trip.pk}.ics", "text/calendar; charset=utf-8", content.encode())


def _calendar_lines(trip: Trip, now: dt.datetime, link: str) -> list[str]:
    cancelled = trip.status == TripStatus.CANCELLED
    place = ", ".join(part for part in (trip.pickup_name, trip.pickup_address) if part)
    event = [
        "BEGIN:VEVENT",
        # No host: the service may get another address, the event stays the same.
        f"UID:trip-{trip.pk}-{trip.created_at:%Y%m%dT%H%M%S}@steppergo",
        f"SEQUENCE:{trip.version}",
        f"DTSTAMP:{_utc(now)}",
        f"DTSTART:{_utc(trip.departure_at)}",
        f"DTEND:{_utc(trip.ends_at)}",
        f"SUMMARY:{_escape(trip.title)}",
        f"LOCATION:{_escape(place)}",
        f"GEO:{trip.pickup_lat:.6f};{trip.pickup_lng:.6f}",
        f"STATUS:{'CANCELLED' if cancelled else 'CONFIRMED'}",
        f"URL:{link}",
        f"DESCRIPTION:{_escape(link)}",
        *([] if cancelled else _alarm_lines(trip)),
        "END:VEVENT",
    ]
    head = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//StepperGO//Trips//EN", "CALSCALE:GREGORIAN", "METHOD:PUBLISH"]
    return [*head, *event, "END:VCALENDAR"]


def _alarm_lines(trip: Trip) -> list[str]:
    minutes = round(ALARM_BEFORE / dt.timedelta(minutes=1))
    said = _("Your trip leaves in an hour: %(trip)s") % {"trip": trip.title}
    return ["BEGIN:VALARM", "ACTION:DISPLAY", f"TRIGGER:-PT{minutes}M", f"DESCRIPTION:{_escape(said)}", "END:VALARM"]


def _utc(instant: dt.datetime) -> str:
    return f"{instant.astimezone(dt.UTC):%Y%m%dT%H%M%SZ}"


def _escape(text: str) -> str:
    """Escape a TEXT value, RFC 5545, 3.3.11."""
    for plain, escaped in (("\\", "\\\\"), (";", "\\;"), (",", "\\,"), ("\r\n", "\\n"), ("\n", "\\n")):
        text = text.replace(plain, escaped)
    return text


def _fold(line: str) -> str:
    """Break a line into lines of at most 75 octets, no character in two."""
    folded, room = "", _LINE_OCTETS
    for letter in line:
        size = len(letter.encode())
        if size > room:
            folded, room = f"{folded}\r\n ", _LINE_OCTETS - 1
        folded, room = folded + letter, room - size
    return folded
