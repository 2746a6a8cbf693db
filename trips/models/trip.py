"""Trips and the history of their status. `Trip.move` is the only code that assigns a status."""

import datetime as dt
from typing import TYPE_CHECKING, Any, Self

import msgspec
from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from realtime import events, groups
from realtime.outbox import publish, refresh_permissions
from stepper.db.clock import database_now
from stepper.errors import Conflict
from stepper.models import short_name
from stepper.monitoring import figures
from stepper.texts import PlainTextField, clean_text
from trips.models.outcome import TripOutcome
from trips.states import (
    ABOARD,
    ASSIGNED,
    DRIVING,
    EXPECTED,
    FINISHED,
    OPEN,
    Doubt,
    Role,
    TripStatus,
    TripType,
    VehicleClass,
    allowed,
)

from .legs import FormerLegs
from .route import Route

if TYPE_CHECKING:
    from .watch import TripWatch

# A trip's columns while no wave runs.
NO_WAVE: dict[str, Any] = {"wave": 0, "reach_km": None, "next_look_at": None}
# A trip's columns while its driver has announced no delay.
NO_DELAY: dict[str, Any] = {"delay_minutes": 0, "delay_reason": "", "delayed_until": None}

# A trip's columns while nobody is to be asked for a boarding code (trips.boarding).
NO_CODE: dict[str, Any] = {"boarding_code": "", "wrong_codes": 0, "codes_refused_until": None}


# The indexes of the operations room's lists: by departure, and of those few trips that are not over.
_OF_LISTS = (
    models.Index(fields=["departure_at", "id"], name="trip_by_departure"),
    models.Index(fields=["departure_at", "id"], condition=~Q(status__in=sorted(FINISHED)), name="trip_unfinished"),
)


class TransitionRefused(Conflict):
    """The table has no such step for this role, or somebody else moved the trip first."""

    def __init__(self, current: str, wanted: str) -> None:
        super().__init__(
            "trip.transition_refused",
            _("This trip is %(current)s; it cannot become %(wanted)s now.")
            % {"current": TripStatus(current).label, "wanted": TripStatus(wanted).label},
        )
        self.current = current
        self.wanted = wanted


class TripQuerySet(models.QuerySet["Trip"]):
    def locked(self) -> Self:
        """Lock the rows until the transaction ends: after drivers and before offers, in the lock order."""
        return self.select_for_update(no_key=True, of=("self",))

    def unfinished(self) -> Self:
        return self.exclude(status__in=FINISHED)

    def for_page(self) -> Self:
        return self.select_related("organiser", "driver__user", "vehicle")

    def overlapping(self, starts_at: dt.datetime | F, ends_at: dt.datetime | F, margin: dt.timedelta) -> Self:
        """Keep the assigned, unfinished trips whose estimated span comes within `margin` of the given one."""
        return self.filter(status__in=ASSIGNED, departure_at__lt=ends_at + margin, ends_at__gt=starts_at - margin)


