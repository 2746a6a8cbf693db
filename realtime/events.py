"""The event contract: every frame between server and clients as a typed, immutable struct.

Imports neither models nor Django. The JSON frame, the dashboards' fragments and docs/protocol.md come from these.
Server to client frames form one tagged union (`Frame`), client commands another (`Command`); the tag is the
`type` of the envelope. Instants are UTC, ISO 8601. Money is whole tenge, distances km, durations minutes.
"""

import datetime as dt
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, get_args
from uuid import uuid4

import msgspec
from msgspec import Meta, Struct, field

PROTOCOL = "stepper.v1"


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _event_id() -> str:
    return uuid4().hex


# Server to client


class Place(Struct, frozen=True):
    name: str
    address: str
    lat: float
    lng: float


class DriverCard(Struct, frozen=True):
    """What a passenger sees of their driver."""

    id: int
    name: str
    phone: str | None
    rating: float | None
    rating_count: int


class VehicleCard(Struct, frozen=True):
    make: str
    model: str
    colour: str
    plate: str
    seats: int
    vehicle_class: str


# The dashboards' pages: a driver's, one trip's, a user's list of trips.
Page = Literal["driver", "trip", "trips"]


class Durable(Struct, frozen=True, kw_only=True, tag_field="type"):
    """An event that is written to the outbox and delivered at least once; a duplicate has the same `id`.

    `pages`: the dashboard pages that draw it (realtime.fragments). `changes_driver`: whether it can change what a
    driver may do: their approval, whether they are online, which trips are theirs.
    """

    pages: ClassVar[frozenset[Page]]
    changes_driver: ClassVar[bool]

    id: str = field(default_factory=_event_id)
    timestamp: dt.datetime = field(default_factory=_now)

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


class OfferCreated(Durable, frozen=True, kw_only=True, tag="trip.offer.created"):
    """To one driver: a new offer, with all that its card shows."""

    pages: ClassVar[frozenset[Page]] = frozenset({"driver"})
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


class OfferAccepted(Durable, frozen=True, kw_only=True, tag="trip.offer.accepted"):
    """To the trip and its driver: the driver and vehicle that take it, and when."""

    pages: ClassVar[frozenset[Page]] = frozenset({"driver", "trip", "trips"})
    changes_driver: ClassVar[bool] = True

    trip_id: int
    offer_id: int | None
    version: int
    driver: DriverCard
    vehicle: VehicleCard
    accepted_at: dt.datetime


OfferEnd = Literal["timeout", "accepted_by_another", "cancelled", "no_longer_eligible", "declined"]


class OfferExpired(Durable, frozen=True, kw_only=True, tag="trip.offer.expired"):
    """To one driver: an offer has ended, for a reason other than that they accepted it."""

    pages: ClassVar[frozenset[Page]] = frozenset({"driver"})
    changes_driver: ClassVar[bool] = False

    trip_id: int
    offer_id: int
    reason: OfferEnd


class TripStatusUpdated(Durable, frozen=True, kw_only=True, tag="trip.status.updated"):
    """To the trip, its driver and staff. A delay is announced with previous == new."""

    pages: ClassVar[frozenset[Page]] = frozenset({"driver", "trip", "trips"})
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


class BookingConfirmed(Durable, frozen=True, kw_only=True, tag="booking.confirmed"):
    """To the trip: somebody has booked seats of it."""

    pages: ClassVar[frozenset[Page]] = frozenset({"trip", "trips"})
    changes_driver: ClassVar[bool] = False

    trip_id: int
    version: int
    booking_id: int
    seats: int
    seats_left: int


class BookingCancelled(Durable, frozen=True, kw_only=True, tag="booking.cancelled"):
    """To the trip and its driver: a booking of it is cancelled."""

    pages: ClassVar[frozenset[Page]] = frozenset({"driver", "trip", "trips"})
    changes_driver: ClassVar[bool] = True

    trip_id: int
    version: int
    booking_id: int
    seats: int
    seats_left: int
    reason: str


class Notification(Durable, frozen=True, kw_only=True):
    """To one user, on every page of theirs."""

    pages: ClassVar[frozenset[Page]] = frozenset({"driver", "trip", "trips"})
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


DriverPart = Literal["availability", "filters", "breaks", "hours", "approval", "rating"]


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

    pages: ClassVar[frozenset[Page]] = frozenset({"driver"})
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


