"""What the server sends: durable events, positions, snapshots, answers. Its union is `Frame`.

Instants are UTC, ISO 8601. Money is whole tenge, distances km, durations minutes.
"""

import datetime as dt
from typing import Any, ClassVar, Literal, get_args
from uuid import uuid4

from msgspec import Struct, field

from realtime.events.answers import Ack, ConnectionEstablished, Error, Heartbeat, now
from realtime.events.locations import DriverLocationUpdated, OpsMap, SharedLocation
from realtime.events.parts import DriverCard, Place, Stop, VehicleCard, Wish


def _event_id() -> str:
    return uuid4().hex


# The dashboards' pages: a driver's, their earnings', one trip's, a user's list of trips, an application to drive with
# its documents, a trip that is watched by a link; the operations room, and in it one trip's and one driver's.
Page = Literal["driver", "earnings", "trip", "trips", "apply", "shared", "ops", "ops_trip", "ops_driver"]


class Durable(Struct, frozen=True, kw_only=True, tag_field="type"):
    """An event that is written to the outbox and delivered at least once; a duplicate has the same `id`.

    `pages`: the dashboard pages that draw it (realtime.page_updates). `changes_driver`: whether it can change what a
    driver may do: their approval, whether they are online, which trips are theirs.
    """

    pages: ClassVar[frozenset[Page]]
    changes_driver: ClassVar[bool]

    id: str = field(default_factory=_event_id)
    timestamp: dt.datetime = field(default_factory=now)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in ("pages", "changes_driver"):
            if not hasattr(cls, name):
                raise TypeError(f"{cls.__name__} does not declare {name}")


class TripRequested(Durable, frozen=True, kw_only=True, tag="trip.requested"):
    """To staff: a trip needs a driver."""

    pages: ClassVar[frozenset[Page]] = frozenset()
    changes_driver: ClassVar[bool] = False

    trip_id: int
    version: int
    title: str
    pickup: Place
    dropoff: Place
    departure_at: dt.datetime
    seats: int
    fare: int


class CallAnnounced(Durable, frozen=True, kw_only=True, tag="call.announced"):
    """To a member of staff: somebody calls. `call_id`: the exchange's, empty where it gives none."""

    pages: ClassVar[frozenset[Page]] = frozenset({"trips", "ops", "ops_trip", "ops_driver"})
    changes_driver: ClassVar[bool] = False

    phone: str
    call_id: str


class OfferCreated(Durable, frozen=True, kw_only=True, tag="trip.offer.created"):
    """To one driver: a new offer, with all that its card shows."""

    pages: ClassVar[frozenset[Page]] = frozenset({"driver", "earnings", "ops_driver"})
    changes_driver: ClassVar[bool] = False

    trip_id: int
    offer_id: int
    version: int
    trip_type: str
    title: str
    pickup: Place
    dropoff: Place
    departure_at: dt.datetime
    is_now: bool
    timezone: str
    seats: int
    vehicle_seats: int
    bags: int
    fare: int
    earnings: int
    distance_km: float
    pickup_min: int
    trip_km: float
    trip_min: int
    urgency: str
    difficulty: str
    created_at: dt.datetime
    expires_at: dt.datetime
    cash: int
    stops: list[Stop] = field(default_factory=list)
    wishes: list[Wish] = field(default_factory=list)

    @property
    def earnings_per_km(self) -> float:
        """Earnings by the kilometres driven for them, to the pickup and on: what a driver compares offers by."""
        return self.earnings / max(self.distance_km + self.trip_km, 0.1)


class OfferAccepted(Durable, frozen=True, kw_only=True, tag="trip.offer.accepted"):
    """To the trip and its driver: the driver and vehicle that take it, and when."""

    pages: ClassVar[frozenset[Page]] = frozenset({"driver", "trip", "trips", "ops_trip", "ops_driver"})
    changes_driver: ClassVar[bool] = True

    trip_id: int
    offer_id: int | None
    version: int
    driver: DriverCard
    vehicle: VehicleCard
    accepted_at: dt.datetime


OfferEnd = Literal["timeout", "accepted_by_another", "cancelled", "changed", "no_longer_eligible", "declined"]


