"""The driver's dashboard as HTML fragments: all of it for a new socket, single regions for events and responses.

Every region has a DOM id and replaces itself (`hx-swap-oob`); static/js/dashboard.js merges the lists by key, so
that a repeated fragment changes nothing on the screen. Called with the driver's language active.
"""

from collections.abc import Callable, Collection, Iterable
from typing import assert_never

from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from realtime import events
from realtime.delivery.fragments import badge, notification
from stepper.errors import DomainError, Text
from trips import conversations

from .board import Board
from .forms import BreakForm, FiltersForm, HoursForm
from .models import Driver

# The regions that a change of a trip can change; only the driver changes the filters.
TRIP_REGIONS = (
    "stats",
    "notice",
    "working_time",
    "availability",
    "offers",
    "offers_empty",
    "active",
    "history",
    "upcoming",
)
# Where a trip's passenger can be rated.
RATING_PLACES = ("active", "history")
STAR_VALUES = (1, 2, 3, 4, 5)

# With these error codes the offer's card is replaced by a line with the reason.
ENDING_CODES = frozenset(
    {
        *("offer.taken", "offer.withdrawn", "offer.expired", "offer.declined", "offer.not_found", "trip.cancelled"),
        *("driver.licence_expired", "driver.documents_expired", "driver.no_vehicle"),
        *("driver.too_few_seats", "driver.vehicle_class"),
    }
)


def regions(board: Board, names: Iterable[str] = TRIP_REGIONS) -> str:
    """Draw these regions, each for an out-of-band swap."""
    context = {"board": board, "oob": True, "star_values": STAR_VALUES}
    return "".join(render_to_string(f"drivers/{name}.html", context) for name in names)


def filters(board: Board, form: FiltersForm, *, saved: bool = False, is_open: bool = True) -> str:
    """Draw the panel of the filters."""
    context = {"board": board, "form": form, "saved": saved, "filters_open": is_open, "oob": True}
    return render_to_string("drivers/filters.html", context)


def hours(board: Board, form: HoursForm, *, break_form: BreakForm, saved: bool = False, is_open: bool = True) -> str:
    """Draw the panel of breaks and weekly hours."""
    context = {
        "board": board,
        "hours_form": form,
        "break_form": break_form,
        "saved": saved,
        "hours_open": is_open,
        "oob": True,
    }
    return render_to_string("drivers/hours.html", context)


def snapshot(driver_id: int) -> str:
    """Draw everything, for a page that has just connected or may have missed events."""
    board = Board.of(driver_id)
    messages = conversations.draw_badges(board.driver.user, [row.trip for row in board.active])
    panels = _filters_as_stored(board) + _hours_as_stored(board)
    return regions(board) + messages + panels + badge(board.driver.user_id)


DriverPageEvent = (
    events.OfferCreated
    | events.OfferExpired
    | events.OfferAccepted
    | events.TripStatusUpdated
    | events.BookingCancelled
    | events.TripRated
    | events.DriverUpdated
    | events.TripMessageCreated
    | events.TripMessageRead
    | events.TripMessageHidden
    | events.NotificationDriver
    | events.NotificationPassenger
    | events.NotificationStaff
    | events.NotificationRead
)


def render(event: DriverPageEvent, driver_id: int) -> str:
    """Draw what an event changes on the driver's dashboard.

    An offer's card is drawn from the event itself. Trips and the driver are read from the database, because later
    events may have changed them by now.
    """
    match event:
        case events.OfferCreated():
            return render_to_string("drivers/offer_added.html", {"card": event})
        case events.OfferExpired(reason="declined"):
            return offer_answered(event.offer_id)
        case events.OfferExpired():
            return offer_gone(event.offer_id, _END_REASONS[event.reason]())
        case events.OfferAccepted() | events.TripStatusUpdated() | events.BookingCancelled():
            return regions(Board.of(driver_id))
        case events.TripRated():
            return regions(Board.of(driver_id), RATING_PLACES)
        case events.DriverUpdated():
            return _draw_parts(Board.of(driver_id), event.changed)
        case events.TripMessageCreated() | events.TripMessageRead() | events.TripMessageHidden():
            return conversations.draw_changed(user_of(driver_id), event.trip_id)
        case events.NotificationDriver():
            board = Board.of(driver_id)
            # What depends on the time of day: when to set off, whether the licence is still good.
            return notification(event, board.driver.user_id) + regions(board, ("notice", "upcoming"))
        case events.NotificationPassenger() | events.NotificationStaff():
            return notification(event, user_of(driver_id))
        case events.NotificationRead():
            return badge(user_of(driver_id))
        case _:
            assert_never(event)


