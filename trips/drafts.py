"""What a stranger has entered into the booking form, kept until they have signed in.

It is in the session, on the server, and a session keeps what is in it when somebody signs in. It ends after two hours,
also where nobody ever signs in, as what it says of two places is nobody's business any longer.
"""

import time
from collections.abc import Mapping

from django.contrib.sessions.backends.base import SessionBase

from stepper import limits
from stepper.db.clock import database_now
from stepper.models import ServiceSettings

from .booking_requests import BookingRequest, check_request

KEPT_S = 2 * 60 * 60
_KEY = "booking_draft"
# Longer than anything that the form accepts; of a number with a thousand digits the rest is left out.
_LONGEST_VALUE = 400
_MOST_VALUES = 50


def keep_draft(
    session: SessionBase, fields: Mapping[str, str | list[str]], request: BookingRequest, *, address: str
) -> None:
    """Check the request of somebody who has not signed in, and keep the fields of its form in their session.

    Raises:
        InvalidInput: a field is wrong
        TooManyRequests: more than `guest_bookings_per_min` from this network address
    """
    limits.count_call("book", f"address:{address}", setting="guest_bookings_per_min")
    check_request(request, ServiceSettings.current(), database_now())
    kept = {name: _shorten(value) for name, value in fields.items()}
    session[_KEY] = {"until": int(time.time()) + KEPT_S, "fields": kept}
    # Signing in gives the session its usual end (stepper.accounts.session_store).
    session.set_expiry(KEPT_S)


def _shorten(value: str | list[str]) -> str | list[str]:
    if isinstance(value, str):
        return value[:_LONGEST_VALUE]
    return [one[:_LONGEST_VALUE] for one in value[:_MOST_VALUES]]


def find_draft(session: SessionBase) -> dict[str, str | list[str]] | None:
    """Return the fields that were kept; None: there are none, or they are too old."""
    draft = session.get(_KEY)
    if not draft or draft["until"] < time.time():
        return None
    fields: dict[str, str | list[str]] = draft["fields"]
    return fields


def forget_draft(session: SessionBase) -> None:
    session.pop(_KEY, None)