class Trip(Route, TripOutcome, FormerLegs):
    organiser = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="trips", verbose_name=_("passenger")
    )
    trip_type = models.CharField(_("type"), max_length=8, choices=TripType.choices, default=TripType.PRIVATE)
    status = models.CharField(_("status"), max_length=20, choices=TripStatus.choices, default=TripStatus.DRAFT)
    # Counts every change that a watcher sees; a client ignores a frame with a lower one.
    version = models.PositiveIntegerField(default=0)
    # Made by the client (a form's hidden field, the Idempotency-Key header): the same booking sent twice is one trip.
    request_key = models.CharField(max_length=64, null=True, blank=True, editable=False)
    # Digest of the request made with `request_key`: the same key for another request is refused.
    request_digest = models.CharField(max_length=32, blank=True, default="", db_default="", editable=False)

    is_now = models.BooleanField(_("for now"), default=True)
    departure_at = models.DateTimeField(_("departure"))
    # Departure plus the estimated driving time; the span that must not overlap another of the driver's.
    ends_at = models.DateTimeField(_("estimated end"))
    # Until then drivers are searched; afterwards the trip is cancelled by the system.
    search_until = models.DateTimeField(_("looking for a driver until"))
    timezone = models.CharField(_("time zone"), max_length=40, default="Asia/Almaty")

    vehicle_class = models.CharField(
        _("vehicle class"), max_length=8, choices=VehicleClass.choices, default=VehicleClass.SEDAN
    )
    seats = models.PositiveSmallIntegerField(_("seats"), default=1)
    available_seats = models.PositiveSmallIntegerField(_("seats left"), default=0)
    bags = models.PositiveSmallIntegerField(_("bags"), default=0)
    note = PlainTextField(_("note to the driver"), max_length=300, blank=True, multiline=True)

    # Wishes that were chosen, as events.Wish: as they were called then, whatever staff do to the list (trips.wishes).
    wishes = models.JSONField(_("wishes"), default=list, db_default=[], blank=True)

    # Who travels where it is not the organiser; the number in E.164. Both or neither.
    traveller_name = PlainTextField(_("traveller"), max_length=80, blank=True, default="", db_default="")
    traveller_phone = models.CharField(_("traveller's phone"), max_length=16, blank=True, default="", db_default="")

    # Priced once, at booking, in whole tenge.
    distance_km = models.FloatField(_("distance, km"))
    duration_min = models.PositiveIntegerField(_("duration, min"))
    zone = models.CharField(pgettext_lazy("of fares", "zone"), max_length=1)
    fare = models.PositiveIntegerField(_("fare, ₸"))
    platform_fee = models.PositiveIntegerField(_("platform fee, ₸"))
    driver_earnings = models.PositiveIntegerField(_("driver's earnings, ₸"))
    seat_price = models.PositiveIntegerField(_("seat price, ₸"))
    payment_method = models.CharField(
        _("payment"), max_length=8, choices=[("cash", _("Cash to the driver"))], default="cash"
    )

    driver = models.ForeignKey("drivers.Driver", models.PROTECT, related_name="trips", null=True, blank=True)
    vehicle = models.ForeignKey("drivers.Vehicle", models.PROTECT, related_name="trips", null=True, blank=True)
    # The span in which the driver has no other trip, set when they get this one (trips.overlap).
    busy_from = models.DateTimeField(null=True, blank=True)
    busy_until = models.DateTimeField(null=True, blank=True)
    accepted_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    delay_minutes = models.PositiveSmallIntegerField(_("delay, min"), default=0)
    delay_reason = PlainTextField(_("reason for the delay"), max_length=200, blank=True)
    # When the next stop is reached after the announced delay: what was expected then, and the delay.
    delayed_until = models.DateTimeField(null=True, blank=True)

    round_number = models.PositiveIntegerField(_("round"), default=0)
    # The wave of the round that runs, and how far from the pickup it asks; 0: no round runs.
    wave = models.PositiveIntegerField(_("wave"), default=0)
    reach_km = models.FloatField(null=True, blank=True)
    # How far from the pickup drivers are searched for this trip; None: as the settings say.
    radius_km = models.FloatField(_("looks for drivers within, km"), null=True, blank=True)
    # When staff and the passenger were notified that no driver has accepted.
    escalated_at = models.DateTimeField(_("unfilled, told at"), null=True, blank=True)
    # When the dispatcher starts the next round or wave; None: the trip waits for none.
    next_look_at = models.DateTimeField(_("looked at next"), null=True, blank=True)
    # The driver reported being at the pickup and no position confirms it (trips.arrival). Of no meaning before that.
    arrival_flagged = models.BooleanField(_("arrival not confirmed"), default=False, db_default=False)
    # Set with a step that trips.watch has to handle, until it has.
    watch_at = models.DateTimeField(null=True, blank=True)
    # Somebody has a link to the live page of the trip, or had one (trips.shares).
    is_shared = models.BooleanField(default=False, db_default=False, editable=False)
    # What the passenger says to the driver at boarding (trips.boarding); empty: nobody asks.
    boarding_code = models.CharField(max_length=4, blank=True, default="", db_default="", editable=False)
    wrong_codes = models.PositiveSmallIntegerField(_("wrong codes"), default=0, db_default=0, editable=False)
    codes_refused_until = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("booked"), auto_now_add=True)

    objects = TripQuerySet.as_manager()
    # How many messages of it somebody has not read; trips.messages.set_unread says whose.
    unread_messages = 0

    class Meta:
        verbose_name = _("trip")
        verbose_name_plural = _("trips")
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["driver"], condition=Q(status__in=sorted(DRIVING)), name="trip_one_driving_per_driver"
            ),
            models.UniqueConstraint(
                fields=["organiser", "request_key"], condition=Q(request_key__isnull=False), name="trip_booked_once"
            ),
            models.CheckConstraint(
                condition=~Q(status__in=sorted(ASSIGNED)) | Q(driver__isnull=False, vehicle__isnull=False),
                name="trip_assigned_has_driver",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=sorted(OPEN | {TripStatus.DRAFT})) | Q(driver__isnull=True),
                name="trip_open_has_no_driver",
            ),
            models.CheckConstraint(condition=Q(seats__gte=1), name="trip_seats_positive"),
            models.CheckConstraint(
                condition=Q(available_seats__gte=0, available_seats__lte=F("seats")), name="trip_seats_left_in_range"
            ),
            models.CheckConstraint(
                condition=Q(fare=F("platform_fee") + F("driver_earnings")), name="trip_money_adds_up"
            ),
            models.CheckConstraint(condition=Q(ends_at__gte=F("departure_at")), name="trip_ends_after_departure"),
        ]
        indexes = [
            # "My trips" of a passenger, newest first.
            models.Index(fields=["organiser", "-created_at"], name="trip_of_organiser"),
            # A driver's active trips, overlap check and history.
            models.Index(fields=["driver", "status", "departure_at"], name="trip_of_driver"),
            # A driver's earnings in a period (drivers.earnings).
            models.Index(
                fields=["driver", "completed_at"],
                condition=Q(completed_at__isnull=False),
                name="trip_completed_of_driver",
            ),
            # Days of the reports: the trips that ended on one (trips.reports); by departure they have the lists' index.
            models.Index(fields=["completed_at"], condition=Q(completed_at__isnull=False), name="trip_completed"),
            # The dispatcher's query for trips whose next round or wave is due.
            models.Index(fields=["next_look_at"], condition=Q(next_look_at__isnull=False), name="trip_due_look"),
            # Trips that have just got a driver or whose driver has set off.
            models.Index(fields=["watch_at"], condition=Q(watch_at__isnull=False), name="trip_to_watch"),
            # Trips waiting around a driver who comes online.
            models.Index(fields=["pickup_cell"], condition=Q(status__in=sorted(OPEN)), name="trip_waiting_cell"),
            # What the operations room shows: trips that are published and not over.
            models.Index(fields=["departure_at"], condition=Q(status__in=sorted(OPEN | ASSIGNED)), name="trip_live"),
            *_OF_LISTS,
            # The dispatcher's query for trips nobody took in time.
            models.Index(fields=["search_until"], condition=Q(status__in=sorted(OPEN)), name="trip_due_give_up"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}: {self.title}"

    @property
    def wish_list(self) -> list[events.Wish]:
        return msgspec.convert(self.wishes, list[events.Wish])

    @property
    def traveller_short_name(self) -> str:
        """Return whom the driver meets, as a stranger reads it. Reads the organiser's row."""
        return short_name(self.traveller_name) if self.traveller_phone else self.organiser.short_name

    @property
    def driver_since(self) -> dt.datetime:
        """Return when its present driver got the trip."""
        return self.accepted_at or self.created_at

    @property
    def stalled(self) -> "TripWatch | None":
        """Return the watch of a driver whose way to the pickup has stalled; None: it has not."""
        watch: TripWatch | None = getattr(self, "watch", None) if self.status == TripStatus.EN_ROUTE else None
        return watch if watch is not None and watch.stall else None

    @property
    def expected_after_delay_at(self) -> dt.datetime | None:
        """Return when the next stop is expected by the announced delay; None: there is none.

        A server of the release before takes a delay back without this column.
        """
        return self.delayed_until if self.delay_minutes else None

    @property
    def pickup_expected_at(self) -> dt.datetime:
        """Return when a driver who has not set off yet is expected: at the departure, or after the announced delay."""
        return max(self.departure_at, self.expected_after_delay_at or self.departure_at)

    @property
    def awaits_confirmation(self) -> bool:
        """Say whether the driver reported being at the pickup and no position confirms it."""
        return self.arrival_flagged and self.status == TripStatus.DRIVER_ARRIVED

    @property
    def asking_round(self) -> int:
        """Return the number of the round that drivers are asked in now: the one that runs, else the next."""
        return self.round_number if self.wave else self.round_number + 1

    def move(
        self,
        to: TripStatus,
        role: Role,
        *,
        by_id: int | None = None,
        note: str = "",
        announced: str | None = None,
        lat: float | None = None,
        lng: float | None = None,
        doubt: str = "",
        away_km: float | None = None,
        **changes: Any,
    ) -> None:
        """Move the trip to another status; nothing else assigns one.

        1. Check the table of trips.states.
        2. Compare-and-set status and version; `changes` are further columns of the same statement.
        3. Write the history: `lat` and `lng` are what the client said, `doubt` and `away_km` what the driver's
           position says of the step (trips.arrival).
        4. Publish `trip.status.updated` to the trip, its driver and staff, on commit, with the note, or with
           `announced` in its place.

        Call it inside `atomic()`, the row locked where a decision was read from it.

        Raises:
            TransitionRefused: the table forbids the step for this role, or another worker moved the trip first.
        """
        previous, note = TripStatus(self.status), clean_text(note)
        if not allowed(previous, to, role=role, flagged=self.arrival_flagged):
            raise TransitionRefused(previous, to)
        if to in EXPECTED:
            changes.setdefault("watch_at", database_now())
        changes = _columns_put_back(to, is_another_driver="driver" in changes) | changes
        former_driver_id = self.driver_id
        former = self.driver if "driver" in changes else None
        self._set_status(previous, to, changes)
        figures.count_after_commit(figures.TRIPS, status=to.value)
        TripTransition.objects.create(
            trip=self,
            from_status=previous,
            to_status=to,
            role=role,
            by_id=by_id,
            note=note,
            lat=lat,
            lng=lng,
            doubt=doubt,
            away_km=away_km,
        )
        self.announce(previous, note if announced is None else announced, former_driver_id=former_driver_id)
        if "driver" in changes:
            # All of their sockets, whatever those show: one loses the trip, the other may watch it now.
            refresh_permissions(*(groups.user(driver.user_id) for driver in (former, self.driver) if driver))
        if self.is_shared and to in FINISHED:
            self.shares.all().delete()
            refresh_permissions(groups.shared_trip(self.pk))

    def _set_status(self, previous: TripStatus, to: TripStatus, changes: dict[str, Any]) -> None:
        """Compare-and-set the status with other columns, in the database and on this instance.

        Raises:
            TransitionRefused: the trip is not as it was read.
        """
        moved = Trip.objects.filter(pk=self.pk, status=previous, version=self.version).update(
            status=to, version=F("version") + 1, **changes
        )
        if not moved:  # another worker got there first
            current = Trip.objects.values_list("status", flat=True).get(pk=self.pk)
            raise TransitionRefused(current, to)
        self.status = to
        self.version += 1
        self._assign(changes)

    def _assign(self, changes: dict[str, Any]) -> None:
        """Assign columns as they were stored by an update."""
        for name, value in changes.items():
            setattr(self, name, clean_text(value) if isinstance(value, str) else value)

    def amend(self, said: str = "", /, **changes: Any) -> None:
        """Change columns but not the status, and announce it like a step; `said` is its note. The row is locked."""
        Trip.objects.filter(pk=self.pk).update(version=F("version") + 1, **changes)
        self.version += 1
        self._assign(changes)
        self.announce(self.status, said)

    def announce(self, previous: str, note: str = "", former_driver_id: int | None = None) -> None:
        """Publish `trip.status.updated` to the trip, its drivers (also the former one) and staff."""
        audience = [groups.trip(self.pk), groups.STAFF]
        audience += [groups.driver(pk) for pk in {self.driver_id, former_driver_id} if pk]
        publish(
            events.TripStatusUpdated(
                trip_id=self.pk,
                version=self.version,
                previous=previous,
                new=self.status,
                note=clean_text(note),
                driver_name=self.driver.user.short_name if self.driver else None,
                delay_minutes=self.delay_minutes,
                delay_reason=self.delay_reason,
                arrival_confirmed=not self.awaits_confirmation,
                stops_reached=self.stops_reached,
            ),
            *audience,
        )
        if self.is_shared:
            publish(
                events.SharedTripUpdated(trip_id=self.pk, version=self.version, status=self.status),
                groups.shared_trip(self.pk),
            )


def _columns_put_back(to: TripStatus, *, is_another_driver: bool) -> dict[str, Any]:
    """Return the columns that a move puts back, unless it says otherwise of them itself."""
    columns: dict[str, Any] = {}
    if to in (TripStatus.DRIVER_ARRIVED, TripStatus.ARRIVED) or is_another_driver:
        # What was announced for a stop, or by another driver, says nothing of what comes next.
        columns |= NO_DELAY
    if to in ABOARD | FINISHED or is_another_driver:
        # A former driver knows the code, or nobody asks for it any more.
        columns |= NO_CODE
    return columns


class TripTransition(models.Model):
    """History of a trip's status: who moved it, when, from where. Never changed.

    Written by `Trip.move`; a row from driver_arrived to driver_arrived is a flagged arrival that was confirmed
    (trips.arrival), one from in_transit to in_transit a stop that was reached (trips.driving).
    """

    trip = models.ForeignKey(Trip, models.CASCADE, related_name="transitions")
    from_status = models.CharField(_("from"), max_length=20, choices=TripStatus.choices)
    to_status = models.CharField(_("to"), max_length=20, choices=TripStatus.choices)
    role = models.CharField(_("as"), max_length=10, choices=Role.choices)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("by"))
    note = PlainTextField(_("note"), max_length=300, blank=True)
    # Where the client said the driver was: a claim.
    lat = models.FloatField(null=True)
    lng = models.FloatField(null=True)
    # Why the driver's position does not confirm the step; empty: it does, or the step was not judged.
    doubt = models.CharField(_("doubt"), max_length=12, choices=Doubt.choices, blank=True, default="", db_default="")
    # From the driver's position to where the step belongs; None: not measured.
    away_km = models.FloatField(_("distance, km"), null=True)
    created_at = models.DateTimeField(_("at"), auto_now_add=True)

    class Meta:
        verbose_name = _("transition")
        verbose_name_plural = _("transitions")
        ordering = ["created_at", "pk"]
        indexes = [
            # A trip's timeline.
            models.Index(fields=["trip", "created_at"], name="transition_of_trip"),
            # Staff's filter for trips with a step that was taken far away.
            models.Index(fields=["trip"], condition=Q(doubt=Doubt.FAR), name="transition_far"),
        ]

    def __str__(self) -> str:
        return f"{self.get_from_status_display()} → {self.get_to_status_display()}"
