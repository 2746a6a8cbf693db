"""The queue of the operations room: trips, calls for help and drivers that need a person, the most urgent first."""

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from django.db.models import Case, Min, OuterRef, Q, QuerySet, Subquery, When
from django.utils import timezone
from django.utils.translation import gettext as _

from drivers.models import Approval, DocumentStatus, Driver, DriverDocument
from stepper.dates import short_date
from stepper.db.clock import database_now
from stepper.models import ServiceSettings
from trips.attention import URGENCY, Matter, live_trips, matter_of, needs_person, without_driver
from trips.models import Claim, SafetyAlert, Trip, TripTransition
from trips.states import Stall, TripStatus

Subject = Claim.Subject
# So long before and after the last day of a licence or a document its driver is in the queue.
EXPIRING = dt.timedelta(days=7)
# Rows of one kind that are read; a room that has more than these needs more people, not a longer list.
MOST = 200

Key = tuple[str, int]


class Item(NamedTuple):
    """Something that needs a person. `held` None: nobody has claimed it."""

    matter: Matter
    since: dt.datetime
    subject: str
    row_id: int
    # The trip, call or driver.
    row: Any
    held: Claim | None = None

    @property
    def key(self) -> Key:
        return self.subject, self.row_id

    @property
    def slug(self) -> str:
        """Return what the page calls it: `trip-41`."""
        return f"{self.subject}-{self.row_id}"

    @property
    def trip(self) -> Trip | None:
        if self.subject == Subject.HELP:
            return self.row.trip
        return self.row if self.subject == Subject.TRIP else None

    @property
    def urgency(self) -> str:
        """Return the urgency in whose colours it stands."""
        if self.matter <= Matter.UNFILLED:
            return "urgent"
        return "high" if self.matter <= Matter.UNCONFIRMED else "normal"

    @property
    def zone(self) -> str:
        """Return the time zone in which its times are read."""
        return str(self.trip.timezone if self.trip else self.row.timezone)

    @property
    def has_since(self) -> bool:
        """Say whether the time since when it is open says anything: of a licence that ends its words have the day."""
        return self.matter != Matter.EXPIRING

    @property
    def words(self) -> str:
        """Return what is the matter, in the active language."""
        if self.matter == Matter.STALLED:
            return str(Stall(self.row.watch.stall).label)
        if self.matter == Matter.EXPIRING:
            last = self.row.last_day
            date = short_date(last, year=True)
            ended = last < timezone.localdate()
            return (_("Licence or document expired %(date)s") if ended else _("Licence or document ends %(date)s")) % {
                "date": date
            }
        return str(self.matter.label)

    @property
    def title(self) -> str:
        """Return the trip's places, or the driver's name."""
        return self.trip.title if self.trip else str(self.row.user.name)

    @property
    def person(self) -> str:
        """Return who calls for help, else the trip's driver; empty: nobody to be named."""
        if self.subject == Subject.HELP:
            return str(self.row.raised_by.name)
        return str(self.row.driver.user.name) if self.trip and self.row.driver else ""

    @property
    def path(self) -> str:
        """Return the address of the panel where it is worked on."""
        return f"/ops/trips/{self.trip.pk}/" if self.trip else f"/ops/drivers/{self.row_id}/"


_URGENCY_OF_DRIVER = Case(
    When(approval=Approval.PENDING, then=Matter.APPLICATION.value),
    When(papers_at__isnull=False, then=Matter.PAPERS.value),
    default=Matter.EXPIRING.value,
)


def trips_in_need(settings: ServiceSettings, now: dt.datetime) -> QuerySet[Trip]:
    """Return the trips of the queue, with what an item says of them."""
    arrived = TripTransition.objects.filter(trip=OuterRef("pk"), to_status=TripStatus.DRIVER_ARRIVED).order_by("-pk")
    rows = (
        live_trips().filter(needs_person(settings, now)).annotate(moved_at=Subquery(arrived.values("created_at")[:1]))
    )
    return rows.select_related("watch", "driver__user")


def count_waiting(settings: ServiceSettings, now: dt.datetime) -> int:
    """Return how many trips have been without a driver for long, however many of them the queue lists. One query."""
    return live_trips().filter(without_driver(settings, now)).count()


def open_calls() -> QuerySet[SafetyAlert]:
    """Return the calls for help that nobody has handled."""
    return SafetyAlert.objects.filter(handled_at__isnull=True).select_related("trip", "raised_by").order_by()


