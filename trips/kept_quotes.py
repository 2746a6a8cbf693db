"""Prices that are kept: a quote's promise, signed, which the booking brings back. Nothing is stored.

A token says what was asked for (places, stops, seats, time: by a digest), who asked, until when it holds and what each
class cost. Nobody but this service can make one. A stranger's holds for whoever brings it, as the stranger signs in
before booking; somebody's own for them alone.
"""

import datetime as dt
import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from django.core import signing
from django.utils.translation import gettext as _
from msgspec import Struct

from stepper.errors import Conflict
from stepper.models import ServiceSettings
from stepper.templatetags.units import money
from trips.booking_requests import BookingRequest

TOKEN_LENGTH = 400
_SALT = "trips.kept_quotes"


class KeptQuote(Struct, frozen=True):
    """A token, and until when it holds."""

    token: str
    until: dt.datetime


class QuoteChanged(Conflict):
    """The price that the passenger saw does not hold any more, and the present one differs."""

    def __init__(self, fare: int, kept: KeptQuote) -> None:
        super().__init__(
            "quote.changed",
            _("The price is now %(price)s. Nothing is booked yet: book again if you agree.") % {"price": money(fare)},
        )
        # What a program needs to ask its passenger, and to book then.
        self.details = {"fare": fare, "quote": kept.token, "kept_until": kept.until.isoformat().replace("+00:00", "Z")}


class _Promise(Struct, frozen=True):
    """What a token says. `fares`: by class, in whole tenge; `until`: seconds since 1970; `user_id` None: a stranger."""

    asked: str
    fares: dict[str, int]
    until: int
    user_id: int | None


def keep_fares(
    request: BookingRequest,
    fares: Mapping[str, int],
    *,
    user_id: int | None,
    settings: ServiceSettings,
    now: dt.datetime,
) -> KeptQuote:
    """Promise the fares of these classes for the request, for `quote_kept_min`."""
    until = (now + dt.timedelta(minutes=settings.quote_kept_min)).replace(microsecond=0)
    promise = _Promise(asked=_digest(request), fares=dict(fares), until=int(until.timestamp()), user_id=user_id)
    return KeptQuote(signing.dumps(msgspec.to_builtins(promise), salt=_SALT), until)


def kept_fares(
    token: str, request: BookingRequest, *, user_id: int | None, now: dt.datetime
) -> tuple[dict[str, int], KeptQuote] | None:
    """Return what a token promises for this request, by class; None: it promises nothing, or not any more."""
    promise = _read(token)
    if promise is None or promise.user_id not in (None, user_id) or promise.asked != _digest(request):
        return None
    until = dt.datetime.fromtimestamp(promise.until, dt.UTC)
    return (promise.fares, KeptQuote(token, until)) if now < until else None


def was_shown(token: str, vehicle_class: str, fare: int) -> bool:
    """Say whether a token names this fare, for whatever request: then the passenger need not be asked again."""
    promise = _read(token)
    return promise is not None and promise.fares.get(vehicle_class) == fare


def _read(token: str) -> _Promise | None:
    try:
        content: Any = signing.loads(token, salt=_SALT)
        return msgspec.convert(content, _Promise)
    except (signing.BadSignature, msgspec.ValidationError):
        return None


def _digest(request: BookingRequest) -> str:
    """Return a digest of all that the price depends on but the class: where, how many, when. Names are not in it."""
    leaves = request.departure_at.timestamp() if request.departure_at else None
    asked = (request.points, request.seats, leaves)
    return hashlib.blake2b(msgspec.json.encode(asked), digest_size=12).hexdigest()
