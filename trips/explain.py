"""Why a driver did or did not get a trip: the verdicts of each wave, and the rules that refuse the driver now.

Read from what dispatch has stored (DispatchRound, Offer, AvailabilityChange); what was not stored is judged by the same
rules as dispatch uses, at this moment.
"""

from collections.abc import Iterable, Sequence

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from msgspec import Struct

from drivers.models import Availability, AvailabilityChange, Driver
from trips.candidates import judge_driver
from trips.eligibility import OFFERED, OUTCOMES, REASONS

from .models import DispatchRound, Offer, StaffAssignment, Trip
from .states import OPEN, OfferStatus

NOT_REACHED = "not_reached"
# Every code that an answer can have -> words.
CODES = {
    **OUTCOMES,
    **REASONS,
    NOT_REACHED: gettext_lazy("not reached: enough drivers were found nearer"),
}


class Verdict(Struct, frozen=True):
    """What one wave decided about one driver. `km` and `score` (in km): where they were found; `offer`: where asked."""

    round: DispatchRound
    driver_id: int
    code: str
    km: float | None = None
    score: float | None = None
    offer: Offer | None = None


class Answer(Struct, frozen=True):
    """All that is known of one driver and one trip, the oldest wave first; `now`: the rules that refuse them now.

    `now` is None where the trip does not look for a driver any more, empty where no rule refuses.
    """

    verdicts: list[Verdict]
    now: list[str] | None
    km: float | None
    # What staff did about this driver and the trip, the earliest first.
    assignments: list[StaffAssignment]


def latest_rounds(trip: Trip, most: int) -> list[tuple[DispatchRound, list[Verdict]]]:
    """Return the latest waves, the newest first, with the verdicts of each, the nearest driver first. Two queries."""
    offers = _offers_by_wave(trip.offers.order_by("-pk"))
    return [(row, _verdicts(row, offers)) for row in trip.rounds.order_by("-created_at", "-pk")[:most]]


def verdicts_of(trip: Trip, rows: Sequence[DispatchRound]) -> list[list[Verdict]]:
    """Return the verdicts of waves of a trip, which are in the order of time, the nearest driver first. One query."""
    numbers = {row.number for row in rows}
    offers = _offers_by_wave(trip.offers.filter(round_number__in=numbers).order_by("pk"))
    return [_verdicts(row, offers) for row in rows]


def explain_driver(trip: Trip, driver: Driver) -> Answer:
    """Return what each wave decided about the driver, and what the rules say now."""
    offers = _offers_by_wave(trip.offers.filter(driver=driver).order_by("pk"))
    changes = list(AvailabilityChange.objects.filter(driver=driver).order_by("-pk")[:500])
    verdicts = []
    for row in trip.rounds.order_by("created_at", "pk"):
        verdict = next((one for one in _verdicts(row, offers) if one.driver_id == driver.pk), None)
        verdicts.append(verdict or Verdict(row, driver.pk, _absence_code(row, driver, changes)))
    judged = judge_driver(trip, driver)
    refused_now = judged.codes if trip.status in OPEN else None
    return Answer(verdicts, refused_now, judged.km, list(staff_assignments(trip).filter(driver=driver)))


def staff_assignments(trip: Trip) -> QuerySet[StaffAssignment]:
    """Return what staff did about who drives the trip, with whom, the earliest first."""
    return trip.staff_assignments.select_related("driver__user", "assigned_by", "ended_by")


def given_in_words(row: StaffAssignment) -> str:
    """Say why staff gave the trip to a driver, and what spoke against it; "–" where neither was noted."""
    against = ", ".join(str(CODES.get(code, code)) for code in row.warnings)
    words = [row.reason, _("against it: %(rules)s") % {"rules": against} if against else ""]
    return "; ".join(filter(None, words)) or "–"


# A trip's offers by round, wave and driver; a driver who was asked again has two.
_Offers = dict[tuple[int, int, int], list[Offer]]


def _offers_by_wave(offers: Iterable[Offer]) -> _Offers:
    """Group offers, which are in the order in which the rows of their waves will be read."""
    found: _Offers = {}
    for offer in offers:
        found.setdefault((offer.round_number, offer.wave, offer.driver_id), []).append(offer)
    return found


def _verdicts(row: DispatchRound, offers: _Offers) -> list[Verdict]:
    """Return what a row says of each driver, with the next of their offers where it asked them."""

    def take_offer(driver_id: int, code: str) -> Offer | None:
        waiting = offers.get((row.number, row.wave, driver_id)) if code == OFFERED else None
        return waiting.pop(0) if waiting else None

    return [
        Verdict(row, driver_id, code, km, score, take_offer(driver_id, code))
        for driver_id, km, code, score in row.verdicts
    ]


def _absence_code(row: DispatchRound, driver: Driver, changes: Sequence[AvailabilityChange]) -> str:
    """Return why a wave did not find a driver, as a code. `changes`: of the driver, the newest first."""
    before = next((one.availability for one in changes if one.created_at <= row.created_at), None)
    if before is None:
        # The history begins later: what the driver was before the first change that is known, or has been all along.
        before = changes[-1].previous if changes else driver.availability
    if before == Availability.AVAILABLE:
        return NOT_REACHED if row.more else "outside_radius"
    return "busy" if before == Availability.BUSY else "offline"


def outcome(verdict: Verdict) -> str:
    """Return a verdict in words: why not, or what became of the offer."""
    offer = verdict.offer
    if offer is None:
        return str(CODES.get(verdict.code, verdict.code))
    words = str(OfferStatus(offer.status).label)
    return _("offered: %(outcome)s") % {"outcome": words[:1].lower() + words[1:]}


def parts_in_words(parts: dict[str, float]) -> str:
    """Return the parts of a score, in km, as staff read them: "distance 2.10, rating +0.60, waiting -1.00".

    Without those that change nothing.
    """
    names = {
        "distance": _("distance"),
        "rating": _("rating"),
        "acceptance": _("acceptance"),
        "waiting": _("waiting"),
        "cancellations": _("given back"),
    }
    return ", ".join(
        f"{names.get(name, name)} {km:.2f}" if name == "distance" else f"{names.get(name, name)} {km:+.2f}"
        for name, km in parts.items()
        if name == "distance" or round(km, 2)
    )
