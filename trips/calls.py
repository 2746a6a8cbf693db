"""Taking a call: who calls, by their number, and booking for them.

A trip goes to the account of who calls: one whose number a code has proved, or one that nothing but a code to that
number can open, as staff make it for a new caller. Whoever signs in by SMS later gets that very account with its trips
(stepper.accounts.phone_proofs). An account that somebody opened otherwise, with a number that nobody has proved, may be
a stranger's: its owner sees nothing of the call. The trip is then the operator's own, and the caller its traveller.
"""

import re
from collections.abc import Sequence
from enum import Enum
from typing import Any

import msgspec
from allauth.mfa.models import Authenticator
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _
from msgspec import Struct

from realtime import events
from stepper import languages
from stepper.db.clock import database_now
from stepper.db.transactions import best_effort, in_transaction
from stepper.errors import Conflict, InvalidFields, Text
from stepper.models import ServiceSettings, User
from stepper.phones import normal_phone
from stepper.texts import clean_line
from trips import bookings, shares
from trips.booking_requests import BookingRequest, Traveller, check_request
from trips.cards import dropoff, pickup
from trips.dispatch import start_round
from trips.models import SavedPlace, SavedPlaceKind, Trip, TripTransition
from trips.states import Role, TripStatus

# What an operator needs: booking for others, seeing to trips, and reading whose number it is.
PERMISSIONS = ("trips.add_trip", "trips.change_trip", "stepper.view_user")
NAME_LENGTH = 80
# As many of the caller's latest trips are read, and shown; the same of places.
_READ, SHOWN, MOST_PLACES = 30, 5, 6
_KEY = re.compile(r"[0-9A-Za-z-]{8,58}")


class Standing(Enum):
    """Whose the number is."""

    KNOWN = "known"
    # Made for a caller before, and not signed in to yet.
    CALLED_BEFORE = "called_before"
    NEW = "new"
    # On the account of somebody who never proved it.
    UNPROVEN = "unproven"
    INACTIVE = "inactive"


class UsualPlace(Struct, frozen=True):
    """A place that a caller keeps or has been to. `label`: what they call it; empty: its name alone."""

    label: str
    place: events.Place


class Caller(Struct, frozen=True):
    """Who calls. `user` None: nobody's account, or one that says nothing of who calls."""

    phone: str
    standing: Standing
    user: User | None = None
    open_trips: Sequence[Trip] = ()
    past_trips: Sequence[Trip] = ()
    completed: int = 0
    places: Sequence[UsualPlace] = ()

    @property
    def is_new(self) -> bool:
        """Whether the operator has to ask for a name."""
        return self.user is None and self.standing is not Standing.INACTIVE


class Taken(Struct, frozen=True):
    """A call that ended with a trip. `link` None: it was sent before, and nobody can read it again."""

    trip: Trip
    phone: str
    link: str | None
    is_sent: bool
    # Made for this call.
    has_new_account: bool = False
    # The same call was booked before.
    is_repeated: bool = False


def require_operator(staff: User) -> None:
    """Refuse somebody who may not take calls. Raises NotPermitted: auth.forbidden."""
    staff.require_active()
    for permission in PERMISSIONS:
        staff.require_staff(permission)


def find_caller(staff: User, text: str) -> Caller | None:
    """Return who calls from a number in whatever spelling; None: it is no whole number yet.

    Raises:
        NotPermitted: auth.forbidden
    """
    require_operator(staff)
    phone = normal_phone(text)
    if phone is None:
        return None
    user = User.objects.filter(phone=phone).first()
    standing = _standing(user)
    if user is None or standing in (Standing.UNPROVEN, Standing.INACTIVE):
        return Caller(phone, standing)
    latest = list(Trip.objects.filter(organiser=user).order_by("-created_at").select_related("driver__user")[:_READ])
    past = [trip for trip in latest if trip.is_finished]
    return Caller(
        phone=phone,
        standing=standing,
        user=user,
        open_trips=[trip for trip in latest if not trip.is_finished][:SHOWN],
        past_trips=_different(past)[:SHOWN],
        completed=Trip.objects.filter(organiser=user, status=TripStatus.COMPLETED).count(),
        places=_usual_places(user, past),
    )


def _standing(user: User | None) -> Standing:
    if user is None:
        return Standing.NEW
    if not user.is_active:
        return Standing.INACTIVE
    if user.has_verified_phone:
        return Standing.KNOWN
    # Nobody has ever been in it, and nothing opens it but a code to the number.
    is_closed = user.last_login is None and user.email is None and not user.has_usable_password()
    if is_closed and not Authenticator.objects.filter(user=user).exists():
        return Standing.CALLED_BEFORE
    return Standing.UNPROVEN


def _different(trips: Sequence[Trip]) -> list[Trip]:
    """Leave out trips of the same way as a later one."""
    found: dict[tuple[Any, ...], Trip] = {}
    for trip in trips:
        stops = tuple((stop.lat, stop.lng) for stop in trip.stop_list)
        found.setdefault((trip.pickup_lat, trip.pickup_lng, stops, trip.dropoff_lat, trip.dropoff_lng), trip)
    return list(found.values())


