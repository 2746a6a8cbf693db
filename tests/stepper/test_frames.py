"""Frames as they go over the wire, and which of them a listener is handed."""

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, Protocol

from stepper.server.frames import SHORT_FRAME_BYTES, encode_text_frame, read_short_frames


def masked(text: str, first: int = 0x81) -> bytes:
    """A client's frame, by the library."""
    frame = Frame(Opcode.TEXT, text.encode()).serialize(mask=True)
    return bytes([first]) + frame[1:]


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65535, 65536])
def test_frame_is_what_a_client_reads(length: int) -> None:
    client = Protocol(CLIENT, max_size=None)
    client.receive_data(encode_text_frame(("ä" + "x" * (length - 2) if length > 1 else "x" * length).encode()))
    (frame,) = client.events_received()
    assert isinstance(frame, Frame)
    assert (frame.opcode, frame.fin, len(frame.data)) == (Opcode.TEXT, True, length)


def taking(data: bytes, refuse: str | None = None) -> tuple[list[str], list[bytes], int]:
    heard: list[str] = []
    left: list[bytes] = []

    def listener(text: str) -> bool:
        if text == refuse:
            return False
        heard.append(text)
        return True

    return heard, left, read_short_frames(data, listener, left.append)


@pytest.mark.parametrize("texts", [["{}"], ["a" * 125, "b" * 126, "ж" * 1024], [""]])
def test_whole_short_frames_are_handed_over(texts: list[str]) -> None:
    data = b"".join(masked(text) for text in texts)
    assert taking(data) == (texts, [], len(data))


@pytest.mark.parametrize(
    "rest",
    [
        masked("half")[:-1],
        masked("x" * 200)[:3],
        masked("x" * (SHORT_FRAME_BYTES + 1)),
        masked("x" * 70_000),
        masked("fragment", first=0x01),
        masked("ping", first=0x89),
        masked("binary", first=0x82),
        Frame(Opcode.TEXT, b"unmasked").serialize(mask=False),
        Frame(Opcode.TEXT, b"\xff\xfe").serialize(mask=True),
        b"\x81",
    ],
    # The library masks with chance: ids must be the same in every process.
    ids=["half", "half a head", "long", "longer", "fragment", "ping", "binary", "unmasked", "no UTF-8", "one byte"],
)
def test_anything_else_is_left_where_it_begins(rest: bytes) -> None:
    before = masked("first")
    assert taking(before + rest) == (["first"], [], len(before))


def test_what_is_not_taken_goes_the_long_way_and_keeps_its_place() -> None:
    first, command, last = masked("first"), masked("command"), masked("last")
    heard, left, done = taking(first + command + last, refuse="command")
    assert (heard, left, done) == (["first"], [b"command"], len(first + command))
