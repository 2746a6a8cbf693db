"""The states of trips, bookings and offers, and the one table of who may move a trip where.

A leaf without the ORM: the table is data, `allowed` reads it. The only code that assigns a trip's status is
`trips.models.Trip.move`, which asks this table first.
"""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class TripStatus(TextChoices):
    DRAFT = "draft", _("Draft")
    PUBLISHED = "published", _("Published")
    OFFERED = "offered", _("Asking drivers")
    UNFILLED = "unfilled", _("Without a driver")
    ACCEPTED = "accepted", _("Driver found")
    EN_ROUTE = "en_route", _("Driver on the way")
    DRIVER_ARRIVED = "driver_arrived", _("Driver at the pickup")
    PASSENGERS_BOARDED = "passengers_boarded", _("Passengers on board")
    IN_TRANSIT = "in_transit", _("On the road")
    ARRIVED = "arrived", _("At the destination")
    COMPLETED = "completed", _("Completed")
    CANCELLED = "cancelled", _("Cancelled")


# What a passenger reads of a status where staff need to tell more apart.
PASSENGER_WORDS = {
    TripStatus.DRAFT: _("Not booked yet"),
    TripStatus.PUBLISHED: _("Booked"),
    TripStatus.OFFERED: _("Looking for a driver"),
    TripStatus.UNFILLED: _("No driver yet"),
    TripStatus.PASSENGERS_BOARDED: _("On board"),
}


class Role(TextChoices):
    """In what capacity somebody moves a trip."""

    ORGANISER = "organiser", _("Passenger")
    DRIVER = "driver", _("Driver")
    STAFF = "staff", _("Staff")
    SYSTEM = "system", _("System")


class BookingStatus(TextChoices):
    PENDING = "pending", _("Pending")
    CONFIRMED = "confirmed", _("Confirmed")
    CANCELLED = "cancelled", _("Cancelled")
    COMPLETED = "completed", _("Completed")


class OfferStatus(TextChoices):
    PENDING = "pending", _("Open")
    ACCEPTED = "accepted", _("Accepted")
    DECLINED = "declined", _("Declined")
    EXPIRED = "expired", _("Expired")
    WITHDRAWN = "withdrawn", _("Withdrawn")


# Why an offer was withdrawn from its driver: another trip of theirs overlaps, or one of another driver of their
# vehicle; they could not be asked about the trip any more, as they or their vehicle changed.
DRIVER_BUSY, VEHICLE_BUSY, NO_LONGER_ELIGIBLE = "driver_busy", "vehicle_busy", "no_longer_eligible"
# Staff gave the trip to the driver who was being asked.
ASSIGNED_BY_STAFF = "assigned"


class DeclineReason(TextChoices):
    """What the dashboard offers to choose; programs may send words of their own."""

    TOO_FAR = "too_far", _("Too far away")
    LOW_FARE = "low_fare", _("Pays too little")
    WRONG_WAY = "wrong_way", _("Wrong direction")
    BREAK = "break", _("I need a break")
    OTHER = "other", _("Something else")


class CancelReason(TextChoices):
    """Why a passenger cancels, as the page offers to choose; stored, so a value never changes its meaning."""

    PLANS_CHANGED = "plans_changed", _("Plans changed")
    WAITED_TOO_LONG = "waited_too_long", _("Waiting too long")
    WRONG_TRIP = "wrong_trip", _("Wrong place or time")
    OTHER_WAY = "other_way", _("Found another way")
    # The driver does not read this one; staff have it among what they should see to.
    DRIVER_ASKED = "driver_asked", _("The driver asked to cancel")
    OTHER = "other", _("Another reason")


class TripType(TextChoices):
    PRIVATE = "private", _("Private")
    SHARED = "shared", _("Shared")


class VehicleClass(TextChoices):
    SEDAN = "sedan", _("Sedan")
    SUV = "suv", _("SUV")
    VAN = "van", _("Van")
    BUS = "bus", _("Bus")


class Urgency(TextChoices):
    URGENT = "urgent", _("Urgent")
    HIGH = "high", _("High")
    NORMAL = "normal", _("Normal")
    LOW = "low", _("Low")


