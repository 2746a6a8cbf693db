"""Connections as consumers see them, with a fast path for the most frequent frame: a short text frame, read whole.

A consumer finds its connection in the scope (`stepper.line`, a `Connection`). It writes frames that are encoded once
for all receivers, and receives text frames by a call, without a queue and a task switch. Frames that the listener does
not take, and all frames that are not short, whole and plain text, are handled by the server's library.
"""

import time
from collections.abc import Callable
from struct import Struct
from typing import Protocol

from websockets.speedups import apply_mask

from stepper.token_bucket import TokenBucket

# Takes a text frame immediately, or returns False: then it goes through the server's library and the queue.
Listener = Callable[[str], bool]

# Enough for a frame with a few fixes; longer frames go through the queue.
SHORT_FRAME_BYTES = 2048
_TEXT_FRAME = 0x81  # final, text
# Limits of frames that reach no consumer, so that no consumer can limit them: the burst, and frames per second.
_UNHEARD_BURST, _UNHEARD_RATE = 1000, 100
# Continuation frames of one message that are not counted: the consumer counts the message.
_FREE_PARTS = 8
_head, _head_16, _head_64 = Struct("!BB").pack, Struct("!BBH").pack, Struct("!BBQ").pack


class Connection(Protocol):
    """A connection as its consumer sees it. Everything on the server's loop."""

    listener: Listener | None

    @property
    def is_writable(self) -> bool:
        """Whether the client reads fast enough, so that more may be written."""

    def write(self, wire: bytes) -> bool:
        """Write an encoded frame; False: the client does not read fast enough. True also if the client is gone."""

    def hang_up(self) -> None:
        """Cut the connection; closing would wait for a client that does not read."""


class Unheard(TokenBucket):
    """Limit the frames of one connection that reach no consumer.

    They are pings, pongs, continuation frames of a message beyond the first few, and all frames after a close. Each
    costs the loop as much as a message, and a ping makes the server write.
    """

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        super().__init__(_UNHEARD_BURST, _UNHEARD_RATE, time.monotonic())
        # Continuation frames of the message that is being received.
        self._parts = 0

    def is_one_too_many(self) -> bool:
        """Count one frame; True: cut the connection."""
        return self.spend(time.monotonic()) < 0

    def is_one_part_too_many(self, *, is_last: bool) -> bool:
        """Count one continuation frame, the last of its message or not; True: cut the connection."""
        self._parts += 1
        is_free = self._parts <= _FREE_PARTS
        if is_last:
            self._parts = 0
        return not is_free and self.is_one_too_many()


def encode_text_frame(body: bytes) -> bytes:
    """Encode a text frame of a server (RFC 6455, 5.2): final and unmasked, so the same for all receivers."""
    length = len(body)
    if length < 126:
        return _head(_TEXT_FRAME, length) + body
    if length < 65536:
        return _head_16(_TEXT_FRAME, 126, length) + body
    return _head_64(_TEXT_FRAME, 127, length) + body


def read_short_frames(data: bytes, listener: Listener, otherwise: Callable[[bytes], None]) -> int:
    """Pass the short masked text frames at the beginning of `data` to the listener; return their length in bytes.

    A frame that the listener does not take goes to `otherwise`, unmasked, and ends the reading. So does the first frame
    of another kind, which is not read: an incomplete one, a long one, a fragment, a control frame, invalid UTF-8.
    """
    at, end_of_data = 0, len(data)
    while end_of_data - at >= 6 and data[at] == _TEXT_FRAME:
        length = data[at + 1] - 128
        head = at + 2
        if length == 126:
            if end_of_data - at < 8:
                break
            length = data[head] << 8 | data[head + 1]
            head += 2
        elif not 0 <= length < 126:
            break
        end = head + 4 + length
        if length > SHORT_FRAME_BYTES or end > end_of_data:
            break
        body = apply_mask(data[head + 4 : end], data[head : head + 4])
        try:
            text = body.decode()
        except UnicodeDecodeError:
            break
        at = end
        if not listener(text):
            otherwise(body)
            break
    return at
