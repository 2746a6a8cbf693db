"""Why trips were cancelled or found no driver, as codes that reports count by, and their words."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from trips.eligibility import REASONS
from trips.states import OPEN, CancelReason, Role, TripStatus

# Why no driver took a trip, beside the rules of trips.eligibility.
NOT_SEARCHED, NOBODY_ONLINE, NOBODY_ACCEPTED = "not_searched", "nobody_online", "nobody_accepted"
UNFILLED_WORDS: dict[str, Any] = {
    NOT_SEARCHED: _("was never searched for"),
    NOBODY_ONLINE: _("nobody online around the pickup"),
    NOBODY_ACCEPTED: _("drivers were asked, none accepted"),
    **REASONS,
}
# The driver at the pickup says that nobody came.
NO_SHOW, NO_DRIVER = "no_show", "no_driver"
CANCELLED_WORDS: dict[str, Any] = {
    NO_SHOW: _("Passenger did not come"),
    NO_DRIVER: _("No driver in time"),
    "": _("No reason chosen"),
    **dict(CancelReason.choices),
}


def cancelled_words(side: str, code: str) -> str:
    """Return why a trip was cancelled, as a report says it: staff choose no reason, they write one."""
    if side == Role.STAFF and not code:
        return str(_("In their own words"))
    return str(CANCELLED_WORDS.get(code, code))


def found_nobody(role: str, from_status: str, code: str) -> bool:
    """Return whether a trip that was cancelled so counts as unfilled: nobody took it until it was given up.

    Given up by the system, or by a passenger who says that they waited for too long.
    """
    if from_status not in OPEN:
        return False
    return role == Role.SYSTEM or (role == Role.ORGANISER and code == CancelReason.WAITED_TOO_LONG)


def cancel_code(role: str, from_status: str, code: str) -> str:
    """Return the code of a cancellation: what the passenger chose, or what follows from who cancelled it and when."""
    if role == Role.DRIVER and from_status == TripStatus.DRIVER_ARRIVED:
        return NO_SHOW
    if role == Role.SYSTEM and from_status in OPEN:
        return NO_DRIVER
    return code


def unfilled_code(waves: Iterable[tuple[int, int, int, Mapping[str, int]]]) -> str:
    """Return why no driver took a trip, by its last round: the rule that turned most drivers down, if nobody was asked.

    `waves`: (round, considered, offered, drivers turned down by code) of each.
    """
    rows = list(waves)
    if not rows:
        return NOT_SEARCHED
    last = max(row[0] for row in rows)
    of_last = [row for row in rows if row[0] == last]
    if any(offered for _round, _considered, offered, _reasons in of_last):
        return NOBODY_ACCEPTED
    turned_down: Counter[str] = Counter()
    for _round, _considered, _offered, reasons in of_last:
        turned_down.update(reasons)
    if not turned_down:
        return NOBODY_ONLINE
    order = list(REASONS)
    return min(
        turned_down,
        key=lambda code: (-turned_down[code], order.index(code) if code in REASONS else len(order), code),
    )