class Difficulty(TextChoices):
    EASY = "easy", _("Easy")
    NORMAL = "normal", _("Standard")
    CHALLENGING = "challenging", _("Challenging")
    DIFFICULT = "difficult", _("Difficult")


class Stall(TextChoices):
    """What is wrong with a driver's way to the pickup."""

    STANDING = "standing", _("Standing still")
    AWAY = "away", _("Moving away")
    DARK = "dark", _("No position")


class Doubt(TextChoices):
    """Why a driver's position does not confirm their step."""

    NO_POSITION = "no_position", _("No position")
    FAR = "far", _("Far away")


class DriverTag(TextChoices):
    """What passengers may say of their driver beside the stars. Stored by its value; none is a part of another."""

    SAFE_DRIVING = "safe_driving", _("Safe driving")
    CLEAN_CAR = "clean_car", _("Clean car")
    FRIENDLY = "friendly", _("Friendly")
    ON_TIME = "on_time", _("On time")
    LATE = "late", _("Came late")
    WRONG_ROUTE = "wrong_route", _("Wrong route")
    RECKLESS = "reckless", _("Drove dangerously")
    DIRTY_CAR = "dirty_car", _("Dirty car")
    RUDE = "rude", _("Impolite")


class PassengerTag(TextChoices):
    """What drivers may say of their passenger."""

    FRIENDLY = "friendly", _("Friendly")
    READY = "ready", _("Ready on time")
    CAREFUL = "careful", _("Careful with the car")
    KEPT_WAITING = "kept_waiting", _("Kept me waiting")
    WRONG_PICKUP = "wrong_pickup", _("Not at the pickup")
    LEFT_DIRT = "left_dirt", _("Left the car dirty")
    RUDE = "rude", _("Impolite")


S, R = TripStatus, Role
# Who rates -> what they may choose.
TAGS: dict[str, type[DriverTag] | type[PassengerTag]] = {R.ORGANISER: DriverTag, R.DRIVER: PassengerTag}

# (from, to) -> who. What is not here is refused.
TRANSITIONS: dict[tuple[TripStatus, TripStatus], frozenset[Role]] = {
    (S.DRAFT, S.PUBLISHED): frozenset({R.ORGANISER, R.STAFF}),
    (S.PUBLISHED, S.OFFERED): frozenset({R.SYSTEM}),
    (S.PUBLISHED, S.UNFILLED): frozenset({R.SYSTEM}),
    (S.OFFERED, S.UNFILLED): frozenset({R.SYSTEM}),
    (S.UNFILLED, S.OFFERED): frozenset({R.SYSTEM, R.ORGANISER, R.STAFF}),
    (S.OFFERED, S.ACCEPTED): frozenset({R.DRIVER, R.STAFF}),
    (S.PUBLISHED, S.ACCEPTED): frozenset({R.STAFF}),
    (S.UNFILLED, S.ACCEPTED): frozenset({R.STAFF}),
    (S.ACCEPTED, S.OFFERED): frozenset({R.DRIVER, R.STAFF}),
    (S.EN_ROUTE, S.OFFERED): frozenset({R.DRIVER, R.STAFF}),
    # From one driver to another, before anybody has boarded.
    (S.ACCEPTED, S.ACCEPTED): frozenset({R.STAFF}),
    (S.EN_ROUTE, S.ACCEPTED): frozenset({R.STAFF}),
    (S.DRIVER_ARRIVED, S.ACCEPTED): frozenset({R.STAFF}),
    (S.ACCEPTED, S.EN_ROUTE): frozenset({R.DRIVER}),
    (S.ACCEPTED, S.DRIVER_ARRIVED): frozenset({R.DRIVER, R.STAFF}),
    (S.EN_ROUTE, S.DRIVER_ARRIVED): frozenset({R.DRIVER, R.STAFF}),
    (S.DRIVER_ARRIVED, S.PASSENGERS_BOARDED): frozenset({R.DRIVER}),
    (S.PASSENGERS_BOARDED, S.IN_TRANSIT): frozenset({R.DRIVER}),
    (S.IN_TRANSIT, S.ARRIVED): frozenset({R.DRIVER}),
    (S.ARRIVED, S.COMPLETED): frozenset({R.DRIVER, R.STAFF}),
    # A step that was not taken is taken back.
    (S.DRIVER_ARRIVED, S.EN_ROUTE): frozenset({R.STAFF}),
    (S.ARRIVED, S.IN_TRANSIT): frozenset({R.STAFF}),
    # Another driver takes the passengers on (trips.handover): the trip has a further leg.
    (S.PASSENGERS_BOARDED, S.ACCEPTED): frozenset({R.STAFF}),
    (S.IN_TRANSIT, S.ACCEPTED): frozenset({R.STAFF}),
    # The driver cannot say so: their phone is dead.
    (S.PASSENGERS_BOARDED, S.COMPLETED): frozenset({R.STAFF}),
    (S.IN_TRANSIT, S.COMPLETED): frozenset({R.STAFF}),
    (S.DRAFT, S.CANCELLED): frozenset({R.ORGANISER, R.STAFF, R.SYSTEM}),
    (S.PUBLISHED, S.CANCELLED): frozenset({R.ORGANISER, R.STAFF, R.SYSTEM}),
    (S.OFFERED, S.CANCELLED): frozenset({R.ORGANISER, R.STAFF, R.SYSTEM}),
    (S.UNFILLED, S.CANCELLED): frozenset({R.ORGANISER, R.STAFF, R.SYSTEM}),
    (S.ACCEPTED, S.CANCELLED): frozenset({R.ORGANISER, R.STAFF, R.SYSTEM}),
    (S.EN_ROUTE, S.CANCELLED): frozenset({R.ORGANISER, R.STAFF, R.SYSTEM}),
    # The organiser while the arrival is flagged, the driver (no-show) while it is not: see `allowed`.
    (S.DRIVER_ARRIVED, S.CANCELLED): frozenset({R.ORGANISER, R.DRIVER, R.STAFF}),
    (S.PASSENGERS_BOARDED, S.CANCELLED): frozenset({R.STAFF}),
    (S.IN_TRANSIT, S.CANCELLED): frozenset({R.STAFF}),
}

