"""Sharing a trip: a link with which family watch it live without an account, until it ends or the link is revoked."""

import enum
import hashlib
import secrets
from typing import NamedTuple

from django.conf import settings
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from realtime import groups
from realtime.outbox import refresh_permissions
from stepper import limits
from stepper.accounts import phone_codes
from stepper.db.transactions import in_transaction
from stepper.errors import Conflict, NotFound
from stepper.models import ServiceSettings, User
from stepper.sms import sending
from stepper.templatetags.units import money, when_within

from . import access
from .models import Booking, Trip, TripShare
from .states import FINISHED, BookingStatus

# Links of one trip that work at the same time.
MOST_LINKS = 5
# Openings and searches by strangers, each minute and address: a mobile carrier is one address.
OPENED_PER_MIN = 120


class TravellerLink(enum.Enum):
    """How somebody for whom another person books gets a link to the trip."""

    SENT = "sent"  # by SMS, with the booking
    UNPROVEN = "unproven"  # it would be, but that the number of who books is not proven
    SHARED = "shared"  # no SMS can be sent: who booked makes one on the trip's page


class NewShare(NamedTuple):
    """A link that has just been made. `token` is what its address ends in; nobody can read it again."""

    share: TripShare
    token: str


def may_share(user: User, trip: Trip) -> bool:
    """Say whether the user may share the trip: whoever booked it or has seats on it, not its driver, nor staff."""
    if trip.is_finished:
        return False
    return trip.organiser_id == user.pk or access.list_booked_by(user).filter(pk=trip.pk).exists()


def list_shares(user: User, trip: Trip) -> list[TripShare]:
    """Return the links that the user may revoke: their own, to whoever booked the trip and to staff all of them."""
    if not trip.is_shared:
        return []
    links = trip.shares.select_related("created_by")
    if trip.organiser_id != user.pk and not user.may_steer_trips:
        links = links.filter(created_by=user)
    return list(links)


def create_share(trip_id: int, user: User) -> NewShare:
    """Make a link to the trip.

    Raises:
        NotFound: trip.not_found, also for the driver and staff
        Conflict: share.trip_ended, share.too_many
        TooManyRequests: more than `changes_per_min`
    """
    limits.count_call_of(user, "share", "changes_per_min")
    return _create_share(trip_id, user)


@in_transaction
def _create_share(trip_id: int, user: User) -> NewShare:
    trip = access.list_booked_by(user).for_page().locked().filter(pk=trip_id).first()
    if trip is None:
        raise NotFound("trip.not_found", _("There is no such trip."))
    if trip.is_finished:
        raise Conflict("share.trip_ended", _("This trip is over."))
    if trip.shares.count() >= MOST_LINKS:
        raise Conflict("share.too_many", _("This trip is shared often enough. End one of its links first."))
    made = _add(trip, user)
    if not trip.is_shared:
        # From now on its changes and positions go to those who watch by a link, too.
        trip.amend(is_shared=True)
    return made


def _add(trip: Trip, user: User, sent_to: str = "") -> NewShare:
    token = secrets.token_urlsafe(32)
    share = TripShare.objects.create(trip=trip, created_by=user, token_digest=_digest(token), sent_to=sent_to)
    return NewShare(share, token)


def sends_links_for(user: User) -> bool:
    """Say whether those whom the user books for get a link by SMS: they do where the user's own number is proven."""
    return link_for_traveller(user) is TravellerLink.SENT


def link_for_traveller(user: User | None) -> TravellerLink:
    """Say how those whom the user books for come to a link. None: somebody who has not signed in yet."""
    if not (settings.PUBLIC_URL and sending.is_offered()):
        return TravellerLink.SHARED
    is_known = user is not None and (user.may_steer_trips or user.has_verified_phone)
    return TravellerLink.SENT if is_known else TravellerLink.UNPROVEN


def end_sent_link(trip: Trip) -> None:
    """End the link that went to the traveller: somebody else travels."""
    deleted, _rows = trip.shares.exclude(sent_to="").delete()
    if deleted:
        refresh_permissions(groups.shared_trip(trip.pk))


def send_to_traveller(trip: Trip, service: ServiceSettings) -> None:
    """Send the traveller a link, once this commits. What people have typed is not in the SMS: they could say anything.

    The trip is shared already; where no SMS goes there any more today, or this account has sent many, there is no link.
    """
    organiser, language = trip.organiser, trip.organiser.language
    made = _add(trip, organiser, sent_to=trip.traveller_phone)
    with translation.override(language):
        text = _("StepperGO: a trip is booked for you, %(when)s. Where it is: %(address)s")
        text %= {"when": when_within(trip.departure_at, trip.timezone), "address": address_of(made.token)}
    by_id = None if organiser.may_steer_trips else organiser.pk
    phone = trip.traveller_phone
    if not phone_codes.tell_unproven(phone, text, language=language, by_id=by_id, settings=service):
        made.share.delete()


def address_of(token: str) -> str:
    """Return the address of a link that has just been made."""
    return f"{settings.PUBLIC_URL}{reverse('shared-trip', args=[token])}"


