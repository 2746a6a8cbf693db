"""The histories of a trip in words, for staff: waves, how offers ended, doubts, changes.

They answer the field's commonest question, why a driver did or did not get a trip.
"""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from stepper.admin.base import format_instant
from stepper.templatetags.units import km
from trips.change_words import change_in_words
from trips.eligibility import in_words
from trips.models import DispatchRound, Offer, TripChange, TripTransition
from trips.states import DeclineReason, Doubt


def nobody_online(within_km: float) -> str:
    """Return what a search that considered no driver found, in words."""
    return _("nobody online within %(km)s") % {"km": km(within_km)}


def round_in_words(row: DispatchRound) -> str:
    """Return a wave as `17 considered: 9 offered, 3 too far for the driver, 2 position dark, 3 later`.

    Also as `nobody online within 50 km`, or as `3 considered, none asked: 3 position dark`.
    """
    if not row.considered:
        return nobody_online(row.looked_km)
    found = [_("%(count)d offered") % {"count": row.offered}] if row.offered else []
    if row.reasons:
        found.append(in_words(row.reasons))
    later = row.considered - row.offered - sum(row.reasons.values())
    if later > 0:
        found.append(_("%(count)d later, if nobody takes it") % {"count": later})
    words = _("%(count)d considered: %(found)s") if row.offered else _("%(count)d considered, none asked: %(found)s")
    return words % {"count": row.considered, "found": ", ".join(found)}


OFFER_ENDS = {
    "timeout": gettext_lazy("not answered in time"),
    "accepted_by_another": gettext_lazy("another driver was faster"),
    "assigned": gettext_lazy("staff assigned the trip to this driver"),
    "cancelled": gettext_lazy("the trip was cancelled"),
    "changed": gettext_lazy("the trip was changed"),
    "driver_busy": gettext_lazy("the driver took another trip"),
    "vehicle_busy": gettext_lazy("another driver of the vehicle took a trip"),
    "no_longer_eligible": gettext_lazy("the driver went offline, or filters, licence or vehicle do not fit any more"),
    **{reason.value: reason.label for reason in DeclineReason},
}


def end_in_words(offer: Offer) -> str:
    """Return why an offer ended: the words of its code, or the driver's own."""
    words = [str(OFFER_ENDS.get(offer.reason, offer.reason))] if offer.reason else []
    if offer.released_at:
        # After a change by staff a driver may give it back, which counts as little as taking it off them.
        by_staff = offer.taken_off and offer.reason != "changed"
        ended = _("taken off by staff %(at)s") if by_staff else _("given back %(at)s")
        words.append(ended % {"at": format_instant(offer.released_at)})
    return ", ".join(words) or "–"


def doubt_in_words(row: TripTransition) -> str:
    """Return a doubt as `Far away (3.4 km)` or `No position`; `–`: confirmed, or not judged."""
    if not row.doubt:
        return "–"
    label = str(Doubt(row.doubt).label)
    return f"{label} ({km(row.away_km)})" if row.away_km is not None else label


def change_for_staff(row: TripChange) -> str:
    """Return a change in words, and those that were changed. Reads the trip's row."""
    words = [f"{before or '–'} → {after or '–'}" for before, after in row.words.values()]
    return "; ".join(filter(None, [change_in_words(row, row.trip.timezone), *words, row.reason]))
