"""Reads the event log as the sockets of a group would: decoded frames, in the order they were logged."""

from realtime import events
from realtime.models import Event
from realtime.outbox import PERMISSIONS_REFRESH


def frames(group: str) -> list[events.Frame]:
    logged = Event.objects.filter(group=group).exclude(type=PERMISSIONS_REFRESH).order_by("id")
    return [events.decode_frame(row.frame) for row in logged]


def types(group: str) -> list[str]:
    """The tags of the frames: what happened, in order."""
    return [events.tag(frame) for frame in frames(group)]


def rechecked(group: str) -> bool:
    """Whether the sockets of the group were told to check again what they may watch."""
    return Event.objects.filter(group=group, type=PERMISSIONS_REFRESH).exists()
