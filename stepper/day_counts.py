"""Counts of a day, in the database: they hold over processes and restarts, and when the cache is emptied.

A day is 24 hours from the first time on. Call these in a transaction: what is counted together with a change is not
counted where the change is rolled back.
"""

import datetime as dt
import math
from typing import NamedTuple

from django.db.models import Case, DateTimeField, F, Value, When
from django.utils.crypto import salted_hmac

from stepper.db.clock import database_now
from stepper.models import DayCount

DAY = dt.timedelta(days=1)


class Counted(NamedTuple):
    """How often so far, this time included, and in how many seconds the day is over."""

    number: int
    closes_in_s: int


def count(scope: str, who: str = "") -> Counted:
    """Count once for `who`. The row stays locked until the transaction ends, so those that race are all counted."""
    now = database_now()
    rows = DayCount.objects.filter(name=_name(scope, who))
    closes_at = Value(now + DAY, output_field=DateTimeField())
    fresh = {
        "number": Case(When(closes_at__lte=now, then=Value(1)), default=F("number") + 1),
        "closes_at": Case(When(closes_at__lte=now, then=closes_at), default=F("closes_at")),
    }
    while not rows.update(**fresh):
        DayCount.objects.bulk_create(
            [DayCount(name=_name(scope, who), number=0, closes_at=now + DAY)], ignore_conflicts=True
        )
    number, ends_at = rows.values_list("number", "closes_at").get()
    return Counted(number, max(1, math.ceil((ends_at - now).total_seconds())))


def count_within(scope: str, who: str = "", *, most: int) -> bool:
    """Count once for `who` where that is within the limit, and say whether it is; what is beyond is not counted."""
    if count(scope, who).number <= most:
        return True
    take_back(scope, who)
    return False


def take_back(scope: str, who: str = "") -> None:
    """Undo one `count`."""
    DayCount.objects.filter(name=_name(scope, who), number__gt=0).update(number=F("number") - 1)


def _name(scope: str, who: str) -> str:
    """Return the row's name; whose it is, a number or an address, cannot be read in it."""
    return f"{scope}:{salted_hmac('stepper.day_counts', who, algorithm='sha256').hexdigest()}" if who else scope
