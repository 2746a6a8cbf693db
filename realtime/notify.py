"""Notifications: a row to keep, an event to every open page of the user."""

from collections.abc import Callable
from typing import Literal

from django.contrib.auth.backends import ModelBackend
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import override

from realtime.outbox import publish, publish_many
from stepper import limits
from stepper.models import User

from . import events, groups
from .models import Notification


def notify(
    user: User,
    title: str | Promise,
    *,
    message: str | Promise = "",
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


def notify_staff(permission: str, told: Callable[[], tuple[str, str]], action_url: str) -> None:
    """Tells all staff who have `permission` ("trips.change_trip"): three queries however many they are.

    `told` gives title and message; it is called once for each language.
    """
    staff = ModelBackend().with_perm(permission).filter(is_staff=True).order_by("pk")
    words: dict[str, tuple[str, str]] = {}
    rows = []
    for user in staff:
        if user.language not in words:
            with override(user.language):
                words[user.language] = told()
        title, message = words[user.language]
        rows.append(
            Notification(
                user=user,
                title=title[:120],
                message=message[:300],
                priority=Notification.Priority.HIGH,
                category=Notification.Category.SYSTEM,
                action_url=action_url,
            )
        )
    publish_many(
        (
            events.NotificationPassenger(
                notification_id=row.pk,
                title=row.title,
                message=row.message,
                priority=row.priority,
                category=row.category,
                action_url=row.action_url,
            ),
            groups.user(row.user_id),
        )
        for row in Notification.objects.bulk_create(rows)
    )


def unread_count(user_id: int) -> int:
    return Notification.objects.filter(user_id=user_id, read_at__isnull=True).count()


@limits.counted("read", "light_per_min")
def mark_read(user_id: int, notification_id: int) -> bool:
    """False where it is not theirs or was read already. Raises TooManyRequests: more than `light_per_min`."""
    mine = Notification.objects.filter(pk=notification_id, user_id=user_id, read_at__isnull=True)
    return bool(mine.update(read_at=timezone.now()))


@limits.counted("read_all", "light_per_min")
def mark_all_read(user_id: int) -> int:
    """Mark everything as read; return how many were not. Raises TooManyRequests: more than `light_per_min`."""
    return Notification.objects.filter(user_id=user_id, read_at__isnull=True).update(read_at=timezone.now())
