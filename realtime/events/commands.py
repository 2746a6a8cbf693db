"""What clients send. Their union is `Command`; limits of length and range are part of the types."""

import datetime as dt
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from stepper.time_zones import USABLE_YEARS

# No database keeps U+0000 in a text.
_NO_NUL = r"^[^\x00]*$"
Text = Annotated[str, Meta(max_length=300, pattern=_NO_NUL)]
Reason = Annotated[str, Meta(max_length=200, pattern=_NO_NUL)]
Key = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")]
Ref = Annotated[str, Meta(max_length=64)]
Id = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Lat = Annotated[float, Meta(ge=-90, le=90)]
Lng = Annotated[float, Meta(ge=-180, le=180)]


class CommandBase(Struct, frozen=True, kw_only=True, tag_field="type"):
    """Every command may carry a `ref` that its answer echoes."""

    ref: Ref | None = None


class KeyedCommand(CommandBase, frozen=True, kw_only=True):
    """A command that is applied once for its `key`, which the client makes; left out: nothing is noted."""

    key: Key | None = None


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

    def __post_init__(self) -> None:
        """Refuse a time that no clock shows. One of 1970, of a clock that was reset, is only dropped."""
        if self.recorded_at is not None and self.recorded_at.year not in USABLE_YEARS:
            raise ValueError("Unusable `recorded_at`")


class DriverSubscribe(CommandBase, frozen=True, kw_only=True, tag="driver.subscribe"):
    filters: Filters | None = None


class DriverUnsubscribe(CommandBase, frozen=True, kw_only=True, tag="driver.unsubscribe"):
    pass


class TripSubscribe(CommandBase, frozen=True, kw_only=True, tag="trip.subscribe"):
    trip_ids: Annotated[list[Id], Meta(min_length=1, max_length=100)]


class TripUnsubscribe(CommandBase, frozen=True, kw_only=True, tag="trip.unsubscribe"):
    trip_ids: Annotated[list[Id], Meta(min_length=1, max_length=100)]


class OfferAccept(KeyedCommand, frozen=True, kw_only=True, tag="trip.offer.accept"):
    offer_id: Id


class OfferDecline(KeyedCommand, frozen=True, kw_only=True, tag="trip.offer.decline"):
    offer_id: Id
    reason: Reason = ""


class LocationUpdate(CommandBase, frozen=True, kw_only=True, tag="driver.location.update"):
    points: Annotated[list[Point], Meta(min_length=1, max_length=100)]


class AvailabilityUpdate(CommandBase, frozen=True, kw_only=True, tag="driver.availability.update"):
    availability: Literal["available", "offline"]


class StatusUpdate(KeyedCommand, frozen=True, kw_only=True, tag="trip.status.update"):
    """`status`: the next state, or `delayed` (delay_minutes), `stop_reached` (stop), `released` or `no_show`."""

    trip_id: Id
    status: Annotated[str, Meta(max_length=20)]
    note: Text = ""
    lat: Lat | None = None
    lng: Lng | None = None
    delay_minutes: Annotated[int, Meta(ge=1, le=1440)] | None = None
    delay_reason: Reason = ""
    stop: Annotated[int, Meta(ge=1, le=100)] | None = None
    # What the passenger said, where the trip has a boarding code.
    code: Annotated[str, Meta(max_length=8, pattern=_NO_NUL)] = ""


class MessageSend(KeyedCommand, frozen=True, kw_only=True, tag="trip.message.send"):
    """A message of a passenger or driver to the other side: `text`, or `quick`, one of the quick replies."""

    trip_id: Id
    text: Annotated[str, Meta(max_length=500, pattern=_NO_NUL)] = ""
    quick: Annotated[str, Meta(max_length=20)] = ""


class Resume(CommandBase, frozen=True, kw_only=True, tag="resume"):
    cursor: Annotated[str, Meta(max_length=40)]


class Ping(CommandBase, frozen=True, kw_only=True, tag="ping"):
    pass


class OpsView(CommandBase, frozen=True, kw_only=True, tag="ops.view"):
    """Which part of the map a member of staff looks at; `west` is greater than `east` across the date line."""

    south: Lat
    west: Lng
    north: Lat
    east: Lng
    # As maps count it: at 0 the world is 256 pixels wide.
    zoom: Annotated[float, Meta(ge=0, le=24)]

    def __post_init__(self) -> None:
        if self.south > self.north:
            raise ValueError("`south` is north of `north`")


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
    | MessageSend
    | OpsView
    | Resume
    | Ping
)