def send_to_caller(trip: Trip, phone: str, *, language: str, service: ServiceSettings) -> tuple[NewShare, bool]:
    """Make a link for who booked by phone, and send it once this commits; False: no SMS goes there, read it to them.

    The trip is shared already. Staff take calls, so no number of an account or address limits them.
    """
    made = _add(trip, trip.organiser, sent_to=phone)
    if settings.PUBLIC_URL:
        with translation.override(language):
            text = _("StepperGO: your trip is booked, %(when)s, %(price)s. Where it is: %(address)s") % {
                "when": when_within(trip.departure_at, trip.timezone),
                "price": money(trip.fare),
                "address": address_of(made.token),
            }
        if phone_codes.tell_unproven(phone, text, language=language, by_id=None, settings=service):
            return made, True
    made.share.sent_to = ""
    made.share.save(update_fields=["sent_to"])
    return made, False


def make_again_for_caller(trip: Trip) -> NewShare | None:
    """Make another link of a trip booked by phone, where its first was not sent and nobody can read it again.

    None: it was sent, or the trip is over or has links enough.
    """
    if trip.is_finished or trip.shares.exclude(sent_to="").exists() or trip.shares.count() >= MOST_LINKS:
        return None
    return _add(trip, trip.organiser)


def lacks_sent_link(user: User, trip: Trip) -> bool:
    """Say whether the traveller has no link by SMS, and the user, who booked for them, can have one sent."""
    is_open = bool(trip.traveller_phone) and not trip.is_finished
    if not is_open or trip.organiser_id != user.pk or not sends_links_for(user):
        return False
    return not trip.shares.exclude(sent_to="").exists()


def send_link_again(trip_id: int, user: User) -> None:
    """Send the traveller the link that they did not get; one that they have stays the only one.

    Raises:
        NotFound: trip.not_found, also for the driver and staff
        Conflict: share.not_sent, no SMS goes there today
        TooManyRequests: more than `changes_per_min`
    """
    limits.count_call_of(user, "share", "changes_per_min")
    _send_link_again(trip_id, user)


@in_transaction
def _send_link_again(trip_id: int, user: User) -> None:
    trip = access.list_booked_by(user).for_page().locked().filter(pk=trip_id).first()
    if trip is None:
        raise NotFound("trip.not_found", _("There is no such trip."))
    if not lacks_sent_link(user, trip):
        return
    send_to_traveller(trip, ServiceSettings.current())
    if lacks_sent_link(user, trip):
        raise Conflict("share.not_sent", _("No SMS goes to this number today. Make a link and send it yourself."))
    if not trip.is_shared:
        trip.amend(is_shared=True)


def revoke_share(trip_id: int, share_id: int, user: User) -> None:
    """End a link; its pages that are open lose their connection. Repeating it changes nothing.

    Raises:
        NotFound: trip.not_found
        TooManyRequests: more than `changes_per_min`
    """
    limits.count_call_of(user, "share", "changes_per_min")
    trip = access.trip_for(user, trip_id)
    mine = {share.pk for share in list_shares(user, trip)}
    if share_id in mine:
        _delete_share(trip_id, share_id)


@in_transaction
def _delete_share(trip_id: int, share_id: int) -> None:
    TripShare.objects.filter(pk=share_id).delete()
    refresh_permissions(groups.shared_trip(trip_id))


def share_by_token(token: str) -> TripShare:
    """Return the link with its trip.

    Raises:
        NotFound: share.ended, it was revoked, its trip or the right of who made it has ended, or there never was one
    """
    found = _valid().select_related("trip__driver__user", "trip__organiser", "trip__vehicle")
    share = found.filter(token_digest=_digest(token)).first()
    if share is None:
        raise link_ended()
    return share


def link_ended() -> NotFound:
    # A socket says it in the language of its page, which is not that of the thread.
    return NotFound("share.ended", gettext_lazy("This link does not work any more: the trip is over or it was ended."))


def open_share(token: str, network: str) -> TripShare:
    """Return the link for its page and count the opening. `network`: whence, for the limit.

    Raises:
        NotFound: share.ended
        TooManyRequests: more than OPENED_PER_MIN from one address
    """
    limits.spend("share.open", network, most=OPENED_PER_MIN)
    share = share_by_token(token)
    TripShare.objects.filter(pk=share.pk).update(opened=F("opened") + 1)
    return share


def is_valid(share_id: int) -> bool:
    """Say whether a link that was found before still works."""
    return _valid().filter(pk=share_id).exists()


def _valid() -> QuerySet[TripShare]:
    """Return the links that work: of trips that are not over, by an active account that still has a part in it."""
    seats = Booking.objects.filter(trip=OuterRef("trip"), passenger=OuterRef("created_by"))
    has_seats = Exists(seats.exclude(status=BookingStatus.CANCELLED))
    has_part = Q(trip__organiser=F("created_by")) | has_seats
    return TripShare.objects.filter(has_part, created_by__is_active=True).exclude(trip__status__in=FINISHED)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
