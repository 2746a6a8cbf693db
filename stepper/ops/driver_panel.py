"""What the operations room shows of one driver: how they stand now, what they have and had, their actions."""

import datetime as dt
import re
from collections.abc import Iterator
from functools import cached_property
from zoneinfo import ZoneInfo

from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import pgettext_lazy

from drivers.approvals import CHANGE
from drivers.board import CAUSE_LABELS
from drivers.document_models import DocumentKind, DriverDocument
from drivers.earnings import hours, periods
from drivers.earnings.hours import Hours
from drivers.earnings.periods import Kind
from drivers.models import (
    Approval,
    Availability,
    AvailabilityChange,
    Cause,
    DocumentStatus,
    Driver,
    DriverMetrics,
    DriverPosition,
)
from stepper.audit.looks import looked_at
from stepper.db.clock import database_now
from stepper.errors import NotFound
from stepper.models import SecurityEvent, SecurityEventCode, ServiceSettings, User
from stepper.ops import actions
from stepper.ops.history import Entry, HistoryPage, Line, Reader, page_of
from stepper.ops.trip_history import name_of
from stepper.templatetags.units import duration, km
from trips import explain
from trips.history_words import end_in_words
from trips.models import StaffAssignment, Trip
from trips.states import ASSIGNED, OfferStatus, Role

SEE_TRIPS = "trips.view_trip"
SEE_DOCUMENTS = "drivers.view_driverdocument"
SEE_SECURITY_LOG = "stepper.view_securityevent"
TRIPS_SHOWN = 20
# In the security log: `approval: pending → approved`, `licence: pending → rejected (why)`, `account closed (why)`.
_DECISION = re.compile(
    r"(?P<what>account closed|\w+: (?P<before>\w+) → (?P<after>\w+))(?: \((?P<reason>.*?)\)?)?", re.DOTALL
)
_CLOSED = "account closed"
# Rows of one decision are written so close to each other.
_AT_ONCE = dt.timedelta(seconds=30)
# How an offer ended, in the gender of "offer".
_OFFERED = {
    OfferStatus.PENDING: pgettext_lazy("of an offer", "open"),
    OfferStatus.ACCEPTED: pgettext_lazy("of an offer", "accepted"),
    OfferStatus.DECLINED: pgettext_lazy("of an offer", "declined"),
    OfferStatus.EXPIRED: pgettext_lazy("of an offer", "expired"),
    OfferStatus.WITHDRAWN: pgettext_lazy("of an offer", "withdrawn"),
}