def drivers_in_need(today: dt.date) -> QuerySet[Driver]:
    """Return drivers who wait for an answer, and those whose licence or documents end about now."""
    pending = DriverDocument.objects.filter(owner=OuterRef("user"), status=DocumentStatus.PENDING).order_by()
    span = (today - EXPIRING, today + EXPIRING)
    ends = Q(licence_expires_on__range=span) | Q(documents_valid_until__range=span)
    waits = Q(approval=Approval.PENDING) | Q(papers_at__isnull=False)
    rows = Driver.objects.annotate(
        papers_at=Subquery(pending.values("owner").annotate(first=Min("uploaded_at")).values("first"))
    )
    rows = rows.filter(waits | (Q(approval=Approval.APPROVED) & ends), user__is_active=True)
    return rows.select_related("user__driver_application").order_by()


def _trip_items(rows: Iterable[Trip], settings: ServiceSettings, now: dt.datetime) -> Iterator[Item]:
    for trip in rows:
        # None: the clocks of this process and of the condition are a moment apart.
        if (found := matter_of(trip, settings, now)) is not None:
            yield Item(found.matter, found.since, Subject.TRIP, trip.pk, trip)


def _call_items(rows: Iterable[SafetyAlert]) -> Iterator[Item]:
    for call in rows:
        yield Item(Matter.HELP, call.raised_at, Subject.HELP, call.pk, call)


def _driver_items(rows: Iterable[Driver], today: dt.date) -> Iterator[Item]:
    for driver in rows:
        if driver.approval == Approval.PENDING:
            application = getattr(driver.user, "driver_application", None)
            sent = application.submitted_at if application is not None else None
            yield Item(Matter.APPLICATION, sent or driver.user.date_joined, Subject.DRIVER, driver.pk, driver)
        elif driver.papers_at is not None:  # type: ignore[attr-defined]
            yield Item(Matter.PAPERS, driver.papers_at, Subject.DRIVER, driver.pk, driver)  # type: ignore[attr-defined]
        else:
            days = [day for day in (driver.licence_expires_on, driver.documents_valid_until) if day is not None]
            near = [day for day in days if abs(day - today) <= EXPIRING]
            driver.last_day = min(near, default=today)  # type: ignore[attr-defined]
            since = timezone.make_aware(dt.datetime.combine(driver.last_day, dt.time()))  # type: ignore[attr-defined]
            yield Item(Matter.EXPIRING, since, Subject.DRIVER, driver.pk, driver)


def urgent_items(settings: ServiceSettings, now: dt.datetime) -> list[Item]:
    """Return what is open of trips and calls for help, unordered. Two queries."""
    # Where there are more than are listed, the least urgent are left out.
    trips = trips_in_need(settings, now).order_by(URGENCY, "created_at")[:MOST]
    return [*_call_items(open_calls().order_by("raised_at")[:MOST]), *_trip_items(trips, settings, now)]


def driver_items(today: dt.date) -> list[Item]:
    """Return what is open of drivers, unordered. One query."""
    return list(_driver_items(drivers_in_need(today).order_by(_URGENCY_OF_DRIVER, "pk")[:MOST], today))


def running_claims(settings: ServiceSettings, now: dt.datetime) -> dict[Key, Claim]:
    """Return the claims that have not ended by time, by what they are of. One query."""
    since = now - dt.timedelta(minutes=settings.claim_kept_min)
    rows = Claim.objects.filter(claimed_at__gt=since).select_related("by")
    return {(row.subject, row.row_id): row for row in rows}


def with_claims(items: Iterable[Item], claims: dict[Key, Claim]) -> list[Item]:
    """Return the items in the order of the queue, each with who has claimed it."""
    found = [item._replace(held=claims.get(item.key)) for item in items]
    return sorted(found, key=lambda item: (item.matter, item.since, item.key))


def read_queue() -> list[Item]:
    """Read all of the queue as it stands. Five queries."""
    settings, now = ServiceSettings.current(), database_now()
    items = [*urgent_items(settings, now), *driver_items(timezone.localdate())]
    return with_claims(items, running_claims(settings, now))


def is_open(subject: str, row_id: int, settings: ServiceSettings, now: dt.datetime) -> bool:
    """Say whether a matter is in the queue now."""
    if subject == Subject.TRIP:
        return trips_in_need(settings, now).filter(pk=row_id).exists()
    if subject == Subject.HELP:
        return open_calls().filter(pk=row_id).exists()
    return drivers_in_need(timezone.localdate()).filter(pk=row_id).exists()
