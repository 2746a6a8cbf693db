"""What every page shows of notifications: the count behind the bell and, for a new one, a toast."""

from django.template.loader import render_to_string

from realtime import events
from realtime.delivery.notifications import unread_count


def badge(user_id: int) -> str:
    """Draw the number of unread notifications, for an out-of-band swap."""
    return render_to_string("realtime/badge.html", {"unread": unread_count(user_id), "oob": True})


def notification(event: events.Notification, user_id: int) -> str:
    """Draw the badge's new count and a toast."""
    return badge(user_id) + render_to_string("realtime/toast.html", {"notification": event})