class DriverPanel:
    """A driver as a member of staff sees them."""

    def __init__(self, driver: Driver, viewer: User) -> None:
        self.driver, self.viewer = driver, viewer

    @classmethod
    def of(cls, driver_id: int, viewer: User) -> "DriverPanel":
        """Read a driver. Raises NotFound, NotPermitted: they may not see drivers."""
        viewer.require_staff(actions.SEE_DRIVERS)
        rows = Driver.objects.select_related("user__driver_application", "vehicle", "position", "metrics")
        driver = rows.filter(pk=driver_id).first()
        if driver is None:
            raise NotFound("driver.not_found", _("There is no such driver."))
        looked_at(viewer, [driver.user_id], "drivers.driver", driver.pk)
        return cls(driver, viewer)

    @cached_property
    def settings(self) -> ServiceSettings:
        return ServiceSettings.current()

    @cached_property
    def now(self) -> dt.datetime:
        return database_now()

    @cached_property
    def since(self) -> dt.datetime | None:
        """When their availability changed last; None: never, or it is not kept any more."""
        changes = self.driver.availability_changes.order_by("-pk")
        return changes.values_list("created_at", flat=True).first()

    @property
    def position(self) -> DriverPosition | None:
        return getattr(self.driver, "position", None)

    @property
    def is_dark(self) -> bool:
        return self.position is not None and not self.position.is_fresh(self.settings.position_fresh_s)

    @property
    def metrics(self) -> DriverMetrics | None:
        return getattr(self.driver, "metrics", None)

    @property
    def acceptance_percent(self) -> int | None:
        found = self.metrics
        return None if found is None or found.acceptance is None else round(found.acceptance * 100)

    @cached_property
    def worked(self) -> Hours | None:
        """How long they were online and on trips today, by their time zone."""
        period = periods.current(Kind.DAY, ZoneInfo(self.driver.timezone), self.now)
        return hours.worked(self.driver, period, now=self.now, settings=self.settings)

    @cached_property
    def may_see_trips(self) -> bool:
        return self.viewer.has_perm(SEE_TRIPS)

    @cached_property
    def trips(self) -> list[Trip]:
        """Their trips that are not over, and those of today, the next departure first."""
        zone = ZoneInfo(self.driver.timezone)
        today = self.now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
        span = Q(departure_at__gte=today, departure_at__lt=today + dt.timedelta(days=1))
        mine = Trip.objects.filter(Q(status__in=sorted(ASSIGNED)) | span, driver=self.driver)
        return list(mine.select_related("organiser").order_by("departure_at", "pk")[:TRIPS_SHOWN])

    @property
    def applied_at(self) -> dt.datetime | None:
        """When they sent their application last; None: staff entered them."""
        return _applied_at(self.driver)

    @cached_property
    def may_decide(self) -> bool:
        return self.viewer.has_perm(CHANGE)

    @cached_property
    def may_see_documents(self) -> bool:
        return self.viewer.has_perm(SEE_DOCUMENTS)

    @cached_property
    def documents(self) -> list[DriverDocument]:
        if not self.may_see_documents:
            return []
        newest = DriverDocument.objects.filter(owner=self.driver.user_id).order_by("kind", "-pk")
        return list({row.kind: row for row in reversed(newest)}.values())

    @cached_property
    def actions(self) -> list[actions.Action]:
        return actions.available(actions.DRIVER_ACTIONS, self.driver, self.viewer)

    @cached_property
    def history(self) -> HistoryPage:
        return read_history(self.driver, self.viewer)


def _applied_at(driver: Driver) -> dt.datetime | None:
    application = getattr(driver.user, "driver_application", None)
    return application.submitted_at if application is not None else None


def _is_at_once(at: dt.datetime, others: list[dt.datetime]) -> bool:
    return any(abs(at - other) < _AT_ONCE for other in others)


def _approval_in_words(before: str, after: str) -> str:
    if after == Approval.APPROVED:
        return _("Reinstated") if before == Approval.SUSPENDED else _("Approved")
    return str(Approval(after).label)


def read_history(driver: Driver, viewer: User, before: dt.datetime | None = None) -> HistoryPage:
    """Return the newest page of what happened to a driver, or the one before an instant."""
    return page_of(_Reader(driver, viewer, before).entries())


