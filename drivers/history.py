"""A driver's finished trips, page by page."""

import datetime as dt
from dataclasses import dataclass

from django.db.models import Prefetch, Q
from django.utils.translation import gettext as _

from stepper.errors import NotFound
from stepper.models import ServiceSettings
from trips import legs, messages
from trips.models import Rating, Trip, TripLeg
from trips.states import FINISHED, Role, TripStatus

from .models import Driver

HISTORY_PAGE = 10


@dataclass(frozen=True, slots=True)
class PastTrip:
    """A finished trip, with the stars that the driver gave; None: none yet.

    What the passenger gave is not here: a driver who knew it would know from whom. Drivers see averages.
    """

    trip: Trip
    # What of it the driver drove, and what they have of its money.
    part: legs.Part
    given: int | None
    # What the driver gave.
    rating: Rating | None = None
    may_change_rating: bool = False
    # Whether driver and passenger can write to each other, for what was left in the vehicle.
    may_write: bool = False
    unread: int = 0
    # What the passenger noted that they gave, in whole tenge; None: nothing.
    tip: int | None = None

    @property
    def completed(self) -> bool:
        return self.trip.status == TripStatus.COMPLETED

    @property
    def is_earned(self) -> bool:
        """Whether they have money of it: of a leg also where staff cancelled what was left of the trip."""
        return self.completed or self.part.leg is not None

    @property
    def may_rate(self) -> bool:
        return self.completed and self.given is None


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """One page of the driver's finished trips."""

    trips: list[PastTrip]
    # Where the next page begins; empty: this is the last.
    more: str


def read_history(driver: Driver, before: str, *, now: dt.datetime, settings: ServiceSettings) -> HistoryPage:
    """Read a page of finished trips, the latest departure first.

    `before`: the `more` of the page before, empty: the first page.

    Raises:
        NotFound: `before` is not the `more` of any page
    """
    mine = Rating.objects.filter(Q(by=driver.user_id) | Q(about=driver.user_id))
    former = TripLeg.objects.filter(driver_id=driver.pk, trip__status__in=FINISHED).order_by().values("trip")
    own = Trip.objects.filter(driver_id=driver.pk, status__in=FINISHED).order_by().values("pk")
    trips = (
        # With OR between them the database would read every trip.
        Trip.objects.filter(pk__in=own.union(former))
        .select_related("organiser", "driver__user")
        .prefetch_related(Prefetch("ratings", mine))
        .order_by("-departure_at", "-pk")
    )
    if before:
        departure_at, pk = _parse_before(before)
        trips = trips.filter(Q(departure_at__lt=departure_at) | Q(departure_at=departure_at, pk__lt=pk))
    rows = list(trips[: HISTORY_PAGE + 1])
    page = rows[:HISTORY_PAGE]
    more = f"{page[-1].departure_at.timestamp():.6f}-{page[-1].pk}" if len(rows) > HISTORY_PAGE else ""
    writing = [trip for trip in page if trip.driver_id == driver.pk and messages.is_open(trip, settings, now)]
    unread = messages.count_unread(driver.user, writing)
    former_legs = legs.legs_of(page)
    shown = [
        _past_trip(
            trip,
            legs.part_of(driver.pk, trip, former_legs.get(trip.pk, ())),
            now,
            may_write=trip in writing,
            unread=unread.get(trip.pk, 0),
        )
        for trip in page
    ]
    return HistoryPage(shown, more)


def _parse_before(before: str) -> tuple[dt.datetime, int]:
    stamp, _dash, pk = before.partition("-")
    try:
        return dt.datetime.fromtimestamp(float(stamp), dt.UTC), int(pk)
    except (ValueError, OverflowError, OSError) as error:
        raise NotFound("not_found", _("There is no such page.")) from error


def _past_trip(trip: Trip, part: legs.Part, now: dt.datetime, *, may_write: bool, unread: int) -> PastTrip:
    ratings = {rating.role: rating for rating in trip.ratings.all()}
    given, received = ratings.get(Role.DRIVER), ratings.get(Role.ORGANISER)
    return PastTrip(
        trip,
        part,
        given=given.stars if given else None,
        rating=given,
        may_change_rating=given is not None and given.may_change(now),
        may_write=may_write,
        unread=unread,
        tip=received.tip if received else None,
    )
