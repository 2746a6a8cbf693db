"""Why a driver did or did not get a trip: what each look for drivers found, and what speaks against it now.

Read from what dispatch has stored (DispatchRound, Offer, AvailabilityChange); what was not stored is judged by the same
rules as dispatch uses, at this moment.
"""

from collections.abc import Iterable, Sequence

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from msgspec import Struct

from drivers.geo import distance_km
from drivers.models import Availability, AvailabilityChange, Driver, DriverPosition
from drivers.search import Fix
from trips.driver_facts import facts
from trips.eligibility import OFFERED, OUTCOMES, REASONS, refusals

from .models import DispatchRound, Offer, Trip
from .policy import Policies
from .states import OPEN, OfferStatus

NOT_REACHED = "not_reached"
# Every code that an answer can have -> words.
CODES = {
    **OUTCOMES,
    **REASONS,
    NOT_REACHED: gettext_lazy("not reached: enough drivers were found nearer"),
}


class Verdict(Struct, frozen=True):
    """What one look made of one driver. `km` and `score` (km, too) where the driver was found; `offer` where asked."""

    look: DispatchRound
    driver_id: int
    code: str
    km: float | None = None
    score: float | None = None
    offer: Offer | None = None


class Answer(Struct, frozen=True):
    """All that is known of one driver and one trip, the oldest look first; `now`: reasons against it at this moment.

    `now` is None where the trip does not look for a driver any more, empty where nothing speaks against it.
    """

    verdicts: list[Verdict]
    now: list[str] | None
    km: float | None


def looks(trip: Trip, most: int) -> list[tuple[DispatchRound, list[Verdict]]]:
    """The latest looks, the newest first, each with everybody it considered, the nearest first. Two queries."""
    asked = _asked(trip.offers.all())
    return [(row, _verdicts(row, asked)) for row in trip.rounds.order_by("-created_at", "-pk")[:most]]


def why(trip: Trip, driver: Driver) -> Answer:
    asked = _asked(trip.offers.filter(driver=driver))
    changes = list(AvailabilityChange.objects.filter(driver=driver).order_by("-pk")[:500])
    found = []
    for row in trip.rounds.order_by("created_at", "pk"):
        mine = next((one for one in _verdicts(row, asked) if one.driver_id == driver.pk), None)
        found.append(mine or Verdict(row, driver.pk, _absent(row, changes)))
    position = DriverPosition.objects.filter(driver=driver).first()
    km_now = distance_km(position.lat, position.lng, trip.pickup_lat, trip.pickup_lng) if position else None
    return Answer(found, _now(trip, driver, position=position, km=km_now) if trip.status in OPEN else None, km_now)


# A trip's offers by round, wave and driver.
_Asked = dict[tuple[int, int, int], Offer]


def _asked(offers: Iterable[Offer]) -> _Asked:
    return {(offer.round_number, offer.wave, offer.driver_id): offer for offer in offers}


def _verdicts(row: DispatchRound, asked: _Asked) -> list[Verdict]:
    return [
        Verdict(
            row, driver_id, code, km, score, asked.get((row.number, row.wave, driver_id)) if code == OFFERED else None
        )
        for driver_id, km, code, score in row.verdicts
    ]


def _absent(row: DispatchRound, changes: Sequence[AvailabilityChange]) -> str:
    """Why a look did not find a driver. `changes`: of the driver, the newest first."""
    before = next((one.availability for one in changes if one.created_at <= row.created_at), None)
    if before is None:
        # The history begins later: what the driver was before the first change that is known.
        before = changes[-1].previous if changes else Availability.OFFLINE
    if before == Availability.AVAILABLE:
        return NOT_REACHED if row.more else "outside_radius"
    return "busy" if before == Availability.BUSY else "offline"


def _now(trip: Trip, driver: Driver, *, position: DriverPosition | None, km: float | None) -> list[str]:
    policies = Policies.current()
    judged = facts(trip, trip.asking_round, driver_ids=[driver.pk], settings=policies.settings)[driver.pk]
    fix = (
        Fix(driver.pk, position.lat, position.lng, position.accuracy_m, position.recorded_at, position.jumped)
        if position is not None
        else None
    )
    return refusals(trip, judged, fix=fix, distance_km=km or 0.0, policy=policies.of(trip), settings=policies.settings)


def outcome(verdict: Verdict) -> str:
    """In words: why not, or what became of the offer."""
    offer = verdict.offer
    if offer is None:
        return str(CODES.get(verdict.code, verdict.code))
    words = str(OfferStatus(offer.status).label)
    return _("offered: %(outcome)s") % {"outcome": words[:1].lower() + words[1:]}


def parts_in_words(parts: dict[str, float]) -> str:
    """ "distance 2.10, rating +0.60, waiting -1.00" (km)."""
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
    )
