"""Everything that happened to a trip, in order: for the staff who look at it, with what they may see alone."""

import datetime as dt
from collections.abc import Iterator

from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from drivers.models import Driver
from drivers.plates import keep_on_one_line
from realtime.models import Notification
from stepper.models import User
from stepper.ops.history import PAGE, Entry, HistoryPage, Line, Reader, page_of
from stepper.templatetags.units import duration, km, money
from trips import access, explain
from trips.history_words import change_for_staff, doubt_in_words, end_in_words, round_in_words
from trips.messages import SEE
from trips.models import DispatchRound, Offer, SafetyAlert, StaffAssignment, Trip, TripTransition
from trips.states import OfferStatus, Role, TripStatus

SEE_NOTIFICATIONS = "realtime.view_notification"
# Drivers of a wave shown at once; the page "Why not?" of the administration has all of them.
DRIVERS_SHOWN = 30

_STEP_ICONS = {
    TripStatus.PUBLISHED: "circle-plus",
    TripStatus.OFFERED: "radar",
    TripStatus.UNFILLED: "hourglass",
    TripStatus.ACCEPTED: "user-check",
    TripStatus.EN_ROUTE: "car",
    TripStatus.DRIVER_ARRIVED: "map-pin",
    TripStatus.PASSENGERS_BOARDED: "users",
    TripStatus.IN_TRANSIT: "route",
    TripStatus.ARRIVED: "flag",
    TripStatus.COMPLETED: "circle-check",
    TripStatus.CANCELLED: "ban",
}


def read_history(trip: Trip, viewer: User, before: dt.datetime | None = None) -> HistoryPage:
    """Return the newest page of a trip's history, or the one before an instant."""
    return page_of(_Reader(trip, viewer, before).entries())


def name_of(user: User | None) -> str:
    return user.name or str(user) if user is not None else ""


