"""The event contract: every frame between server and clients as a typed, immutable struct.

Imports neither models nor Django. The JSON frame, the dashboards' fragments and docs/protocol.md come from these.
Server to client frames form one tagged union (`Frame`, in frames.py, locations.py and answers.py), client commands
another (`Command`, in commands.py); the tag is the `type` of the envelope. This module encodes and decodes them.
"""

from collections.abc import Callable

import msgspec
from msgspec import Struct

from realtime.events.answers import PROTOCOL, Ack, ConnectionEstablished, Error, Heartbeat
from realtime.events.commands import (
    AvailabilityUpdate,
    Command,
    CommandBase,
    DriverSubscribe,
    DriverUnsubscribe,
    Filters,
    Id,
    Lat,
    Lng,
    LocationUpdate,
    MessageSend,
    OfferAccept,
    OfferDecline,
    OpsView,
    Ping,
    Point,
    Reason,
    Ref,
    Resume,
    StatusUpdate,
    Text,
    TripSubscribe,
    TripUnsubscribe,
)
from realtime.events.frames import (
    DURABLE,
    ApplicationUpdated,
    BookingCancelled,
    BookingConfirmed,
    CallAnnounced,
    DocumentState,
    DriverFilters,
    DriverPart,
    DriverUpdated,
    Durable,
    DurableFrame,
    Frame,
    Notification,
    NotificationDriver,
    NotificationPassenger,
    NotificationRead,
    NotificationStaff,
    OfferAccepted,
    OfferCreated,
    OfferEnd,
    OfferExpired,
    Page,
    SharedTripUpdated,
    Side,
    TripMessageCreated,
    TripMessageHidden,
    TripMessageRead,
    TripRated,
    TripRequested,
    TripSnapshot,
    TripStatusUpdated,
)
from realtime.events.locations import DriverLocationUpdated, Eta, OpsMap, SharedLocation
from realtime.events.parts import DriverCard, Place, Stop, VehicleCard, Wish

__all__ = [
    "DURABLE",
    "PROTOCOL",
    "Ack",
    "ApplicationUpdated",
    "AvailabilityUpdate",
    "BookingCancelled",
    "BookingConfirmed",
    "CallAnnounced",
    "Command",
    "CommandBase",
    "ConnectionEstablished",
    "DocumentState",
    "DriverCard",
    "DriverFilters",
    "DriverLocationUpdated",
    "DriverPart",
    "DriverSubscribe",
    "DriverUnsubscribe",
    "DriverUpdated",
    "Durable",
    "DurableFrame",
    "Error",
    "Eta",
    "Filters",
    "Frame",
    "Heartbeat",
    "Id",
    "Lat",
    "Lng",
    "LocationUpdate",
    "MessageSend",
    "Notification",
    "NotificationDriver",
    "NotificationPassenger",
    "NotificationRead",
    "NotificationStaff",
    "OfferAccept",
    "OfferAccepted",
    "OfferCreated",
    "OfferDecline",
    "OfferEnd",
    "OfferExpired",
    "OpsMap",
    "OpsView",
    "Page",
    "Ping",
    "Place",
    "Point",
    "Reason",
    "Ref",
    "Resume",
    "SharedLocation",
    "SharedTripUpdated",
    "Side",
    "StatusUpdate",
    "Stop",
    "Text",
    "TripMessageCreated",
    "TripMessageHidden",
    "TripMessageRead",
    "TripRated",
    "TripRequested",
    "TripSnapshot",
    "TripStatusUpdated",
    "TripSubscribe",
    "TripUnsubscribe",
    "VehicleCard",
    "Wish",
    "decode_command",
    "decode_frame",
    "encode",
    "encode_bytes",
    "tag",
    "with_cursor",
]

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