class OfferExpired(Durable, frozen=True, kw_only=True, tag="trip.offer.expired"):
    """To one driver: an offer has ended, for a reason other than that they accepted it."""

    pages: ClassVar[frozenset[Page]] = frozenset({"driver", "ops_trip", "ops_driver"})
    changes_driver: ClassVar[bool] = False

    trip_id: int
    offer_id: int
    reason: OfferEnd


class TripStatusUpdated(Durable, frozen=True, kw_only=True, tag="trip.status.updated"):
    """To the trip, its driver and staff. A delay and a stop that was reached are announced with previous == new."""

    pages: ClassVar[frozenset[Page]] = frozenset({"driver", "earnings", "trip", "trips", "ops_trip", "ops_driver"})
    changes_driver: ClassVar[bool] = True

    trip_id: int
    version: int
    previous: str
    new: str
    note: str = ""
    driver_name: str | None = None
    delay_minutes: int = 0
    delay_reason: str = ""
    # False: the driver reported the arrival, and no position of theirs confirms it.
    arrival_confirmed: bool = True
    # How many of the trip's stops the driver has marked as reached.
    stops_reached: int = 0


class SharedTripUpdated(Durable, frozen=True, kw_only=True, tag="trip.shared.updated"):
    """To the pages that watch a trip by a link: it changed. They have no other event of the trip."""

    pages: ClassVar[frozenset[Page]] = frozenset({"shared"})
    changes_driver: ClassVar[bool] = False

    trip_id: int
    version: int
    status: str


class BookingConfirmed(Durable, frozen=True, kw_only=True, tag="booking.confirmed"):
    """To the trip: somebody has booked seats of it."""

    pages: ClassVar[frozenset[Page]] = frozenset({"trip", "trips", "ops_trip"})
    changes_driver: ClassVar[bool] = False

    trip_id: int
    version: int
    booking_id: int
    seats: int
    seats_left: int


class BookingCancelled(Durable, frozen=True, kw_only=True, tag="booking.cancelled"):
    """To the trip and its driver: a booking of it is cancelled."""

    pages: ClassVar[frozenset[Page]] = frozenset({"driver", "trip", "trips", "ops_trip", "ops_driver"})
    changes_driver: ClassVar[bool] = True

    trip_id: int
    version: int
    booking_id: int
    seats: int
    seats_left: int
    reason: str


class Notification(Durable, frozen=True, kw_only=True):
    """To one user, on every page of theirs."""

    pages: ClassVar[frozenset[Page]] = frozenset(
        {"driver", "earnings", "trip", "trips", "apply", "ops", "ops_trip", "ops_driver"}
    )
    changes_driver: ClassVar[bool] = False

    notification_id: int
    title: str
    message: str
    priority: str
    category: str
    action_url: str


class NotificationDriver(Notification, frozen=True, kw_only=True, tag="notification.driver"):
    """To a driver."""


class NotificationPassenger(Notification, frozen=True, kw_only=True, tag="notification.passenger"):
    """To a passenger."""


class NotificationStaff(Notification, frozen=True, kw_only=True, tag="notification.staff"):
    """To a member of staff: something needs their attention."""


class NotificationRead(Durable, frozen=True, kw_only=True, tag="notification.read"):
    """To one user: they have read a notification on one of their devices; None: all, or all of `category`."""

    pages: ClassVar[frozenset[Page]] = Notification.pages
    changes_driver: ClassVar[bool] = False

    notification_id: int | None
    category: str | None
    # How many are unread now.
    unread: int


DriverPart = Literal["availability", "filters", "breaks", "hours", "approval", "rating", "navigation", "trips"]


class DriverFilters(Struct, frozen=True):
    """Which trips a driver wants to be offered; None: no limit."""

    max_distance_km: float | None
    min_earnings: int | None
    trip_types: list[str]
    accepts_long_distance: bool