def user_of(driver_id: int) -> int:
    """Return the user's id of a driver."""
    return Driver.objects.values_list("user_id", flat=True).get(pk=driver_id)


# The changed part of a driver -> the regions that show it; the panels of filters and hours are drawn after these.
_ONLINE_REGIONS = ("notice", "working_time", "availability", "offers", "offers_empty")
_REGIONS_OF: dict[events.DriverPart, tuple[str, ...]] = {
    "availability": _ONLINE_REGIONS,
    "approval": _ONLINE_REGIONS,
    "breaks": ("working_time", "availability"),
    "hours": ("working_time",),
    "filters": (),
    "rating": ("stats",),
    "navigation": ("active",),
    # One that they had handed over has ended.
    "trips": ("stats", "active", "history"),
}


def _draw_parts(board: Board, changed: Collection[events.DriverPart]) -> str:
    """Draw what shows these parts of the driver's state."""
    wanted = {name for part in changed for name in _REGIONS_OF[part]}
    html = regions(board, [name for name in TRIP_REGIONS if name in wanted])
    if "filters" in changed:
        html += _filters_as_stored(board)
    if {"availability", "breaks", "hours"} & set(changed):
        html += _hours_as_stored(board)
    return html


def _filters_as_stored(board: Board) -> str:
    return filters(board, FiltersForm.of(board.driver), is_open=False)


def _hours_as_stored(board: Board) -> str:
    return hours(board, HoursForm(board.driver), break_form=BreakForm(board.driver), is_open=False)


_END_REASONS: dict[str, Callable[[], str]] = {
    "timeout": lambda: _("Time ran out."),
    "accepted_by_another": lambda: _("Another driver was faster."),
    "cancelled": lambda: _("This trip is no longer offered."),
    "changed": lambda: _("The passenger changed this trip. It may be offered to you again."),
    "no_longer_eligible": lambda: _("This trip is not offered to you any more."),
}


def offer_gone(offer_id: int, reason: Text) -> str:
    """Replace an offer's card by a line with the reason why it ended."""
    return render_to_string("drivers/offer_gone.html", {"offer_id": offer_id, "reason": reason})


def offer_refused(offer_id: int, error: DomainError) -> str:
    """Draw the response to a refused accept or decline: the line that replaces the card, or the reason on the card."""
    if error.code in ENDING_CODES:
        return offer_gone(offer_id, error.as_text)
    return render_to_string("drivers/offer_refused.html", {"offer_id": offer_id, "reason": error.as_text})


def offer_answered(offer_id: int) -> str:
    """Remove the card of an offer that the driver has declined."""
    return render_to_string("drivers/offer_answered.html", {"offer_id": offer_id})


def trip_refused(trip_id: int, error: DomainError) -> str:
    """Show on a trip's card why a step was refused; an error of the delay's minutes is shown beside them."""
    minutes = error.fields.get("delay_minutes", [])
    reason = error.message if error.fields else error.as_text
    context = {"trip_id": trip_id, "reason": reason, "field_reason": minutes[0] if minutes else ""}
    return render_to_string("drivers/trip_error.html", context)


def rating_refused(trip_id: int, error: DomainError) -> str:
    """Show why a rating was refused, wherever the trip can be rated."""
    context = {"trip_id": trip_id, "places": RATING_PLACES, "reason": error.message}
    return render_to_string("drivers/rate_error.html", context)


def toast(text: Text, *, kind: str = "error") -> str:
    """Draw a short message over the page."""
    return render_to_string("drivers/toast.html", {"text": text, "kind": kind})