def _usual_places(user: User, past: Sequence[Trip]) -> list[UsualPlace]:
    """Return the places that they keep, home and work first, then where they were last."""
    found = {
        (row.lat, row.lng): UsualPlace(
            row.label or str(SavedPlaceKind(row.kind).label),
            events.Place(row.place_name, row.address, row.lat, row.lng),
        )
        for row in SavedPlace.objects.list_of(user.pk)
    }
    for trip in past:
        for place in (pickup(trip), dropoff(trip)):
            found.setdefault((place.lat, place.lng), UsualPlace("", place))
    return list(found.values())[:MOST_PLACES]


def taken_by(trip_ids: Sequence[int]) -> dict[int, str]:
    """Return the names of the staff who took the calls of these trips; those booked by passengers are not in it."""
    rows = TripTransition.objects.filter(trip__in=trip_ids, from_status=TripStatus.DRAFT, role=Role.STAFF)
    return dict(rows.values_list("trip_id", "by__name"))


def book_for_caller(
    staff: User, phone: str, request: BookingRequest, *, name: str, language: str, key: str, quote_token: str = ""
) -> Taken:
    """Book a trip for who calls, and send them the link that shows it.

    `name`: of a caller without an account. `language`: in which they get the SMS, and a new account is. `key`: of this
    call; the same key again gives the trip that it made. `quote_token`: of the price that was said.

    The limits of passengers' accounts do not count: staff see to it.

    Raises:
        NotPermitted: auth.forbidden
        InvalidInput: a field is wrong (phone, caller_name, key, those of a booking); nothing was written
        Conflict: call.account_inactive; booking.key_reused; quote.changed (another price was said)
    """
    require_operator(staff)
    number = normal_phone(phone)
    name = clean_line(name)
    wrong: dict[str, list[Text]] = {}
    if number is None:
        wrong["phone"] = [_("Enter a phone number, for example +7 701 234 56 78.")]
    if not _KEY.fullmatch(key):
        wrong["key"] = [_("This call has no key of its own. Start a new call.")]
    if language not in languages.NAMES:
        wrong["sms_language"] = [_("Choose from the list.")]
    if number is None or wrong:
        raise InvalidFields(wrong)
    taken = _book(
        staff, number, request, name=name, language=languages.offered_or_source(language), key=key, token=quote_token
    )
    if not taken.is_repeated:
        best_effort(start_round, taken.trip.pk)
        best_effort(taken.trip.refresh_from_db)
    return taken


@in_transaction
def _book(staff: User, phone: str, request: BookingRequest, *, name: str, language: str, key: str, token: str) -> Taken:
    """Find or make the account, write the trip, and make its link."""
    organiser, is_new = _lock_organiser(staff, phone, name, language)
    if organiser.pk == staff.pk and request.traveller is None and not _is_number_of(staff, phone):
        request = msgspec.structs.replace(request, traveller=Traveller(_need_name(name), phone))
    request_key = f"call-{key}"
    made = Trip.objects.filter(organiser=organiser, request_key=request_key).first()
    if made is not None:
        bookings.require_same(made, request)
        return _taken_before(made, phone)
    settings, now = ServiceSettings.current(), database_now()
    check_request(request, settings, now)
    # The operator was shown the price.
    price = bookings.agreed_price(staff, request, token, settings=settings, now=now)
    trip = bookings.new_trip(organiser, request, price, request_key=request_key, settings=settings, now=now)
    trip.is_shared = True
    bookings.publish_new(trip, Role.STAFF, staff.pk, settings=settings, now=now)
    share, is_sent = shares.send_to_caller(trip, phone, language=language, service=settings)
    if trip.traveller_phone and trip.traveller_phone != phone and shares.sends_links_for(staff):
        shares.send_to_traveller(trip, settings)
    return Taken(trip, phone, shares.address_of(share.token), is_sent, has_new_account=is_new)


def _taken_before(trip: Trip, phone: str) -> Taken:
    again = shares.make_again_for_caller(trip)
    link = shares.address_of(again.token) if again else None
    return Taken(trip, phone, link, is_sent=again is None, is_repeated=True)


def _lock_organiser(staff: User, phone: str, name: str, language: str) -> tuple[User, bool]:
    """Lock the account that the trip is booked on, made where there is none; and whether it is new.

    The lock makes repeated calls run one after another, so that the second finds the trip of the first.
    """
    accounts = User.objects.select_for_update(no_key=True)
    user = accounts.filter(phone=phone).first()
    if user is None:
        new = User(name=_need_name(name), phone=phone, language=language)
        new.set_unusable_password()
        try:
            with transaction.atomic():
                new.save(force_insert=True)
            return new, True
        except IntegrityError:  # somebody else was first
            user = accounts.get(phone=phone)
    standing = _standing(user)
    if standing is Standing.INACTIVE:
        raise Conflict("call.account_inactive", inactive_words())
    if standing is Standing.UNPROVEN:
        return accounts.get(pk=staff.pk), False
    return user, False


def inactive_words() -> str:
    return _("The account of this number is closed: no trips are booked on it. Open it in the administration first.")


def _need_name(name: str) -> str:
    if not 1 <= len(name) <= NAME_LENGTH:
        reasons: dict[str, list[Text]] = {"caller_name": [_("Ask for the caller's name and enter it.")]}
        raise InvalidFields(reasons)
    return name


def _is_number_of(user: User, phone: str) -> bool:
    return bool(user.phone) and user.phone is not None and user.phone.as_e164 == phone