class DriverUpdated(Durable, frozen=True, kw_only=True, tag="driver.updated"):
    """To one driver: which parts of their own state changed (`changed`), and the whole state.

    The start and the end of a trip change the availability as well; then only `trip.status.updated` is sent.
    """

    pages: ClassVar[frozenset[Page]] = frozenset({"driver", "earnings", "ops_driver"})
    changes_driver: ClassVar[bool] = True

    driver_id: int
    changed: list[DriverPart]
    availability: str
    # The driver's own switch; while they drive a trip, whether they are online when it ends.
    is_online: bool
    # When the driver is put offline for inactivity; None: they have not been warned.
    auto_offline_at: dt.datetime | None
    on_break_until: dt.datetime | None
    approval: str
    filters: DriverFilters
    rating: float | None
    rating_count: int


class DocumentState(Struct, frozen=True):
    """The newest document of a kind that somebody has sent; `reason`: why it was rejected."""

    kind: str
    status: str
    reason: str
    expires_on: dt.date | None


class ApplicationUpdated(Durable, frozen=True, kw_only=True, tag="driver.application.updated"):
    """To one user: how their application to drive stands, and their documents."""

    pages: ClassVar[frozenset[Page]] = frozenset({"apply"})
    changes_driver: ClassVar[bool] = False

    state: Literal["draft", "checking", "changes", "approved", "rejected", "suspended"]
    documents: list[DocumentState]


class TripRated(Durable, frozen=True, kw_only=True, tag="trip.rated"):
    """To the trip and its driver: one side has rated the other. Without the stars, as everybody on the trip gets it."""

    pages: ClassVar[frozenset[Page]] = frozenset({"driver", "trip", "ops_trip", "ops_driver"})
    changes_driver: ClassVar[bool] = False

    trip_id: int
    by: Literal["driver", "organiser"]


Side = Literal["organiser", "driver"]


class TripMessageEvent(Durable, frozen=True, kw_only=True):
    """To the organiser and the driver of a trip: something about their messages, without what these say.

    The text is read where the right to it is checked: the log keeps events for a day, a message is shown to nobody who
    lost the trip meanwhile, and not any more where staff have hidden it.
    """

    pages: ClassVar[frozenset[Page]] = frozenset({"driver", "trip", "trips", "ops_trip", "ops_driver"})
    changes_driver: ClassVar[bool] = False

    trip_id: int
    message_id: int


class TripMessageCreated(TripMessageEvent, frozen=True, kw_only=True, tag="trip.message.created"):
    """`by` has written a message."""

    by: Side


class TripMessageRead(TripMessageEvent, frozen=True, kw_only=True, tag="trip.message.read"):
    """`by` has read the messages of the other side up to `message_id`."""

    by: Side


class TripMessageHidden(TripMessageEvent, frozen=True, kw_only=True, tag="trip.message.hidden"):
    """Staff have hidden a message, or show it again."""

    hidden: bool


class TripSnapshot(Struct, frozen=True, kw_only=True, tag_field="type", tag="trip.snapshot"):
    """To one socket: the state of a trip; on connect, on `trip.subscribe` and after `resync.required`."""

    timestamp: dt.datetime = field(default_factory=now)
    trip_id: int
    version: int
    status: str
    pickup: Place
    dropoff: Place
    departure_at: dt.datetime
    timezone: str
    seats: int
    fare: int
    driver: DriverCard | None
    vehicle: VehicleCard | None
    delay_minutes: int
    delay_reason: str
    arrival_confirmed: bool
    stops: list[Stop]
    wishes: list[Wish]
    # Open offers of the running round, and when the next round starts if none runs.
    offers_open: int
    next_look_at: dt.datetime | None
    location: DriverLocationUpdated | None


DurableFrame = (
    TripRequested
    | CallAnnounced
    | OfferCreated
    | OfferAccepted
    | OfferExpired
    | TripStatusUpdated
    | SharedTripUpdated
    | BookingConfirmed
    | BookingCancelled
    | NotificationDriver
    | NotificationPassenger
    | NotificationStaff
    | NotificationRead
    | DriverUpdated
    | ApplicationUpdated
    | TripRated
    | TripMessageCreated
    | TripMessageRead
    | TripMessageHidden
)
DURABLE: tuple[type[Durable], ...] = get_args(DurableFrame)
Frame = (
    DurableFrame
    | DriverLocationUpdated
    | SharedLocation
    | OpsMap
    | TripSnapshot
    | ConnectionEstablished
    | Heartbeat
    | Ack
    | Error
)