# Nobody drives it yet: it is being offered or waits to be.
OPEN = frozenset({S.PUBLISHED, S.OFFERED, S.UNFILLED})
# A driver has it and has not finished.
ASSIGNED = frozenset({S.ACCEPTED, S.EN_ROUTE, S.DRIVER_ARRIVED, S.PASSENGERS_BOARDED, S.IN_TRANSIT, S.ARRIVED})
# The driver is driving it now, which makes them busy; one at a time.
DRIVING = ASSIGNED - {S.ACCEPTED}
# Passengers sit in the vehicle.
ABOARD = frozenset({S.PASSENGERS_BOARDED, S.IN_TRANSIT, S.ARRIVED})
# In these a trip is handed over; before them staff take it off its driver (trips.assignment).
HANDED_OVER_IN = ABOARD - {S.ARRIVED}
FINISHED = frozenset({S.COMPLETED, S.CANCELLED})
# The driver is still expected at the pickup: what trips.watch checks.
EXPECTED = frozenset({S.ACCEPTED, S.EN_ROUTE})
# The trip has a driver, and no passenger has boarded yet.
BEFORE_BOARDING = EXPECTED | {S.DRIVER_ARRIVED}

# The order a driver steps through; `trip-next-step` offers the successor.
STEPS = (S.ACCEPTED, S.EN_ROUTE, S.DRIVER_ARRIVED, S.PASSENGERS_BOARDED, S.IN_TRANSIT, S.ARRIVED, S.COMPLETED)


def allowed(current: str, wanted: str, *, role: str, flagged: bool = False) -> bool:
    """Say whether `role` may move a trip from `current` to `wanted`.

    `flagged`: no position confirms that the driver is at the pickup. Then the organiser may still cancel and there is
    no no-show; once the arrival is confirmed it is the other way round.
    """
    if (current, wanted) == (S.DRIVER_ARRIVED, S.CANCELLED) and role == (R.DRIVER if flagged else R.ORGANISER):
        return False
    return Role(role) in TRANSITIONS.get((TripStatus(current), TripStatus(wanted)), frozenset())


def next_step(current: str) -> TripStatus | None:
    """Return the status that the driver's next button leads to; None where there is none."""
    if current not in STEPS or current == S.COMPLETED:
        return None
    return STEPS[STEPS.index(TripStatus(current)) + 1]
