"""What an application's page, and the documents of the settings, are sent: how it stands, and each document."""

from typing import assert_never

from django.template.loader import render_to_string

from realtime import events
from realtime.delivery.fragments import badge, notification

from .papers import Papers

ApplicationPageEvent = (
    events.ApplicationUpdated
    | events.NotificationDriver
    | events.NotificationPassenger
    | events.NotificationStaff
    | events.NotificationRead
)


def snapshot(user_id: int) -> str:
    """Draw everything, for a page that has just connected or may have missed events."""
    return _draw(user_id) + badge(user_id)


def render(event: ApplicationPageEvent, user_id: int) -> str:
    """Draw what an event changes; a document as it is now, since a later event may have changed it."""
    match event:
        case events.ApplicationUpdated():
            return _draw(user_id)
        case events.NotificationDriver() | events.NotificationPassenger() | events.NotificationStaff():
            return notification(event, user_id)
        case events.NotificationRead():
            return badge(user_id)
        case _:
            assert_never(event)


def _draw(user_id: int) -> str:
    papers = Papers(user_id)
    state = render_to_string("drivers/application_state.html", {"papers": papers, "oob": True})
    statuses = [
        render_to_string("drivers/document_status.html", {"paper": paper, "oob": True}) for paper in papers.papers
    ]
    return state + "".join(statuses)