class TripRated(Durable, frozen=True, kw_only=True, tag="trip.rated"):
    """To the trip and its driver: one side has rated the other. Without the stars, as everybody on the trip gets it."""

    pages: ClassVar[frozenset[Page]] = frozenset({"driver", "trip"})
    changes_driver: ClassVar[bool] = False

    trip_id: int
    by: Literal["driver", "organiser"]


class Eta(Struct, frozen=True):
    """Minutes until the pickup and the dropoff; None where it no longer applies."""

    pickup_min: int | None = None
    dropoff_min: int | None = None


class DriverLocationUpdated(Struct, frozen=True, kw_only=True, tag_field="type", tag="driver.location.updated"):
    """To the trip and staff: the latest position. Not in the outbox, so no `id`. `driver_id`: for the staff map."""

    timestamp: dt.datetime = field(default_factory=_now)
    trip_id: int | None
    driver_id: int
    lat: float
    lng: float
    heading_deg: float | None
    speed_kmh: float | None
    accuracy_m: float | None
    recorded_at: dt.datetime
    eta: Eta


class TripSnapshot(Struct, frozen=True, kw_only=True, tag_field="type", tag="trip.snapshot"):
    """To one socket: the state of a trip; on connect, on `trip.subscribe` and after `resync.required`."""

    timestamp: dt.datetime = field(default_factory=_now)
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
    # Open offers of the running round, and when the next round starts where none runs.
    offers_open: int
    next_look_at: dt.datetime | None
    location: DriverLocationUpdated | None


class ConnectionEstablished(Struct, frozen=True, kw_only=True, tag_field="type", tag="connection.established"):
    """To one socket, first: who it is, the intervals to keep, and the cursor."""

    timestamp: dt.datetime = field(default_factory=_now)
    protocol: str = PROTOCOL
    user_id: int
    driver_id: int | None
    server_time: dt.datetime = field(default_factory=_now)
    heartbeat_s: int
    position_trip_s: int
    position_idle_s: int
    cursor: str


class Heartbeat(Struct, frozen=True, kw_only=True, tag_field="type", tag="heartbeat", omit_defaults=True):
    """To every socket, regularly and in answer to a `ping` (then with its `ref`): the current cursor."""

    timestamp: dt.datetime = field(default_factory=_now)
    cursor: str
    ref: str | None = None


class Ack(Struct, frozen=True, kw_only=True, tag_field="type", tag="ack", omit_defaults=True):
    """The answer to a command that succeeded; sent only where the command carried a `ref`.

    The last four count what happened to the points of a `driver.location.update`.
    """

    timestamp: dt.datetime = field(default_factory=_now)
    ref: str
    trip_id: int | None = None
    offer_id: int | None = None
    status: str | None = None
    accepted: int | None = None
    dropped: int | None = None
    kept_aside: int | None = None
    clamped: int | None = None


class Error(Struct, frozen=True, kw_only=True, tag_field="type", tag="error", omit_defaults=True):
    """A refused command, named by `ref`, or a condition such as `resync.required`."""

    timestamp: dt.datetime = field(default_factory=_now)
    code: str
    message: str
    ref: str | None = None
    fields: dict[str, list[str]] | None = None
    retry_after_s: int | None = None


DurableFrame = (
    TripRequested
    | OfferCreated
    | OfferAccepted
    | OfferExpired
    | TripStatusUpdated
    | BookingConfirmed
    | BookingCancelled
    | NotificationDriver
    | NotificationPassenger
    | NotificationStaff
    | DriverUpdated
    | TripRated
)
DURABLE: tuple[type[Durable], ...] = get_args(DurableFrame)
Frame = DurableFrame | DriverLocationUpdated | TripSnapshot | ConnectionEstablished | Heartbeat | Ack | Error


# Client to server

# No database keeps U+0000 in a text.
_NO_NUL = r"^[^\x00]*$"
Text = Annotated[str, Meta(max_length=300, pattern=_NO_NUL)]
Reason = Annotated[str, Meta(max_length=200, pattern=_NO_NUL)]
Ref = Annotated[str, Meta(max_length=64)]
Id = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Lat = Annotated[float, Meta(ge=-90, le=90)]
Lng = Annotated[float, Meta(ge=-180, le=180)]


class CommandBase(Struct, frozen=True, kw_only=True, tag_field="type"):
    """Every command may carry a `ref` that its answer echoes."""

    ref: Ref | None = None


