"""The list of trips of the operations room: filters, search, pages; as quick with a million trips as with ten."""

import datetime as dt
from collections.abc import Mapping
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils.dateparse import parse_date
from django.utils.translation import gettext_lazy as _

from stepper.admin import searching
from stepper.dates import midnight_of
from stepper.db.keyset import ListPage, page_by_instant
from stepper.errors import Text
from stepper.ops.trip_panel import trips_for_panel
from trips.attention_words import NEEDS_ATTENTION, attention, attention_condition
from trips.models import SafetyAlert, Trip
from trips.states import ASSIGNED, FINISHED, OPEN, TripStatus

COLUMNS = ["=id", *searching.person("organiser"), *searching.person("driver__user"), "driver__vehicle__plate"]
ALERTS_READ = 500


class Shown(NamedTuple):
    """A choice of statuses. None: all that are not over. `latest_first`: else the next departure is first."""

    label: Text
    statuses: frozenset[TripStatus] | None
    latest_first: bool = False


# By the name in the address.
SHOWN: dict[str, Shown] = {
    "": Shown(_("Not over"), None),
    "open": Shown(_("Looking for a driver"), OPEN),
    "assigned": Shown(_("With a driver"), ASSIGNED),
    "completed": Shown(_("Completed"), frozenset({TripStatus.COMPLETED}), latest_first=True),
    "cancelled": Shown(_("Cancelled"), frozenset({TripStatus.CANCELLED}), latest_first=True),
    "all": Shown(_("All"), frozenset(TripStatus), latest_first=True),
}


class TripFilter(NamedTuple):
    """What of the trips is wanted. `since`, `until`: days of the departure, by the service's time zone."""

    show: str = ""
    attention: str = ""
    since: dt.date | None = None
    until: dt.date | None = None
    text: str = ""

    @classmethod
    def of(cls, given: Mapping[str, str]) -> "TripFilter":
        """Read an address; what is no choice is none."""
        show, wanted = given.get("show", ""), given.get("attention", "")
        return cls(
            show=show if show in SHOWN else "",
            attention=wanted if attention_condition(wanted) is not None else "",
            since=_date(given.get("since", "")),
            until=_date(given.get("until", "")),
            text=given.get("q", "").strip()[:100],
        )

    @property
    def is_narrowed(self) -> bool:
        return self != TripFilter()


def _date(text: str) -> dt.date | None:
    try:
        return parse_date(text)
    except ValueError:
        return None


def find_trips(wanted: TripFilter, after: str = "") -> ListPage:
    """Return a page of the trips that are wanted; `after`: the cursor of the page before."""
    rows = trips_for_panel()
    shown = SHOWN[wanted.show]
    latest_first = shown.latest_first
    if wanted.attention:
        # Whatever is chosen beside it: some of what needs a person is over.
        rows = _needing(rows, wanted.attention)
        latest_first = True
    elif wanted.text and not wanted.show:
        latest_first = True  # who searches somebody wants their past trips as well
    elif shown.statuses is None:
        rows = rows.exclude(status__in=sorted(FINISHED))
    elif wanted.show != "all":
        rows = rows.filter(status__in=sorted(shown.statuses))
        if shown.statuses.isdisjoint(FINISHED):
            # As the index trip_unfinished says it.
            rows = rows.exclude(status__in=sorted(FINISHED))
    if wanted.since is not None:
        rows = rows.filter(departure_at__gte=_begin(wanted.since))
    if wanted.until is not None:
        rows = rows.filter(departure_at__lt=_begin(wanted.until) + dt.timedelta(days=1))
    rows, is_cut = searching.search(rows, COLUMNS, wanted.text)
    found = page_by_instant(rows, "departure_at", after, latest_first=latest_first)._replace(is_cut=is_cut)
    for trip in found.rows:
        label = attention(trip)
        trip.attention = label.text if label is not None else ""
    return found


def _begin(day: dt.date) -> dt.datetime:
    return midnight_of(day, ZoneInfo(settings.TIME_ZONE))


def _needing(rows: QuerySet[Trip], wanted: str) -> QuerySet[Trip]:
    """Keep the trips that need a person in this way; of those that are over only the ones that others name are read."""
    if wanted not in ("any", "help"):
        return rows.filter(attention_condition(wanted))
    # The calls are few; together with the other conditions the database would look for them in every trip.
    calls = SafetyAlert.objects.filter(handled_at__isnull=True).order_by("-pk")
    calling = Q(pk__in=list(calls.values_list("trip_id", flat=True)[:ALERTS_READ]))
    if wanted == "help":
        return rows.filter(calling)
    return rows.filter(calling | (~Q(status__in=sorted(FINISHED)) & NEEDS_ATTENTION))
