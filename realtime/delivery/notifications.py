"""Notifications: a row to keep, handed to every channel; the count of unread ones, reading them."""

from collections.abc import Callable, Sequence

from django.contrib.auth.backends import ModelBackend
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import override

from realtime.delivery.channels import CHANNELS, Audience, Message
from realtime.models import Notification
from stepper import limits
from stepper.models import User


def notify(
    user: User,
    title: str | Promise,
    *,
    message: str | Promise = "",
    audience: Audience,
    priority: str = Notification.Priority.NORMAL,
    category: str = Notification.Category.TRIP,
    action_url: str = "",
) -> Notification:
    """Store a notification in the user's language and deliver it; call inside the transaction that causes it."""
    with override(user.language):
        row = _notification(user, str(title), str(message))
    row.priority, row.category, row.action_url = priority, category, action_url
    row.save()
    _deliver([Message(row, audience)])
    return row


def notify_staff(permission: str, words: Callable[[], tuple[str, str]], action_url: str) -> None:
    """Notify all staff who have `permission` ("trips.change_trip"): three queries however many they are.

    `words` gives title and message; it is called once for each language.
    """
    staff = ModelBackend().with_perm(permission).filter(is_staff=True).order_by("pk")
    by_language: dict[str, tuple[str, str]] = {}
    rows = []
    for user in staff:
        if user.language not in by_language:
            with override(user.language):
                by_language[user.language] = words()
        row = _notification(user, *by_language[user.language])
        row.priority, row.category = Notification.Priority.HIGH, Notification.Category.SYSTEM
        row.action_url = action_url
        rows.append(row)
    _deliver([Message(row, "staff") for row in Notification.objects.bulk_create(rows)])


def _notification(user: User, title: str, message: str) -> Notification:
    """Cut title and message to 120 and 300 characters: people's own words may be among them."""
    return Notification(user=user, title=title[:120], message=message[:300])


def _deliver(messages: Sequence[Message]) -> None:
    for channel in CHANNELS:
        channel.deliver(messages)


def unread_count(user_id: int) -> int:
    """Count the user's unread notifications."""
    return Notification.objects.filter(user_id=user_id, read_at__isnull=True).count()


@limits.counted("read", "light_per_min")
def mark_read(user_id: int, notification_id: int) -> bool:
    """Mark a notification as read; False: it is not the user's, or was read already.

    Raises:
        TooManyRequests: more than `light_per_min`
    """
    mine = Notification.objects.filter(pk=notification_id, user_id=user_id, read_at__isnull=True)
    return bool(mine.update(read_at=timezone.now()))


@limits.counted("read_all", "light_per_min")
def mark_all_read(user_id: int) -> int:
    """Mark everything as read; return how many were not. Raises TooManyRequests: more than `light_per_min`."""
    return Notification.objects.filter(user_id=user_id, read_at__isnull=True).update(read_at=timezone.now())