class Filters(Struct, frozen=True, kw_only=True):
    """A driver's filters; what is left out stays as it is, null removes the limit."""

    max_distance_km: Annotated[float, Meta(gt=0, le=1000)] | msgspec.UnsetType | None = msgspec.UNSET
    min_earnings: Annotated[int, Meta(ge=0, le=100_000_000)] | msgspec.UnsetType | None = msgspec.UNSET
    trip_types: list[Literal["private", "shared"]] | msgspec.UnsetType = msgspec.UNSET
    accepts_long_distance: bool | msgspec.UnsetType = msgspec.UNSET


class Point(Struct, frozen=True, kw_only=True):
    """One fix of the position. `recorded_at` is by the phone's clock; left out: now."""

    lat: Lat
    lng: Lng
    heading_deg: Annotated[float, Meta(ge=0, le=360)] | None = None
    speed_kmh: Annotated[float, Meta(ge=0, le=400)] | None = None
    accuracy_m: Annotated[float, Meta(ge=0, le=100_000)] | None = None
    recorded_at: Annotated[dt.datetime, Meta(tz=True)] | None = None


class DriverSubscribe(CommandBase, frozen=True, kw_only=True, tag="driver.subscribe"):
    filters: Filters | None = None


class DriverUnsubscribe(CommandBase, frozen=True, kw_only=True, tag="driver.unsubscribe"):
    pass


class TripSubscribe(CommandBase, frozen=True, kw_only=True, tag="trip.subscribe"):
    trip_ids: Annotated[list[Id], Meta(min_length=1, max_length=100)]


class TripUnsubscribe(CommandBase, frozen=True, kw_only=True, tag="trip.unsubscribe"):
    trip_ids: Annotated[list[Id], Meta(min_length=1, max_length=100)]


class OfferAccept(CommandBase, frozen=True, kw_only=True, tag="trip.offer.accept"):
    offer_id: Id


class OfferDecline(CommandBase, frozen=True, kw_only=True, tag="trip.offer.decline"):
    offer_id: Id
    reason: Reason = ""


class LocationUpdate(CommandBase, frozen=True, kw_only=True, tag="driver.location.update"):
    points: Annotated[list[Point], Meta(min_length=1, max_length=100)]


class AvailabilityUpdate(CommandBase, frozen=True, kw_only=True, tag="driver.availability.update"):
    availability: Literal["available", "offline"]


class StatusUpdate(CommandBase, frozen=True, kw_only=True, tag="trip.status.update"):
    """`status` is the next state, or `delayed` (with delay_minutes), `released` or `no_show`."""

    trip_id: Id
    status: Annotated[str, Meta(max_length=20)]
    note: Text = ""
    lat: Lat | None = None
    lng: Lng | None = None
    delay_minutes: Annotated[int, Meta(ge=1, le=1440)] | None = None
    delay_reason: Reason = ""


class Resume(CommandBase, frozen=True, kw_only=True, tag="resume"):
    cursor: Annotated[str, Meta(max_length=40)]


class Ping(CommandBase, frozen=True, kw_only=True, tag="ping"):
    pass


Command = (
    DriverSubscribe
    | DriverUnsubscribe
    | TripSubscribe
    | TripUnsubscribe
    | OfferAccept
    | OfferDecline
    | LocationUpdate
    | AvailabilityUpdate
    | StatusUpdate
    | Resume
    | Ping
)

_encoder = msgspec.json.Encoder()
_command_decoder: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)
_frame_decoder: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)


def encode(frame: Frame | Command) -> str:
    return _encoder.encode(frame).decode()


encode_bytes: Callable[[Frame], bytes] = _encoder.encode


def with_cursor(encoded: str, cursor: str) -> str:
    """Return an encoded frame of the outbox as it is sent: with the cursor as its last member."""
    return f'{encoded[:-1]},"cursor":"{cursor}"}}'


def decode_command(text: str | bytes) -> Command:
    """Decode a command of a client.

    Raises:
        msgspec.ValidationError: an unknown type or a wrong field
        msgspec.DecodeError: not JSON
    """
    return _command_decoder.decode(text)


def decode_frame(text: str | bytes) -> Frame:
    """Decode a frame of the server, from a row of the outbox or in a client; the cursor is ignored."""
    return _frame_decoder.decode(text)


def tag(frame: Struct) -> str:
    """Return the `type` of a frame or command; msgspec keeps the tag in the class's configuration."""
    return str(type(frame).__struct_config__.tag)
