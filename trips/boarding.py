"""The boarding code: four digits that the passenger sees and says, and the driver enters before taking them on board.

A trip gets its code with its driver, where the setting `boarding_code` is on; another driver, another code. A trip
that has none needs none, and while the setting is off nobody is asked. The driver learns it from nobody but the
passenger: it is in none of their pages, frames and answers.
"""

import datetime as dt
import math
import secrets

from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _

from stepper.errors import Conflict, DomainError, TooManyRequests
from stepper.models import ServiceSettings, User
from stepper.staff_words import OR_ASK, ask_staff
from trips import access
from trips.models import Trip
from trips.states import BEFORE_BOARDING

# So many wrong codes, then none for a while: somebody who guesses needs weeks.
TRIES = 5
REFUSED_FOR = dt.timedelta(minutes=10)


def new_code(settings: ServiceSettings) -> str:
    """Return the code of a trip that gets a driver; empty: nobody will ask for one."""
    return f"{secrets.randbelow(10_000):04}" if settings.boarding_code else ""


def is_asked(trip: Trip, settings: ServiceSettings) -> bool:
    """Say whether the driver has to enter the trip's code before its passengers are on board."""
    return bool(trip.boarding_code) and settings.boarding_code and trip.status in BEFORE_BOARDING


def is_shown_to(viewer: User, trip: Trip) -> bool:
    """Say whether somebody who may see the trip may see its code: whoever booked it or has seats on it.

    Not its driver, and not staff, who may be asked for it by a driver who has somebody else in the car.
    """
    if trip.organiser_id == viewer.pk:
        return True
    return not access.drives(viewer, trip) and not viewer.may_see_trips


def count_try(trip: Trip, code: str, *, settings: ServiceSettings, now: dt.datetime) -> DomainError | None:
    """Judge a code and count it where it is wrong; None: it is right, or nobody asks. The trip is locked.

    The refusal is returned, for the caller to raise after the commit (raised at once it would take the count back):
    trip.boarding_code_required, trip.boarding_code_wrong or trip.boarding_code_blocked.
    """
    if not is_asked(trip, settings):
        return None
    if trip.codes_refused_until is not None and now < trip.codes_refused_until:
        return _too_many(trip.codes_refused_until - now)
    entered = "".join(code.split())
    if not entered:
        return Conflict(
            "trip.boarding_code_required",
            _("Ask the passenger for the four digits on their trip's page, and enter them."),
        )
    if constant_time_compare(entered, trip.boarding_code):
        return None
    wrong = trip.wrong_codes + 1
    is_last = wrong >= TRIES
    counted = {"wrong_codes": 0, "codes_refused_until": now + REFUSED_FOR} if is_last else {"wrong_codes": wrong}
    Trip.objects.filter(pk=trip.pk).update(**counted)
    if is_last:
        return _too_many(REFUSED_FOR)
    return Conflict(
        "trip.boarding_code_wrong", _("This is not the code of this trip. Is it the passenger who booked it?")
    )


def _too_many(wait: dt.timedelta) -> TooManyRequests:
    minutes = math.ceil(wait / dt.timedelta(minutes=1))
    words = _("Too many wrong codes. Try again in %(minutes)d min.") % {"minutes": minutes}
    refusal = TooManyRequests("trip.boarding_code_blocked", words, max(1, math.ceil(wait.total_seconds())))
    return ask_staff(refusal, OR_ASK)
