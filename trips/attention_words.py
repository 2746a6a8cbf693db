"""What lists of trips can be filtered by that staff should see to, and what is said of a trip.

Somebody on it calls for help, nobody takes it, the driver has not set off, does not come nearer to the pickup
(trips.watch), takes steps that their position does not confirm (trips.arrival), or asked the passenger to cancel. The
conditions are those of trips.attention.
"""

from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from stepper.admin.base import Label
from stepper.templatetags.units import clock
from trips.attention import CALL_FOR_HELP, FAR_STEP, LATE, STALLED, UNCONFIRMED, UNFILLED
from trips.models import Trip
from trips.states import FINISHED, OPEN, CancelReason, Stall, TripStatus

# Says of whom it is; the trip itself is over, so it is not among what needs attention now.
_DRIVER_ASKED = Q(status=TripStatus.CANCELLED, cancel_code=CancelReason.DRIVER_ASKED)


_FAR = Q(FAR_STEP) & ~Q(status__in=sorted(FINISHED))


# What a trip that is not over may need.
NEEDS_ATTENTION = LATE | STALLED | UNFILLED | UNCONFIRMED | _FAR


_CONDITIONS: dict[str, Any] = {
    "any": CALL_FOR_HELP | NEEDS_ATTENTION,
    "help": CALL_FOR_HELP,
    "unfilled": UNFILLED,
    "late": LATE,
    **{stall: STALLED & Q(watch__stall=stall) for stall in Stall.values},
    "unconfirmed": UNCONFIRMED,
    "far": FAR_STEP,
    "driver_asked": _DRIVER_ASKED,
}


def attention_choices() -> list[tuple[str, Any]]:
    """Return what lists of trips can be filtered by, with its words."""
    return [
        ("any", _("Needs attention")),
        ("help", _("Somebody calls for help")),
        ("unfilled", _("Nobody takes it")),
        ("late", _("Has not set off")),
        *Stall.choices,
        ("unconfirmed", _("Arrival not confirmed")),
        ("far", _("A step far away, also of past trips")),
        ("driver_asked", _("Cancelled as the driver asked")),
    ]


def attention_condition(wanted: str) -> Any:
    """Return the condition on trips of a choice; None: there is no such choice."""
    return _CONDITIONS.get(wanted)


def attention(trip: Trip) -> Label | None:
    """Return what staff should see to, as `Standing still since 14:02`; None: nothing is wrong."""
    if getattr(trip, "has_call_for_help", False):
        return Label("danger", _("Somebody calls for help"))
    if trip.status in OPEN and trip.escalated_at:
        return Label(
            "danger", _("Nobody takes it, told at %(time)s") % {"time": clock(trip.escalated_at, trip.timezone)}
        )
    watch = getattr(trip, "watch", None)
    if trip.status == TripStatus.ACCEPTED and watch is not None and watch.late_at:
        at = clock(watch.late_at, trip.timezone)
        return Label("danger", _("Has not set off, flagged at %(time)s") % {"time": at})
    if trip.stalled and trip.stalled.stalled_at:
        what = {"what": Stall(trip.stalled.stall).label, "time": clock(trip.stalled.stalled_at, trip.timezone)}
        return Label("warning", _("%(what)s since %(time)s") % what)
    if trip.awaits_confirmation:
        return Label("warning", _("Arrival not confirmed"))
    if trip.cancel_code == CancelReason.DRIVER_ASKED:
        return Label("warning", _("Cancelled as the driver asked"))
    if getattr(trip, "has_far_step", False):
        return Label("warning", _("A step far away"))
    return None
