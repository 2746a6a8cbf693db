"""Subscriptions: which browsers of a user get pushes, and of which kinds.

A subscription belongs to the session in which it was made and ends with it: whoever is signed out, deactivated, or has
a new password elsewhere, gets nothing. That is asked of the session whenever a push is written and again when it is
sent, so it does not depend on who ends a session, and how.
"""

import dataclasses
import enum
from collections.abc import Collection, Iterable, Mapping

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection
from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from realtime.models import Notification, PushSubscription
from realtime.push import encryption, endpoints
from stepper import limits
from stepper.accounts.session_store import session_key_changed
from stepper.db.transactions import in_transaction
from stepper.errors import Conflict, InvalidInput, NotSignedIn
from stepper.models import User
from stepper.push_keys import from_base64

MOST_OF_A_USER = 10


class Topic(enum.StrEnum):
    """What a push is about; a user chooses which of them they want."""

    OFFER = "offer"
    TRIP = Notification.Category.TRIP.value
    BOOKING = Notification.Category.BOOKING.value
    PAYMENT = Notification.Category.PAYMENT.value
    SYSTEM = Notification.Category.SYSTEM.value
    CHAT = Notification.Category.CHAT.value


LABELS: dict[Topic, Promise] = {
    Topic.OFFER: _("New offers"),
    Topic.TRIP: _("Trips: changes and reminders"),
    Topic.BOOKING: _("Bookings"),
    Topic.PAYMENT: _("Payments"),
    Topic.SYSTEM: _("Account and service"),
    Topic.CHAT: _("Messages"),
}


def connect() -> None:
    """Keep subscriptions when a session gets another key; called once, when Django has loaded the apps."""
    session_key_changed.connect(_on_session_key_changed, dispatch_uid="realtime.push")


def _on_session_key_changed(old: str, new: str, **_more: object) -> None:
    PushSubscription.objects.filter(session_id=old).update(session_id=new)


def is_offered() -> bool:
    """Say whether this service has a key to send pushes with."""
    return bool(settings.VAPID_PRIVATE_KEY)


def find_subscriptions(*, users: Collection[int], drivers: Collection[int]) -> list[int]:
    """Return the ids of all subscriptions of users by their ids, and of drivers by those of their rows.

    Written by hand: every verb asks for them, mostly for nobody, and making this query would take Django longer than
    the rest of some verbs.
    """
    of_users, of_drivers = (", ".join(["%s"] * len(ids)) or "NULL" for ids in (users, drivers))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id FROM realtime_pushsubscription WHERE user_id IN ({of_users})"  # noqa: S608 - marks alone
            # Not "or": then each part is looked up in its index.
            " UNION SELECT row.id FROM realtime_pushsubscription AS row"
            f" JOIN drivers_driver AS driver ON driver.user_id = row.user_id WHERE driver.id IN ({of_drivers})",
            [*users, *drivers],
        )
        return [row_id for (row_id,) in cursor.fetchall()]


def living(**conditions: object) -> list[PushSubscription]:
    """Find subscriptions whose session still opens their user's account, each with its user."""
    rows = (
        PushSubscription.objects.filter(user__is_active=True, session__expire_date__gt=timezone.now(), **conditions)
        .select_related("user__driver", "session__account_session")
        .defer("session__session_data")
        .order_by("pk")
    )
    return [row for row in rows if _opens_account(row)]


def _opens_account(row: PushSubscription) -> bool:
    account_session = getattr(row.session, "account_session", None)
    return (
        account_session is not None
        and account_session.user_id == row.user_id
        and account_session.auth_hash == row.user.get_session_auth_hash()
    )


def subscribed(user: User, session_key: str | None) -> bool:
    """Say whether a session of a user gets pushes."""
    return session_key is not None and PushSubscription.objects.filter(user=user, session_id=session_key).exists()


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """What a page or program of a session has to know of pushes. `public_key` None: none are offered."""

    public_key: str | None
    is_subscribed: bool
    topics: dict[Topic, bool]


def state_of(user: User, session_key: str | None) -> State:
    """Read how pushes stand for a user in a session."""
    key = encryption.vapid_public_key() if is_offered() else None
    return State(key, subscribed(user, session_key), topics_of(user))


