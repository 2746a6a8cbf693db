"""The page /driver/earnings/: its data, read region by region, and its regions as HTML fragments.

A page shows one period. Its socket draws the same one, so what is open at midnight stays the day that it was;
static/js/earnings.js opens the new one.
"""

import datetime as dt
from collections.abc import Iterable
from functools import cached_property
from typing import assert_never
from zoneinfo import ZoneInfo

from django.template.loader import render_to_string

from drivers import fragments
from drivers.board import Board
from drivers.models import Driver
from realtime import events
from realtime.delivery.fragments import badge, notification
from stepper.db.clock import database_now
from stepper.models import ServiceSettings
from trips.states import TripStatus

from . import chart, hours, listing, periods, ranking, sums
from .periods import CURRENT_LABELS, Kind, Period

REGIONS = ("summary", "chart", "table", "trips", "ranking")
# Numbers the kinds for the ids of sockets.
_KINDS = tuple(Kind)


class EarningsPage:
    """The earnings of one driver in one period; what needs a query is read at its first use."""

    def __init__(self, driver: Driver, period: Period, now: dt.datetime | None = None) -> None:
        self.driver = driver
        self.period = period
        self.now = now or database_now()

    @property
    def tabs(self) -> list[tuple[Kind, object, bool]]:
        """(kind, label, is shown) of the links to today, this week and this month."""
        return [(kind, CURRENT_LABELS[kind], kind is self.period.kind) for kind in Kind]

    @property
    def is_current(self) -> bool:
        return self.period.is_current(self.now)

    @property
    def current_label(self) -> object:
        return CURRENT_LABELS[self.period.kind] if self.is_current else ""

    @cached_property
    def board(self) -> Board:
        return Board(self.driver, self.now)

    @cached_property
    def settings(self) -> ServiceSettings:
        return ServiceSettings.current()

    @cached_property
    def chart(self) -> chart.Chart:
        return chart.draw(self.period, sums.by_span(self.driver.pk, self.period))

    @cached_property
    def total(self) -> sums.Sums:
        return sum((bar.sums for bar in self.chart.bars), start=sums.Sums())

    @cached_property
    def cash_collected(self) -> int:
        return sums.cash_collected(self.driver.pk, self.period)

    @cached_property
    def hours(self) -> hours.Hours | None:
        return hours.worked(self.driver, self.period, now=self.now, settings=self.settings)

    @property
    def hours_kept_days(self) -> int:
        return (self.now - hours.kept_since(self.settings, self.now)).days

    @property
    def per_hour(self) -> int | None:
        return sums.per_hour(self.total.earned, self.hours.online) if self.hours else None

    @cached_property
    def trips(self) -> listing.TripsPage:
        return listing.page(self.driver.pk, self.period)

    @cached_property
    def ranking(self) -> ranking.Figures:
        return ranking.read_figures(self.driver.pk, self.settings, self.now)


def regions(page: EarningsPage, names: Iterable[str] = REGIONS) -> str:
    """Draw these regions, each for an out-of-band swap."""
    context = {"earnings": page, "oob": True}
    return "".join(render_to_string(f"drivers/earnings/{name}.html", context) for name in names)


def period_ids(kind: str, period: str) -> tuple[int, int]:
    """Return a period of an address as the ids by which its sockets share drawings. Raises InvalidInput."""
    found = periods.parse_kind(kind)
    return _KINDS.index(found), periods.parse_date(found, period).toordinal()


def _read(driver_id: int, kind: int, first: int) -> EarningsPage:
    driver = Driver.objects.select_related("user", "vehicle").get(pk=driver_id)
    period = Period.containing(_KINDS[kind], dt.date.fromordinal(first), ZoneInfo(driver.timezone))
    return EarningsPage(driver, period)


def snapshot(driver_id: int, kind: int, first: int) -> str:
    """Draw everything, for a page that has just connected or may have missed events."""
    page = _read(driver_id, kind, first)
    return regions(page) + _availability(page.driver) + badge(page.driver.user_id)


EarningsPageEvent = (
    events.OfferCreated
    | events.TripStatusUpdated
    | events.DriverUpdated
    | events.NotificationDriver
    | events.NotificationPassenger
    | events.NotificationStaff
    | events.NotificationRead
)


def render(event: EarningsPageEvent, driver_id: int, kind: int, first: int) -> str:
    """Draw what an event changes on the page."""
    match event:
        case events.OfferCreated():
            return render_to_string("drivers/earnings/offer_toast.html", {"card": event})
        case events.TripStatusUpdated(new=TripStatus.COMPLETED):
            page = _read(driver_id, kind, first)
            return regions(page) + _availability(page.driver)
        case events.TripStatusUpdated():
            return _availability(_read(driver_id, kind, first).driver)
        case events.DriverUpdated():
            page = _read(driver_id, kind, first)
            names = REGIONS if "trips" in event.changed else ("summary", "ranking")
            return regions(page, names) + _availability(page.driver)
        case events.NotificationDriver() | events.NotificationPassenger() | events.NotificationStaff():
            return notification(event, fragments.user_of(driver_id))
        case events.NotificationRead():
            return badge(fragments.user_of(driver_id))
        case _:
            assert_never(event)


def _availability(driver: Driver) -> str:
    """Draw the switch, which the page's positions depend on as well (static/js/geolocation.js)."""
    return fragments.regions(Board(driver), ("availability",))
