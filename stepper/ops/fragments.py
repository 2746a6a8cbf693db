"""HTML fragments of the operations room's pages of one trip and of one driver, swapped out of band into open pages.

Called inside a database thread with the viewer's language active. Each re-reads the truth and what the viewer may see
of it; who may open the socket: realtime.sockets.ops_pages.
"""

from typing import assert_never

from django.template.loader import render_to_string

from realtime import events
from realtime.delivery.fragments import badge, notification
from stepper.errors import DomainError
from stepper.models import User
from stepper.ops.driver_panel import DriverPanel
from stepper.ops.trip_panel import TripPanel
from trips import incoming_calls

_Notification = (
    events.NotificationDriver
    | events.NotificationPassenger
    | events.NotificationStaff
    | events.NotificationRead
    | events.CallAnnounced
)
_TripChange = (
    events.OfferAccepted
    | events.OfferExpired
    | events.TripStatusUpdated
    | events.BookingCancelled
    | events.TripRated
    | events.TripMessageCreated
    | events.TripMessageRead
    | events.TripMessageHidden
)
OpsTripPageEvent = _TripChange | events.BookingConfirmed | _Notification
OpsDriverPageEvent = _TripChange | events.OfferCreated | events.DriverUpdated | _Notification


def draw_trip(trip_id: int, viewer: User) -> str:
    """Draw all of a trip's page that changes; "": they may not see it any more."""
    try:
        panel = TripPanel.of(trip_id, viewer)
    except DomainError:
        return ""
    return render_to_string("ops/trip_live.html", {"panel": panel, "oob": True})


def draw_driver(driver_id: int, viewer: User) -> str:
    """Draw all of a driver's page that changes; "": they may not see it any more."""
    try:
        panel = DriverPanel.of(driver_id, viewer)
    except DomainError:
        return ""
    return render_to_string("ops/driver_live.html", {"panel": panel, "oob": True})


def trip_snapshot(trip_id: int, viewer_id: int) -> str:
    return draw_trip(trip_id, User.objects.get(pk=viewer_id)) + badge(viewer_id)


def driver_snapshot(driver_id: int, viewer_id: int) -> str:
    return draw_driver(driver_id, User.objects.get(pk=viewer_id)) + badge(viewer_id)


def render_trip(event: OpsTripPageEvent, trip_id: int, viewer_id: int) -> str:
    """Draw what one event changes on a trip's page; "": nothing, as it is about another trip."""
    match event:
        case events.NotificationStaff():
            # Perhaps a call for help from this trip.
            return notification(event, viewer_id) + draw_trip(trip_id, User.objects.get(pk=viewer_id))
        case events.NotificationDriver() | events.NotificationPassenger():
            return notification(event, viewer_id)
        case events.NotificationRead():
            return badge(viewer_id)
        case events.CallAnnounced():
            return incoming_calls.draw(event)
        case (
            events.OfferAccepted()
            | events.OfferExpired()
            | events.TripStatusUpdated()
            | events.BookingConfirmed()
            | events.BookingCancelled()
            | events.TripRated()
            | events.TripMessageCreated()
            | events.TripMessageRead()
            | events.TripMessageHidden()
        ):
            return draw_trip(trip_id, User.objects.get(pk=viewer_id)) if event.trip_id == trip_id else ""
        case _:
            assert_never(event)


def render_driver(event: OpsDriverPageEvent, driver_id: int, viewer_id: int) -> str:
    """Draw what one event changes on a driver's page."""
    match event:
        case events.NotificationDriver() | events.NotificationPassenger() | events.NotificationStaff():
            return notification(event, viewer_id)
        case events.NotificationRead():
            return badge(viewer_id)
        case events.CallAnnounced():
            return incoming_calls.draw(event)
        case (
            events.OfferCreated()
            | events.OfferAccepted()
            | events.OfferExpired()
            | events.TripStatusUpdated()
            | events.BookingCancelled()
            | events.TripRated()
            | events.TripMessageCreated()
            | events.TripMessageRead()
            | events.TripMessageHidden()
            | events.DriverUpdated()
        ):
            return draw_driver(driver_id, User.objects.get(pk=viewer_id))
        case _:
            assert_never(event)