def subscribe(user: User, session_key: str | None, *, endpoint: str, p256dh: str, auth: str) -> PushSubscription:
    """Have a browser get the pushes of the user who is signed in there. Repeating it changes nothing.

    A session has one subscription: another one takes its place.

    Raises:
        Conflict: push.not_offered; push.too_many.
        InvalidInput: push.endpoint_refused, no address of a push service; input.invalid, keys that are none.
        NotSignedIn: auth.token_invalid, the session has ended meanwhile.
        NotPermitted: account.inactive.
        TooManyRequests: more than `changes_per_min`.
    """
    limits.count_call("push.subscribe", user.pk, setting="changes_per_min")
    if not is_offered():
        raise Conflict("push.not_offered", _("This service sends no pushes."))
    if endpoints.host_of(endpoint) is None:
        raise _refused_endpoint()
    _require_keys(p256dh, auth)
    return _subscribe(user, session_key, endpoint=endpoint, p256dh=p256dh, auth=auth)


@in_transaction
def _subscribe(user: User, session_key: str | None, *, endpoint: str, p256dh: str, auth: str) -> PushSubscription:
    # Locked, so that the number holds however many browsers subscribe at once.
    User.objects.lock_active(user.pk)
    if session_key is None or not Session.objects.filter(session_key=session_key).exists():
        raise NotSignedIn("auth.token_invalid", _("Sign in again."))
    known = PushSubscription.objects.filter(endpoint=endpoint).first()
    # Who knows a browser's endpoint only, and not its keys, must not take it over.
    if known is not None and known.user_id != user.pk and (known.p256dh, known.auth) != (p256dh, auth):
        raise _refused_endpoint()
    if known is not None and known.user_id != user.pk:
        # What waits for the subscription of one account must not be sent to the next one of that browser.
        known.delete()
    others = PushSubscription.objects.filter(user=user).exclude(endpoint=endpoint)
    ended = ~Exists(Session.objects.filter(session_key=OuterRef("session_id"), expire_date__gt=timezone.now()))
    others.filter(ended).delete()
    others.filter(session_id=session_key).delete()
    if others.count() >= MOST_OF_A_USER:
        raise Conflict(
            "push.too_many",
            _("%(number)d of your browsers get pushes already. Sign out on one of them.") % {"number": MOST_OF_A_USER},
        )
    row, _is_new = PushSubscription.objects.update_or_create(
        endpoint=endpoint, defaults={"user": user, "session_id": session_key, "p256dh": p256dh, "auth": auth}
    )
    return row


def _refused_endpoint() -> InvalidInput:
    message = _("This is no address of a push service that we know.")
    return InvalidInput("push.endpoint_refused", message, {"endpoint": [message]})


def _require_keys(p256dh: str, auth: str) -> None:
    message = _("This is no key of a push subscription.")
    try:
        encryption.read_public_key(p256dh)
    except ValueError:
        raise InvalidInput("input.invalid", message, {"keys.p256dh": [message]}) from None
    try:
        length = len(from_base64(auth))
    except ValueError:
        length = 0
    if length != encryption.AUTH_BYTES:
        raise InvalidInput("input.invalid", message, {"keys.auth": [message]})


def unsubscribe(user: User, session_key: str | None) -> None:
    """Have the browser of a session get no pushes any more. Repeating it changes nothing."""
    PushSubscription.objects.filter(user=user, session_id=session_key).delete()


def topics_of(user: User) -> dict[Topic, bool]:
    """Say which kinds of pushes a user wants."""
    muted = _muted(user)
    return {topic: topic not in muted for topic in Topic}


def wants(user: User, topic: str) -> bool:
    """Say whether a user wants pushes of a kind; one that nobody can choose is wanted."""
    return topic not in _muted(user)


def choose_topics(user: User, wanted: Mapping[Topic, bool]) -> None:
    """Set which kinds of pushes a user wants, on all of their browsers; others stay as they are.

    Raises:
        TooManyRequests: more than `changes_per_min`.
    """
    limits.count_call("push.topics", user.pk, setting="changes_per_min")
    store_topics(user, wanted)


@in_transaction
def store_topics(user: User, wanted: Mapping[Topic, bool]) -> None:
    """Store what `choose_topics` has counted. Raises NotPermitted: account.inactive."""
    stored = User.objects.lock_active(user.pk)
    chosen = topics_of(stored) | dict(wanted)
    user.push_muted = _join(topic for topic, is_wanted in chosen.items() if not is_wanted)
    User.objects.filter(pk=user.pk).update(push_muted=user.push_muted)


def _muted(user: User) -> set[str]:
    return set(user.push_muted.split())


def _join(topics: Iterable[Topic]) -> str:
    return " ".join(sorted(topics))