class _Reader(Reader):
    def __init__(self, driver: Driver, viewer: User, before: dt.datetime | None) -> None:
        super().__init__(viewer, before)
        self.driver = driver

    def entries(self) -> Iterator[Entry]:
        applied_at = _applied_at(self.driver)
        if applied_at is not None and self.is_before(applied_at):
            yield Entry(applied_at, "step", "file-text", _("Applied to drive"), name_of(self.driver.user))
        decisions = list(self._decisions())
        yield from decisions
        yield from self._availability([entry.at for entry in decisions])
        if self.viewer.has_perm(SEE_TRIPS):
            yield from self._offers()
            yield from self._assignments()
            yield from self._ratings()

    def _decisions(self) -> Iterator[Entry]:
        """What staff decided about the driver, their documents and their account: the security log keeps it."""
        rows = SecurityEvent.objects.filter(
            subject=self.driver.user_id,
            event__in=[
                SecurityEventCode.DRIVER_DECIDED,
                SecurityEventCode.ACCOUNT_ACTIVATED,
                SecurityEventCode.ACCOUNT_DEACTIVATED,
            ],
        )
        found: list[SecurityEvent] = list(self.newest(rows.select_related("actor"), "at"))
        closed_at = [row.at for row in found if row.details.startswith(_CLOSED)]
        for row in found:
            if row.event == SecurityEventCode.ACCOUNT_DEACTIVATED and _is_at_once(row.at, closed_at):
                continue
            if (words := self._decision_in_words(row)) is not None:
                title, icon, reason = words
                yield Entry(row.at, "staff", icon, title, name_of(row.actor), [reason] if reason else [])

    def _decision_in_words(self, row: SecurityEvent) -> tuple[str, str, str] | None:
        """Return a decision's title, icon and reason, as far as the viewer may know; None: it is not shown."""
        if row.event == SecurityEventCode.ACCOUNT_ACTIVATED:
            return _("Account opened again"), "user-check", ""
        if row.event == SecurityEventCode.ACCOUNT_DEACTIVATED:
            return _("Account closed"), "user-x", ""
        found = _DECISION.fullmatch(row.details)
        if found is None:
            return None
        what, before, after, reason = found["what"], found["before"], found["after"], found["reason"] or ""
        if what == _CLOSED:
            # Its reason is for those who may read the security log.
            return _("Account closed"), "user-x", reason if self.viewer.has_perm(SEE_SECURITY_LOG) else ""
        subject = what.partition(":")[0]
        if subject == "approval" and after in Approval.values:
            return _approval_in_words(before, after), "user-check" if after == Approval.APPROVED else "ban", reason
        if subject in DocumentKind.values and after in DocumentStatus.values and self.viewer.has_perm(SEE_DOCUMENTS):
            title = f"{DocumentKind(subject).label}: {str(DocumentStatus(after).label).lower()}"
            return title, "file-text", reason
        return None

    def _availability(self, decided_at: list[dt.datetime]) -> Iterator[Entry]:
        """When they went online and offline. `decided_at`: of decisions, which are entries of their own."""
        rows: QuerySet[AvailabilityChange] = self.newest(
            self.driver.availability_changes.select_related("by"), "created_at"
        )
        for row in rows:
            is_same = row.previous == row.availability
            if is_same and row.cause == Cause.SUSPENDED and _is_at_once(row.created_at, decided_at):
                continue
            labels = [str(Availability(one).label) for one in (row.previous, row.availability)]
            title = " → ".join(labels[:1] if is_same else labels)
            details = [str(CAUSE_LABELS[Cause(row.cause)]) if row.cause != Cause.DRIVER else _("by the driver")]
            details += [row.note] if row.note else []
            yield Entry(row.created_at, "step", "power", title, name_of(row.by), details)

    def _offers(self) -> Iterator[Entry]:
        for offer in self.newest(self.driver.offers.select_related("trip"), "created_at"):
            title = _("Offer: %(outcome)s") % {"outcome": str(_OFFERED[OfferStatus(offer.status)])}
            details = [f"{offer.trip.title} · {km(offer.distance_km)}, {duration(offer.pickup_min)}"]
            details += [end_in_words(offer)] if offer.reason or offer.released_at else []
            yield Entry(offer.created_at, "offer", "radar", title, "", details, [_trip_line(offer.trip)])

    def _assignments(self) -> Iterator[Entry]:
        rows: QuerySet[StaffAssignment] = self.newest(
            self.driver.staff_assignments.select_related("trip", "assigned_by", "ended_by"), "assigned_at"
        )
        for row in rows:
            line = [_trip_line(row.trip)]
            if row.assigned_by is not None:
                why = explain.given_in_words(row)
                details = [] if why == "–" else [why]
                title = _("A trip was assigned")
                yield Entry(row.assigned_at, "staff", "user-plus", title, name_of(row.assigned_by), details, line)
            if row.ended_at is not None and self.is_before(row.ended_at):
                by_driver = row.ended_as == Role.DRIVER
                title = _("A trip was given back") if by_driver else _("A trip was taken off")
                who = "" if by_driver else name_of(row.ended_by)
                details = [row.end_reason] if row.end_reason else []
                yield Entry(row.ended_at, "staff", "user-minus", title, who, details, line)

    def _ratings(self) -> Iterator[Entry]:
        about = self.driver.user.ratings_received.filter(role=Role.ORGANISER).select_related("by", "trip")
        for row in self.newest(about, "created_at"):
            details = [one for one in (", ".join(row.tag_labels), row.comment) if one]
            title = _("Rated: %(stars)d ★") % {"stars": row.stars}
            yield Entry(row.created_at, "rating", "star", title, name_of(row.by), details, [_trip_line(row.trip)])


def _trip_line(trip: Trip) -> Line:
    return Line(f"#{trip.pk}", trip.title, reverse("ops:trip", args=[trip.pk]))
