"""Decoding of clients' frames: a command, or an error that says why the frame is refused."""

import time

import msgspec
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from realtime import events
from realtime.sockets.close_codes import CLOSE_TOO_LARGE
from stepper.errors import DomainError, InvalidInput, TooManyRequests
from stepper.token_bucket import TokenBucket
from stepper.validation_errors import read_problem

MAX_FRAME_BYTES = 64 * 1024

# The errors that msgspec raises for a frame it cannot read: not JSON, a number out of range, nesting deeper than the
# stack, a text that UTF-8 cannot encode.
UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeError)

COMMAND_NAMES = frozenset(str(kind.__struct_config__.tag) for kind in events.Command.__args__)


class TooManyFrames(Exception):
    """The client goes on sending after many refusals: close its socket."""


class RefusedFrame(Exception):
    """The frame is not a valid command, or is over a limit: `error` says why.

    `ref` is the frame's, None: it has none or is unreadable; `close_code` None: the socket stays open.
    """

    def __init__(self, error: DomainError, ref: str | None = None, close_code: int | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.ref = ref
        self.close_code = close_code


class _Head(msgspec.Struct):
    """The `ref` of a frame; the decoder skips all other members unread."""

    ref: str | None = None


_head_decoder = msgspec.json.Decoder(_Head)


def receive_command(text: str | None, bucket: TokenBucket) -> events.Command:
    """Count a frame and decode it. `text` None: a binary frame; `bucket` limits the socket's frames.

    Raises:
        TooManyFrames: close the socket without an error frame
        RefusedFrame: rate.limited, frame.too_large, and as `read_command`
    """
    left = bucket.spend(time.monotonic())
    if left <= -bucket.burst:
        raise TooManyFrames
    if left < 0:
        too_many = TooManyRequests("rate.limited", _("Too many frames. Slow down."), 1)
        raise RefusedFrame(too_many, ref_of(text) if text and len(text) <= MAX_FRAME_BYTES else None)
    if text is None:
        raise RefusedFrame(InvalidInput("message.invalid", _("Send text frames.")))
    if len(text) > MAX_FRAME_BYTES or len(text.encode(errors="replace")) > MAX_FRAME_BYTES:
        too_large = InvalidInput("frame.too_large", _("A frame is at most 64 KiB."))
        raise RefusedFrame(too_large, close_code=CLOSE_TOO_LARGE)
    return read_command(text)


def read_command(text: str) -> events.Command:
    """Decode a frame.

    Raises:
        RefusedFrame: frame.malformed, message.unknown_type, message.invalid
    """
    try:
        return events.decode_command(text)
    except msgspec.ValidationError as error:
        refused = error
    except UNREADABLE:
        raise RefusedFrame(_malformed(), ref_of(text)) from None
    # The decoder stops at the first wrong field, so check whether the whole frame is JSON.
    try:
        frame = msgspec.json.decode(text)
    except UNREADABLE:
        raise RefusedFrame(_malformed(), ref_of(text)) from None
    kind = frame.get("type") if isinstance(frame, dict) else None
    if isinstance(kind, str) and kind in COMMAND_NAMES:
        raise RefusedFrame(_invalid(refused), ref_of(text))
    unknown = InvalidInput("message.unknown_type", _("There is no such message type."))
    raise RefusedFrame(unknown, ref_of(text))


def ref_of(text: str) -> str | None:
    """Return the `ref` of a frame, cut to the length an answer may have; None: the frame has none or is unreadable."""
    try:
        ref = _head_decoder.decode(text).ref
    except UNREADABLE:
        return None
    return None if ref is None else ref[:64]


def _malformed() -> DomainError:
    return InvalidInput("frame.malformed", _("This is not JSON."))


def _invalid(error: msgspec.ValidationError) -> DomainError:
    """Return the message for an invalid command, with the field (`points[0].lat`)."""
    field, is_missing, _bound = read_problem(error)
    if is_missing:
        message = format_lazy(_("{field} is missing."), field=field)
    elif field:
        message = format_lazy(_("{field} is not what it should be."), field=field)
    else:
        message = _("The message is not what it should be.")
    return InvalidInput("message.invalid", message, {field: [message]} if field else None)