class _Reader(Reader):
    def __init__(self, trip: Trip, viewer: User, before: dt.datetime | None) -> None:
        super().__init__(viewer, before)
        self.trip = trip
        self.call_taken_by: User | None = None

    def entries(self) -> Iterator[Entry]:
        yield from self._steps()
        yield from self._waves()
        yield from self._answers()
        yield from self._assignments()
        yield from self._changes()
        yield from self._calls_for_help()
        yield from self._ratings()
        if self.trip.former_legs:
            yield from self._legs()
        if self.viewer.has_perm(SEE):
            yield from self._messages()
        if self.viewer.has_perm(SEE_NOTIFICATIONS):
            yield from self._notifications()
        if self.before is None or self.trip.created_at < self.before:
            yield self._booking()

    def _booking(self) -> Entry:
        """Say who booked; after a call, who took it and for whom. Read with the steps, of which it is the first."""
        passenger, taken_by = name_of(self.trip.organiser), self.call_taken_by
        title, who, details = _("Booked"), passenger, []
        if taken_by is not None:
            title, who = _("Booked by phone"), _actor(Role.STAFF, taken_by)
            details = [_("for %(name)s") % {"name": self.trip.traveller_name or passenger}]
        return Entry(self.trip.created_at, "step", "circle-plus", title, who, details)

    def _steps(self) -> Iterator[Entry]:
        for row in self.newest(self.trip.transitions.select_related("by"), "created_at"):
            if row.from_status == TripStatus.DRAFT and row.role == Role.STAFF:
                self.call_taken_by = row.by
            details = [row.note] if row.note else []
            if row.doubt:
                details.append(_("Position: %(doubt)s") % {"doubt": doubt_in_words(row)})
            icon = _STEP_ICONS.get(TripStatus(row.to_status), "circle")
            yield Entry(row.created_at, "step", icon, _step_in_words(row), _actor(row.role, row.by), details)

    def _waves(self) -> Iterator[Entry]:
        rows: list[DispatchRound] = list(self.newest(self.trip.rounds.all(), "created_at"))[::-1]
        if not rows:
            return
        waves = explain.verdicts_of(self.trip, rows)
        shown = {one.driver_id for verdicts in waves for one in verdicts[:DRIVERS_SHOWN]}
        drivers = Driver.objects.select_related("user").in_bulk(shown)
        for row, verdicts in zip(rows, waves, strict=True):
            lines = [
                Line(drivers[one.driver_id].user.name, _verdict_in_words(one), _driver_url(one.driver_id))
                for one in verdicts[:DRIVERS_SHOWN]
                if one.driver_id in drivers
            ]
            title = _("Round %(round)d, wave %(wave)d") % {"round": row.number, "wave": row.wave}
            left = max(0, len(verdicts) - DRIVERS_SHOWN)
            yield Entry(row.created_at, "wave", "radar", title, "", [round_in_words(row)], lines, left)

    def _answers(self) -> Iterator[Entry]:
        """Offers that a driver answered; what else became of an offer is a line of its wave."""
        answered = self.trip.offers.filter(status__in=[OfferStatus.ACCEPTED, OfferStatus.DECLINED])
        offers: QuerySet[Offer] = self.newest(answered.select_related("driver__user"), "responded_at")
        for offer in offers:
            if offer.responded_at is None:
                continue
            declined = offer.status == OfferStatus.DECLINED
            title = _("Declined") if declined else _("Accepted the offer")
            details = [end_in_words(offer)] if offer.reason or offer.released_at else []
            icon = "user-x" if declined else "user-check"
            yield Entry(offer.responded_at, "offer", icon, title, offer.driver.user.name, details)

    def _assignments(self) -> Iterator[Entry]:
        rows = explain.staff_assignments(self.trip)
        if self.before is not None:
            rows = rows.filter(Q(assigned_at__lt=self.before) | Q(ended_at__lt=self.before))
        newest: list[StaffAssignment] = list(rows.order_by("-pk")[: PAGE + 1])
        for row in newest:
            name = row.driver.user.name
            if row.assigned_by is not None and self.is_before(row.assigned_at):
                title = _("Assigned to %(driver)s") % {"driver": name}
                why = explain.given_in_words(row)
                yield Entry(
                    row.assigned_at, "staff", "user-plus", title, name_of(row.assigned_by), [] if why == "–" else [why]
                )
            if row.ended_at is not None and self.is_before(row.ended_at):
                by_driver = row.ended_as == Role.DRIVER
                title = (_("Given back by %(driver)s") if by_driver else _("Taken off %(driver)s")) % {"driver": name}
                who = name if by_driver else name_of(row.ended_by)
                details = [row.end_reason] if row.end_reason else []
                yield Entry(row.ended_at, "staff", "user-minus", title, who, details)

    def _legs(self) -> Iterator[Entry]:
        for leg in self.newest(self.trip.legs.select_related("driver__user", "vehicle"), "ended_at"):
            title = _("Leg %(number)d: %(from)s → %(to)s") % {
                "number": leg.number,
                "from": leg.from_name,
                "to": leg.to_name,
            }
            words = _("%(km)s, part of the fare %(fare)s, of the fee %(fee)s; earned %(earned)s") % {
                "km": km(leg.km),
                "fare": money(leg.fare),
                "fee": money(leg.fee),
                "earned": money(leg.earned),
            }
            yield Entry(leg.ended_at, "staff", "split", title, f"{leg.driver.user.name} · {leg.vehicle}", [words])

    def _changes(self) -> Iterator[Entry]:
        for row in self.newest(self.trip.changes.select_related("by", "trip"), "created_at"):
            yield Entry(
                row.created_at, "change", "pencil", _("Changed"), _actor(row.role, row.by), [change_for_staff(row)]
            )

    def _messages(self) -> Iterator[Entry]:
        rows = list(self.newest(self.trip.messages.select_related("sender"), "sent_at"))
        if rows:
            access.log_look(self.viewer, self.trip, "trips.tripmessage")
        for row in rows:
            notes = [_("reported")] if row.reported_at else []
            notes += [_("hidden by staff")] if row.hidden_at else []
            details = [row.said, ", ".join(notes)] if notes else [row.said]
            label = pgettext("in a history", "Message")
            yield Entry(row.sent_at, "message", "message-circle", label, _actor(row.role, row.sender), details)

    def _notifications(self) -> Iterator[Entry]:
        """What was said to the passenger of this trip, and to its driver of a trip of this name."""
        passenger = Q(user=self.trip.organiser_id, action_url__startswith=f"/trips/{self.trip.pk}/")
        told = passenger
        if self.trip.driver is not None:
            told |= Q(
                user=self.trip.driver.user_id,
                action_url="/driver/",
                message__startswith=self.trip.title[:300],
                created_at__gte=self.trip.created_at,
            )
        rows = Notification.objects.filter(told).select_related("user")
        for row in self.newest(rows, "created_at"):
            title = _("Told %(name)s: %(title)s") % {"name": row.user.name, "title": row.title}
            details = [keep_on_one_line(row.message)] if row.message else []
            yield Entry(row.created_at, "told", "bell", title, "", details)

    def _calls_for_help(self) -> Iterator[Entry]:
        rows: list[SafetyAlert] = list(
            self.newest(self.trip.safety_alerts.select_related("raised_by", "handled_by"), "raised_at")
        )
        for row in rows:
            yield Entry(row.raised_at, "help", "shield-alert", _("Call for help"), name_of(row.raised_by))
            if row.handled_at is not None and self.is_before(row.handled_at):
                yield Entry(
                    row.handled_at, "staff", "shield-check", _("Call for help handled"), name_of(row.handled_by)
                )

    def _ratings(self) -> Iterator[Entry]:
        for row in self.newest(self.trip.ratings.select_related("by", "about"), "created_at"):
            title = _("%(stars)d ★ for %(name)s") % {"stars": row.stars, "name": row.about.name}
            details = [", ".join(row.tag_labels), row.comment]
            yield Entry(
                row.created_at, "rating", "star", title, _actor(row.role, row.by), [one for one in details if one]
            )


def _driver_url(driver_id: int) -> str:
    return reverse("ops:driver", args=[driver_id])


def _actor(role: str, by: User | None) -> str:
    label = str(Role(role).label)
    return f"{name_of(by)} · {label}" if by is not None else label


def _step_in_words(row: TripTransition) -> str:
    before, after = TripStatus(row.from_status), TripStatus(row.to_status)
    if before != after:
        return f"{before.label} → {after.label}"
    if after == TripStatus.DRIVER_ARRIVED:
        return _("Arrival confirmed")
    if after == TripStatus.IN_TRANSIT:
        return _("Stop reached")
    return _("To another driver")


def _verdict_in_words(one: explain.Verdict) -> str:
    """Say how far away a driver was, how they ranked and what became of it, with the parts of the score."""
    offer, words = one.offer, explain.outcome(one)
    if offer is not None and (offer.reason or offer.released_at):
        words = f"{words} ({end_in_words(offer)})"
    parts = [km(one.km)] if one.km is not None else []
    if offer is not None:
        parts.append(duration(offer.pickup_min))
    if one.score is not None:
        of_what = explain.parts_in_words(offer.score_parts) if offer is not None else ""
        rank = _("rank %(score)s") % {"score": f"{one.score:.2f}"}
        parts.append(f"{rank} ({of_what})" if of_what else rank)
    return " · ".join([*parts, words])
