"""How many trips one account may have: without a driver, at the same time, and cancelled late within a day.

Without these limits one passenger could occupy every driver around. Staff who steer trips book for people who call, so
they are not limited. An account with a number of its own (a hotel) has that instead of the settings' number.
"""

import datetime as dt

from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from msgspec import Struct

from stepper.db.clock import database_now
from stepper.errors import Conflict
from stepper.models import ServiceSettings, User
from stepper.staff_words import OR_ASK, ask_staff
from stepper.templatetags.units import when_within

from .models import Trip, TripQuerySet, TripTransition
from .states import ASSIGNED, OPEN, Role, TripStatus

DAY = dt.timedelta(days=1)
# The statuses of trips that count. Not ARRIVED: only the driver's last step is missing, and a driver who forgets it
# must not keep the passenger from booking.
_COUNTED = sorted((OPEN | ASSIGNED) - {TripStatus.ARRIVED})


class Account(Struct, frozen=True):
    """An account whose row is locked. `own_number`: its limit of trips at the same time; None: as in the settings."""

    user_id: int
    own_number: int | None
    late_cancels: int
    is_active: bool

    def limit(self, number: int) -> int:
        """Return the larger of a limit and the account's own number."""
        return max(number, self.own_number or 0)


class Plan(Struct, frozen=True):
    """A planned trip. `traveller_phone` empty: the organiser travels."""

    departure_at: dt.datetime
    ends_at: dt.datetime
    traveller_phone: str
    timezone: str


def lock_account(user: User) -> Account:
    """Lock the user's row, before all other locks, so that an account's bookings run one after another."""
    late = _late_cancels(database_now()).filter(by=OuterRef("pk")).order_by().values("by")
    number = Subquery(late.annotate(number=Count("pk")).values("number"), output_field=IntegerField())
    rows = User.objects.filter(pk=user.pk).select_for_update(no_key=True).order_by()
    own_number, late_cancels, is_active = (
        rows.annotate(late_cancels=Coalesce(number, 0))
        .values_list("max_overlapping_trips", "late_cancels", "is_active")
        .get()
    )
    return Account(user.pk, own_number, late_cancels, is_active)


def require_room(account: Account, plan: Plan, settings: ServiceSettings) -> None:
    """Check that the locked account may book this trip.

    Raises:
        Conflict: booking.cancelled_too_often, booking.too_many, booking.overlapping
    """
    _require_few_late_cancels(account, plan, settings)
    trips = Trip.objects.filter(organiser_id=account.user_id, status__in=_COUNTED)
    at_once = _at_once(plan, settings)
    counts = trips.aggregate(
        waiting=Count("pk", filter=Q(status__in=sorted(OPEN))),
        traveller=Count("pk", filter=at_once & Q(traveller_phone=plan.traveller_phone)),
        account=Count("pk", filter=at_once),
    )
    if counts["waiting"] >= account.limit(settings.max_open_trips):
        raise Conflict("booking.too_many", _too_many(counts["waiting"]))
    _require_few_at_once(
        account,
        plan,
        settings=settings,
        others=trips.filter(at_once),
        of_traveller=counts["traveller"],
        of_account=counts["account"],
    )


def require_free_time(account: Account, plan: Plan, *, settings: ServiceSettings, trip: Trip) -> None:
    """Check that the locked account may move this trip to the time of the plan.

    Raises:
        Conflict: booking.overlapping
    """
    others = Trip.objects.filter(organiser_id=account.user_id, status__in=_COUNTED).exclude(pk=trip.pk)
    others = others.filter(_at_once(plan, settings))
    same = Count("pk", filter=Q(traveller_phone=plan.traveller_phone))
    counts = others.aggregate(traveller=same, account=Count("pk"))
    _require_few_at_once(
        account, plan, settings=settings, others=others, of_traveller=counts["traveller"], of_account=counts["account"]
    )


def _at_once(plan: Plan, settings: ServiceSettings) -> Q:
    """Return the condition for trips at the same time as the plan: less than `booking_gap_min` from its estimated span.

    A trip that should be over but is not counts as lasting until now.
    """
    gap = dt.timedelta(minutes=settings.booking_gap_min)
    at_once = Q(departure_at__lt=plan.ends_at + gap)
    if plan.departure_at - gap > database_now():
        at_once &= Q(ends_at__gt=plan.departure_at - gap)
    return at_once


def _require_few_at_once(
    account: Account, plan: Plan, *, settings: ServiceSettings, others: TripQuerySet, of_traveller: int, of_account: int
) -> None:
    """Refuse a trip at a time when the traveller or the account has too many. Raises Conflict: booking.overlapping."""
    if of_traveller >= (account.own_number or settings.max_overlapping_traveller):
        others = others.filter(traveller_phone=plan.traveller_phone)
        number = of_traveller
    elif of_account >= (account.own_number or settings.max_overlapping_account):
        number = of_account
    else:
        return
    rows = others.order_by("departure_at", "pk").values_list("departure_at", "timezone")[:3]
    words = ngettext(
        "You have a trip at that time already (%(times)s). Choose another time, cancel it, or book for somebody else.",
        "You have %(number)d trips at that time already (%(times)s). Choose another time, or cancel one of them first.",
        number,
    )
    times = ", ".join(when_within(*row) for row in rows)
    raise Conflict("booking.overlapping", words % {"number": number, "times": times})


def _too_many(waiting: int) -> str:
    words = ngettext(
        "You have %(number)d trip that waits for a driver; cancel it or wait until it is taken.",
        "You have %(number)d trips that wait for a driver; cancel one of them or wait until it is taken.",
        waiting,
    )
    return words % {"number": waiting}


# Cancelled after a driver had accepted


def _late_cancels(now: dt.datetime) -> QuerySet[TripTransition]:
    """Return cancellations by passengers in the last 24 hours, after a driver accepted and before the arrival.

    Cancellations by staff, a driver or the system do not count.
    """
    return TripTransition.objects.filter(
        role=Role.ORGANISER,
        from_status__in=[TripStatus.ACCEPTED, TripStatus.EN_ROUTE],
        to_status=TripStatus.CANCELLED,
        created_at__gt=now - DAY,
    )


def late_cancels(user: User, settings: ServiceSettings) -> tuple[int, int]:
    """Return how many late cancellations within 24 hours keep the account from booking, and how many there are."""
    return (
        max(settings.late_cancels_per_day, user.max_overlapping_trips or 0),
        _late_cancels(database_now()).filter(by=user).count(),
    )


def _require_few_late_cancels(account: Account, plan: Plan, settings: ServiceSettings) -> None:
    """Refuse an account that cancelled late too often. Raises Conflict: booking.cancelled_too_often.

    Only booking is refused. Refusing to cancel would let the driver drive to the pickup for nothing.
    """
    limit = account.limit(settings.late_cancels_per_day)
    if account.late_cancels < limit:
        return
    own = _late_cancels(database_now()).filter(by=account.user_id).order_by("-created_at")
    oldest = own.values_list("created_at", flat=True)[limit - 1 : limit].first()
    words = _("You cancelled %(number)d trips after a driver had accepted them. You can book again %(when)s.")
    until = when_within((oldest or database_now()) + DAY, plan.timezone)
    refusal = Conflict("booking.cancelled_too_often", words % {"number": account.late_cancels, "when": until})
    raise ask_staff(refusal, OR_ASK, support=settings.support)
