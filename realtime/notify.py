"""Notifications: a row to keep, an event to every open page of the user."""

from typing import Literal

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import override

from stepper.models import User

from . import events, groups
from .models import Notification
from .publish import publish


def notify(
    user: User,
    title: str | Promise,
    message: str | Promise = "",
    *,
    audience: Literal["driver", "passenger"],
    priority: str = Notification.Priority.NORMAL,
    category: str = Notification.Category.TRIP,
    action_url: str = "",
) -> Notification:
    """Stores a notification in the user's language and publishes it; call inside the transaction that causes it.

    Title and message are cut to 120 and 300 characters: people's own words may be among them.
    """
    with override(user.language):
        row = Notification.objects.create(
            user=user,
            title=str(title)[:120],
            message=str(message)[:300],
            priority=priority,
            category=category,
            action_url=action_url,
        )
    frame = events.NotificationDriver if audience == "driver" else events.NotificationPassenger
    publish(
        frame(
            notification_id=row.pk,
            title=row.title,
            message=row.message,
            priority=row.priority,
            category=row.category,
            action_url=row.action_url,
        ),
        groups.user(user.pk),
    )
    return row


def unread_count(user_id: int) -> int:
    return Notification.objects.filter(user_id=user_id, read_at__isnull=True).count()


def mark_read(user_id: int, notification_id: int) -> bool:
    """False where it is not theirs or was read already."""
    mine = Notification.objects.filter(pk=notification_id, user_id=user_id, read_at__isnull=True)
    return bool(mine.update(read_at=timezone.now()))


def mark_all_read(user_id: int) -> int:
    return Notification.objects.filter(user_id=user_id, read_at__isnull=True).update(read_at=timezone.now())
