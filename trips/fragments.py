"""HTML fragments for the passengers' sockets, swapped out of band into their open pages.

Called inside a database thread with the viewer's language active. Every function re-reads the truth, so a fragment
is right whatever order events arrive in; `data-version` lets the page ignore one that was overtaken on the way.
"""

from typing import assert_never

from django.template.loader import render_to_string

from realtime import events
from realtime.delivery.fragments import badge, notification
from stepper.errors import NotFound
from stepper.models import User
from trips import incoming_calls
from trips.access import trip_for

from . import conversations
from .forms import RatingForm
from .panel import Panel
from .views import list_context

_Notification = (
    events.NotificationDriver | events.NotificationPassenger | events.NotificationStaff | events.NotificationRead
)
_TripChange = events.OfferAccepted | events.TripStatusUpdated | events.BookingConfirmed | events.BookingCancelled
_Message = events.TripMessageCreated | events.TripMessageRead | events.TripMessageHidden
TripPageEvent = _TripChange | events.TripRated | _Message | _Notification
TripListPageEvent = _TripChange | _Message | _Notification | events.CallAnnounced


def _panel(trip_id: int, viewer: User) -> str:
    try:
        panel = Panel(trip_for(viewer, trip_id), viewer)
    except NotFound:
        return ""
    return render_to_string(
        "trips/panel.html",
        {
            "panel": panel,
            "rating_form": RatingForm.of(panel.actions.my_rating, **panel.actions.rating_choices),
            "oob": True,
        },
    )


def snapshot(trip_id: int, viewer_id: int) -> str:
    """Everything on the trip page that can have changed while its socket was away."""
    return _panel(trip_id, User.objects.get(pk=viewer_id)) + badge(viewer_id)


def render(event: TripPageEvent, trip_id: int, viewer_id: int) -> str:
    """Draw what one event changes on the trip page; "": nothing, as it is about another trip of theirs."""
    match event:
        case events.NotificationDriver() | events.NotificationPassenger() | events.NotificationStaff():
            return notification(event, viewer_id)
        case events.NotificationRead():
            return badge(viewer_id)
        case events.TripMessageCreated() | events.TripMessageRead() | events.TripMessageHidden():
            return conversations.draw_changed(viewer_id, trip_id) if event.trip_id == trip_id else ""
        case (
            events.OfferAccepted()
            | events.TripStatusUpdated()
            | events.BookingConfirmed()
            | events.BookingCancelled()
            | events.TripRated()
        ):
            return _panel(trip_id, User.objects.get(pk=viewer_id)) if event.trip_id == trip_id else ""
        case _:
            assert_never(event)


def _list(user: User) -> str:
    return render_to_string("trips/list_regions.html", list_context(user, 1) | {"oob": True})


def list_snapshot(user_id: int) -> str:
    return _list(User.objects.get(pk=user_id)) + badge(user_id)


def list_render(event: TripListPageEvent, user_id: int) -> str:
    """Draw what one event changes on "my trips" and on every page without a socket of its own."""
    match event:
        case events.NotificationDriver() | events.NotificationPassenger() | events.NotificationStaff():
            return notification(event, user_id)
        case events.NotificationRead():
            return badge(user_id)
        case events.CallAnnounced():
            return incoming_calls.draw(event)
        case events.TripMessageCreated() | events.TripMessageRead() | events.TripMessageHidden():
            return conversations.draw_changed(user_id, event.trip_id)
        case (
            events.OfferAccepted() | events.TripStatusUpdated() | events.BookingConfirmed() | events.BookingCancelled()
        ):
            return _list(User.objects.get(pk=user_id))
        case _:
            assert_never(event)
