"""What the server sends to one socket about itself: the greeting, heartbeats, answers to commands, errors."""

import datetime as dt

from msgspec import Struct, field

PROTOCOL = "stepper.v1"


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class ConnectionEstablished(Struct, frozen=True, kw_only=True, tag_field="type", tag="connection.established"):
    """To one socket, first: who it is, the intervals to keep, and the cursor. `user_id` None: it came by a link."""

    timestamp: dt.datetime = field(default_factory=now)
    protocol: str = PROTOCOL
    user_id: int | None
    driver_id: int | None
    server_time: dt.datetime = field(default_factory=now)
    heartbeat_s: int
    position_trip_s: int
    position_idle_s: int
    cursor: str


class Heartbeat(Struct, frozen=True, kw_only=True, tag_field="type", tag="heartbeat", omit_defaults=True):
    """To every socket, regularly and in answer to a `ping` (then with its `ref`): the current cursor."""

    timestamp: dt.datetime = field(default_factory=now)
    cursor: str
    ref: str | None = None


class Ack(Struct, frozen=True, kw_only=True, tag_field="type", tag="ack", omit_defaults=True):
    """The answer to a command that succeeded; sent only where the command carried a `ref`.

    The last five count what happened to the points of a `driver.location.update`.
    """

    timestamp: dt.datetime = field(default_factory=now)
    ref: str
    trip_id: int | None = None
    offer_id: int | None = None
    message_id: int | None = None
    status: str | None = None
    accepted: int | None = None
    dropped: int | None = None
    kept_aside: int | None = None
    clamped: int | None = None
    late: int | None = None


class Error(Struct, frozen=True, kw_only=True, tag_field="type", tag="error", omit_defaults=True):
    """A refused command, named by `ref`, or a condition such as `resync.required`."""

    timestamp: dt.datetime = field(default_factory=now)
    code: str
    message: str
    ref: str | None = None
    fields: dict[str, list[str]] | None = None
    retry_after_s: int | None = None
