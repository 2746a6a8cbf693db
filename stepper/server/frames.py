"""Connections as consumers see them, made quick for the frame that comes most: a short one, whole in what was read.

A consumer finds its connection in the scope (`stepper.line`, a `Connection`): it writes frames that are encoded once
for everybody who gets them, and takes text frames by a call, without a queue and a task's turn. What a listener does
not take, and every frame that is not short, whole and plain text, goes the way of the server's library.
"""

import time
from collections.abc import Callable
from struct import Struct
from typing import Protocol

from websockets.speedups import apply_mask

from stepper.token_bucket import TokenBucket

# Takes a text frame at once, or says False: then it goes the long way.
Listener = Callable[[str], bool]

# A frame with a fix or a few; longer ones are worth a queue.
SHORT_FRAME_BYTES = 2048
_TEXT_FRAME = 0x81  # final, text
# Frames that no consumer hears of, so that none can hold them back: so many ahead, and so many a second.
_UNHEARD_BURST, _UNHEARD_RATE = 1000, 100
_head, _head_16, _head_64 = Struct("!BB").pack, Struct("!BBH").pack, Struct("!BBQ").pack


class Connection(Protocol):
    """A connection as its consumer sees it. Everything on the server's loop."""

    listener: Listener | None

    @property
    def is_writable(self) -> bool:
        """Whether the client keeps up with what is written."""

    def write(self, wire: bytes) -> bool:
        """Write a frame as it goes over the wire; False where the client does not keep up. To nobody: True."""

    def hang_up(self) -> None:
        """Cut the connection; closing would wait for a client that does not read."""


class Unheard(TokenBucket):
    """Limit the frames of one connection that no consumer hears of.

    They are pings, pongs, parts of a message, and whatever follows a close. Each costs the loop as much as a message,
    and a ping makes the server write.
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(_UNHEARD_BURST, _UNHEARD_RATE, time.monotonic())

    def is_one_too_many(self) -> bool:
        """Count one more; True: cut the connection."""
        return self.spend(time.monotonic()) < 0


def encode_text_frame(body: bytes) -> bytes:
    """Encode a text frame of a server (RFC 6455, 5.2): final, unmasked, so the same for everybody."""
    length = len(body)
    if length < 126:
        return _head(_TEXT_FRAME, length) + body
    if length < 65536:
        return _head_16(_TEXT_FRAME, 126, length) + body
    return _head_64(_TEXT_FRAME, 127, length) + body


def read_short_frames(data: bytes, listener: Listener, otherwise: Callable[[bytes], None]) -> int:
    """Hand the short masked text frames at the beginning of `data` to the listener; return how many bytes they were.

    What the listener does not take goes to `otherwise`, unmasked. Stops at the first frame that is anything else: part
    of one, a long one, a fragment, a control frame, or no UTF-8.
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
