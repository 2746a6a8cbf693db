"""How long a driver was online and on trips in a period, from the history of their availability."""

import datetime as dt
from dataclasses import dataclass

from drivers.models import Availability, Driver
from stepper.models import ServiceSettings

from .periods import Period

_MINUTE = dt.timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Hours:
    """`online` contains `on_trips`: from setting off until the trip's end, also of a driver who was offline before."""

    online: dt.timedelta
    on_trips: dt.timedelta

    @property
    def online_min(self) -> int:
        return self.online // _MINUTE

    @property
    def on_trips_min(self) -> int:
        return self.on_trips // _MINUTE


def kept_since(settings: ServiceSettings, now: dt.datetime) -> dt.datetime:
    """Return from when on changes of availability are kept (stepper.server.pruning)."""
    return now - dt.timedelta(days=max(settings.working_time_kept_days, settings.rounds_kept_days))


def worked(driver: Driver, period: Period, *, now: dt.datetime, settings: ServiceSettings) -> Hours | None:
    """Add up the driver's time until `now` or the period's end; None: its history is not kept any more.

    One query where the availability changed in the period, else two. Changes that race commit in the order of their
    ids, each with the time at which its transaction began: a step back in time counts as none.
    """
    if period.starts_at < kept_since(settings, now):
        return None
    changes = driver.availability_changes.filter(created_at__gte=period.starts_at)
    columns = ("pk", "created_at", "previous", "availability")
    # Sorted here: PostgreSQL may else read the whole table by its key.
    rows = sorted(changes.filter(created_at__lt=period.ends_at).values_list(*columns))
    if rows:
        state = rows[0][2]
    else:
        later = changes.order_by("created_at", "pk").values_list("previous", flat=True).first()
        state = later or driver.availability
    spent = dict.fromkeys(Availability, dt.timedelta())
    at, end = period.starts_at, min(period.ends_at, now)
    for _pk, changed_at, _previous, availability in [*rows, (0, end, "", "")]:
        until = min(max(changed_at, at), end)
        spent[Availability(state)] += until - at
        at, state = until, availability
    busy = spent[Availability.BUSY]
    return Hours(online=spent[Availability.AVAILABLE] + busy, on_trips=busy)
