"""Notifications: a row to keep, handed to every channel; the count of unread ones, reading them."""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import cast

from django.contrib.auth.backends import ModelBackend
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import override

from realtime import events, groups
from realtime.delivery.channels import CHANNELS, Audience, Message
from realtime.models import STAFF_PAGES, Notification
from realtime.outbox import publish
from stepper import limits
from stepper.db.prepared import PreparedQuery
from stepper.db.transactions import in_transaction
from stepper.errors import NotFound
from stepper.models import User, UserQuerySet


def notify(
    user: User,
    title: str | Promise,
    *,
    message: str | Promise = "",
    audience: Audience,
    priority: str = Notification.Priority.NORMAL,
    category: str = Notification.Category.TRIP,
    action_url: str = "",
    is_critical: bool = False,
) -> Notification:
    """Store a notification in the user's language and deliver it; call inside the transaction that causes it.

    `is_critical`: a trip hangs on it, so that it is worth an SMS to those who chose that.
    """
    with override(user.offered_language):
        row = _notification(user, str(title), str(message))
    row.priority, row.category, row.action_url = priority, category, action_url
    row.save()
    _deliver([Message(row, audience, is_critical)])
    return row


def notify_staff(
    permission: str, words: Callable[[], tuple[str, str]], action_url: str, *, is_urgent: bool = False
) -> None:
    """Notify all staff who have `permission` ("trips.change_trip"): three queries however many they are.

    `words` gives title and message; it is called once for each language.
    """
    permitted = cast(UserQuerySet, ModelBackend().with_perm(permission).filter(is_staff=True))
    staff = permitted.with_demanded_factor().order_by("pk")
    by_language: dict[str, tuple[str, str]] = {}
    rows = []
    for user in staff:
        language = user.offered_language
        if language not in by_language:
            with override(language):
                by_language[language] = words()
        row = _notification(user, *by_language[language])
        row.priority = Notification.Priority.URGENT if is_urgent else Notification.Priority.HIGH
        row.category = Notification.Category.SYSTEM
        row.action_url = action_url
        rows.append(row)
    _deliver([Message(row, "staff") for row in Notification.objects.bulk_create(rows)])


def _notification(user: User, title: str, message: str) -> Notification:
    """Cut title and message to 120 and 300 characters: people's own words may be among them."""
    return Notification(user=user, title=title[:120], message=message[:300])


def _deliver(messages: Sequence[Message]) -> None:
    for channel in CHANNELS:
        channel.deliver(messages)


# Listing and reading. Everybody has their own alone; whose they are is never what a request says.


def _shown_to(user_id: int) -> QuerySet[Notification]:
    """Return the user's notifications, without those for staff where their rights as staff do not count any more."""
    staff = UserQuerySet(User).filter(pk=OuterRef("user_id"), is_staff=True, is_active=True).with_demanded_factor()
    mine = Notification.objects.filter(user_id=user_id)
    return mine.filter(~Q(action_url__startswith=STAFF_PAGES) | Exists(staff))


# Each page with a bell asks this.
_unread_of = PreparedQuery(
    lambda user_id: (
        _shown_to(user_id)
        .filter(read_at__isnull=True)
        .order_by()
        .values("user")
        .annotate(unread=Count("pk"))
        .values_list("unread", flat=True)
    )
)


def is_choice(category: str) -> bool:
    """Say whether a list can be of this category; empty: of all."""
    return not category or category in Notification.Category.values


def list_for(user_id: int, category: str = "") -> QuerySet[Notification]:
    """Return the user's notifications, the newest first, of one category or, if it is empty, of all."""
    mine = _shown_to(user_id).order_by("-pk")
    return mine.filter(category=category) if category else mine


def unread_count(user_id: int) -> int:
    """Count the user's unread notifications."""
    return _unread_of.first(user_id) or 0


def unread_by_category(user_id: int) -> dict[str, int]:
    """Count the unread notifications of each category of which the user has any at all."""
    unread = Count("pk", filter=Q(read_at__isnull=True))
    rows = _shown_to(user_id).order_by().values("category").annotate(unread=unread)
    counted = {row["category"]: row["unread"] for row in rows}
    return {category: counted[category] for category in Notification.Category.values if category in counted}


@limits.counted("read", "light_per_min")
@in_transaction
def mark_read(user_id: int, notification_id: int) -> Notification:
    """Mark one of the user's notifications as read, on all of their pages. Repeating it changes nothing.

    Raises:
        NotFound: notification.not_found
        TooManyRequests: more than `light_per_min`
    """
    mine = _shown_to(user_id).filter(pk=notification_id)
    changed = mine.filter(read_at__isnull=True).update(read_at=timezone.now())
    row = mine.first()
    if row is None:
        raise NotFound("notification.not_found", _("There is no such notification."))
    if changed:
        _publish_read(user_id, notification_id=notification_id)
    return row


@limits.counted("read_all", "light_per_min")
@in_transaction
def mark_all_read(user_id: int, category: str = "") -> int:
    """Mark the user's notifications, of one category or of all, as read on all of their pages; return how many.

    Raises:
        TooManyRequests: more than `light_per_min`
    """
    changed = list_for(user_id, category).filter(read_at__isnull=True).update(read_at=timezone.now())
    if changed:
        _publish_read(user_id, category=category or None)
    return changed


def _unread_behind(user_id: int, action_url: str) -> QuerySet[Notification]:
    return _shown_to(user_id).filter(read_at__isnull=True, action_url=action_url)


def is_unread_behind(user_id: int, action_url: str, *, since: dt.datetime) -> bool:
    """Say whether the user has an unread notification that leads to a page and is not older than `since`."""
    return _unread_behind(user_id, action_url).filter(created_at__gte=since).exists()


def mark_read_behind(user_id: int, action_url: str) -> None:
    """Mark the user's notifications that lead to a page as read: they have seen what these are about."""
    unread = _unread_behind(user_id, action_url)
    ids = list(unread.values_list("pk", flat=True))
    if ids:
        unread.update(read_at=timezone.now())
    for pk in ids:
        _publish_read(user_id, notification_id=pk)


def _publish_read(user_id: int, *, notification_id: int | None = None, category: str | None = None) -> None:
    read = events.NotificationRead(notification_id=notification_id, category=category, unread=unread_count(user_id))
    publish(read, groups.user(user_id))
