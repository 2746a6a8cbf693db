"""The times that the booking form offers for a trip later: by the clock of the pickup."""

import datetime as dt
from zoneinfo import ZoneInfo

from msgspec import Struct

from stepper.models import ServiceSettings

# What "later" begins with: so long from now, at a round time.
SOONEST = dt.timedelta(hours=1)
ROUND_MIN = 10


class OfferedTimes(Struct, frozen=True):
    """The time that "later" begins with and the days that can be chosen, as the pickup's clock and calendar say.

    `free_cancel_min`: so long before departure the passenger can no longer cancel what a driver has accepted.
    """

    suggested: dt.datetime
    first_day: dt.date
    last_day: dt.date
    free_cancel_min: int

    # As inputs of the browser take them; a template's filters would move them into the home zone.
    @property
    def day(self) -> str:
        return f"{self.suggested:%Y-%m-%d}"

    @property
    def time(self) -> str:
        return f"{self.suggested:%H:%M}"


def offered_times(zone: str, now: dt.datetime, settings: ServiceSettings) -> OfferedTimes:
    """Return the times that the form offers in an IANA zone: in an hour, up to as far ahead as trips are booked."""
    local = now.astimezone(ZoneInfo(zone))
    latest = now + dt.timedelta(days=settings.book_ahead_days)
    return OfferedTimes(
        suggested=_round_up(local + SOONEST),
        first_day=local.date(),
        last_day=latest.astimezone(ZoneInfo(zone)).date(),
        free_cancel_min=settings.free_cancel_min,
    )


def _round_up(local: dt.datetime) -> dt.datetime:
    past_s = (local.minute % ROUND_MIN) * 60 + local.second + local.microsecond / 1_000_000
    up_s = (ROUND_MIN * 60 - past_s) if past_s else 0
    return (local + dt.timedelta(seconds=up_s)).replace(second=0, microsecond=0)
