"""Days of the service's time zone, by which all reports count, whatever the zones of trips and drivers are."""

import datetime as dt
from zoneinfo import ZoneInfo

from django.conf import settings

from stepper.dates import midnight

DAY = dt.timedelta(days=1)


def service_zone() -> ZoneInfo:
    return ZoneInfo(settings.TIME_ZONE)


def day_of(instant: dt.datetime) -> dt.date:
    return instant.astimezone(service_zone()).date()


def bounds(day: dt.date) -> tuple[dt.datetime, dt.datetime]:
    """Return the first instant of a day and that of the next one."""
    zone = service_zone()
    return midnight(day, zone), midnight(day + DAY, zone)
