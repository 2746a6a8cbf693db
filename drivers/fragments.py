"""The dashboard as HTML fragments: whole for a socket that has just connected, in regions for events and answers.

Every region has a DOM id and replaces itself (`hx-swap-oob`); static/js/dashboard.js merges the lists by key, so
that a repeated fragment changes nothing on the screen. Called with the driver's language active.
"""

from collections.abc import Iterable

from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from realtime import events
from realtime.notify import unread_count
from stepper.errors import DomainError, Text

from .board import Board
from .forms import BreakForm, FiltersForm, HoursForm

# The regions that a trip's fate touches; the driver's filters are changed by the driver alone.
TRIP_REGIONS = ("stats", "notice", "duty", "availability", "offers", "offers_empty", "active", "history", "upcoming")
# Where a trip's passenger can be rated.
RATING_PLACES = ("active", "history")
STAR_VALUES = (1, 2, 3, 4, 5)

# The card is of no more use: it goes, and one line says why.
ENDING_CODES = frozenset(
    {
        *("offer.taken", "offer.withdrawn", "offer.expired", "offer.declined", "offer.not_found", "trip.cancelled"),
        *("driver.licence_expired", "driver.no_vehicle", "driver.too_few_seats", "driver.vehicle_class"),
    }
)


def regions(board: Board, names: Iterable[str] = TRIP_REGIONS) -> str:
    context = {"board": board, "oob": True, "star_values": STAR_VALUES}
    return "".join(render_to_string(f"drivers/{name}.html", context) for name in names)


def filters(board: Board, form: FiltersForm, *, saved: bool = False) -> str:
    context = {"board": board, "form": form, "saved": saved, "filters_open": True, "oob": True}
    return render_to_string("drivers/filters.html", context)


def hours(board: Board, form: HoursForm, *, break_form: BreakForm, saved: bool = False, is_open: bool = True) -> str:
    """The panel of breaks and weekly hours."""
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
    """Everything, for a page that has just connected or may have missed something."""
    board = Board.of(driver_id)
    stored = render_to_string(
        "drivers/filters.html", {"board": board, "form": FiltersForm.of(board.driver), "oob": True}
    )
    working = hours(board, HoursForm(board.driver), break_form=BreakForm(board.driver), is_open=False)
    return regions(board) + stored + working + _badge(board.driver.user_id)


def render(event: events.DurableFrame, driver_id: int) -> str:
    """What an event changes on the driver's dashboard; empty: nothing.

    An offer's card is drawn from the event itself; what concerns a trip is read again, because several events may
    have happened by now.
    """
    match event:
        case events.OfferCreated():
            return render_to_string("drivers/offer_added.html", {"card": event})
        case events.OfferExpired():
            return offer_gone(event.offer_id, _ENDED[event.reason]())
        case (
            events.OfferAccepted() | events.TripStatusUpdated() | events.BookingConfirmed() | events.BookingCancelled()
        ):
            return regions(Board.of(driver_id))
        case events.NotificationDriver() | events.NotificationPassenger():
            board = Board.of(driver_id)
            toast = render_to_string("realtime/toast.html", {"notification": event})
            return _badge(board.driver.user_id) + toast + regions(board)
        case _:
            return ""


_ENDED = {
    "timeout": lambda: _("Time ran out."),
    "accepted_by_another": lambda: _("Another driver was faster."),
    "cancelled": lambda: _("This trip is no longer offered."),
    "no_longer_eligible": lambda: _("You cannot take this trip any more."),
}


def offer_gone(offer_id: int, reason: Text) -> str:
    return render_to_string("drivers/offer_gone.html", {"offer_id": offer_id, "reason": reason})


def offer_refused(offer_id: int, error: DomainError) -> str:
    """The answer to an accept or decline that failed: the line that replaces the card, or the reason on it."""
    if error.code in ENDING_CODES:
        return offer_gone(offer_id, error.message)
    return render_to_string("drivers/offer_refused.html", {"offer_id": offer_id, "reason": error.message})


def offer_answered(offer_id: int) -> str:
    return render_to_string("drivers/offer_answered.html", {"offer_id": offer_id})


def trip_refused(trip_id: int, error: DomainError) -> str:
    minutes = error.fields.get("delay_minutes", [])
    context = {"trip_id": trip_id, "reason": error.message, "field_reason": minutes[0] if minutes else ""}
    return render_to_string("drivers/trip_error.html", context)


def rating_refused(trip_id: int, error: DomainError) -> str:
    context = {"trip_id": trip_id, "places": RATING_PLACES, "reason": error.message}
    return render_to_string("drivers/rate_error.html", context)


def toast(text: Text, *, kind: str = "error") -> str:
    return render_to_string("drivers/toast.html", {"text": text, "kind": kind})


def _badge(user_id: int) -> str:
    return render_to_string("realtime/badge.html", {"unread": unread_count(user_id), "oob": True})
