"""Notifications as pushes: what is behind the bell, with its page."""

from collections.abc import Sequence
from typing import Any

from django.utils import timezone

from realtime.models import Notification
from realtime.push.messages import KEPT, Push, send_pushes

_URGENT = {Notification.Priority.HIGH, Notification.Priority.URGENT}
NOTIFICATIONS = "/notifications/"


def send_notices(rows: Sequence[Notification]) -> None:
    """Enqueue a push of each notification, in the current transaction."""
    send_pushes([(row.user_id, _push_of(row)) for row in rows])


def _push_of(row: Notification) -> Push:
    return Push(
        topic=row.category,
        tag=f"notification-{row.pk}",
        until=timezone.now() + KEPT,
        # Stored in the user's language already.
        write=lambda: _written(row),
        url=row.action_url or NOTIFICATIONS,
        urgency="high" if row.priority in _URGENT else "normal",
    )


def _written(row: Notification) -> dict[str, Any]:
    return {"title": row.title, "body": row.message}
