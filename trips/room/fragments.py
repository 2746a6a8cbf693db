"""What the page of the room is sent as HTML: the bell. Map and counters are frames, the queue is fetched."""

from typing import assert_never

from realtime import events
from realtime.delivery.fragments import badge, notification
from trips import incoming_calls

RoomEvent = (
    events.NotificationDriver
    | events.NotificationPassenger
    | events.NotificationStaff
    | events.NotificationRead
    | events.CallAnnounced
)


def snapshot(user_id: int) -> str:
    """Draw everything, for a page that has just connected or may have missed events."""
    return badge(user_id)


def render(event: RoomEvent, user_id: int) -> str:
    """Draw what an event changes."""
    match event:
        case events.NotificationDriver() | events.NotificationPassenger() | events.NotificationStaff():
            return notification(event, user_id)
        case events.NotificationRead():
            return badge(user_id)
        case events.CallAnnounced():
            return incoming_calls.draw(event)
        case _:
            assert_never(event)
