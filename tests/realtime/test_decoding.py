"""Whatever a client sends, it is answered: no traceback, and no close code that docs/protocol.md does not name."""

import json
import logging
from typing import Any

import msgspec
import pytest
from channels.db import database_sync_to_async
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from realtime import events
from realtime.sockets import base
from realtime.sockets.decoding import COMMAND_NAMES, RefusedFrame, read_command, ref_of
from tests.factories import ALMATY, DriverFactory
from tests.realtime.conftest import Client, Connect

run = database_sync_to_async
EXAMPLES = 300

# Also halves of surrogate pairs, which no UTF-8 has.
texts = st.text(st.characters(exclude_categories=()), max_size=40)
numbers = st.one_of(
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from([0, -1, 2**63 - 1, 2**63, 10**30, 1e308]),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda some: st.one_of(st.lists(some, max_size=4), st.dictionaries(texts, some, max_size=4)),
    max_leaves=8,
)
MEMBERS = sorted({name for kind in events.Command.__args__ for name in kind.__struct_fields__} | {"type"})
commands = st.builds(
    lambda kind, members: {**members, "type": kind},
    st.one_of(st.sampled_from(sorted(COMMAND_NAMES)), texts),
    st.dictionaries(st.sampled_from(MEMBERS), values, max_size=5),
)


@st.composite
def broken(draw: Any) -> str:
    """JSON of a command with something cut off, or in between."""
    text = json.dumps(draw(commands), ensure_ascii=draw(st.booleans()))
    at = draw(st.integers(0, len(text)))
    return (
        text[:at]
        + draw(st.sampled_from(["", "1e999", "\x00", "[", '"', "\\ud800", "9" * 400]))
        + text[at:][draw(st.integers(0, 3)) :]
    )


frames = st.one_of(texts, st.binary(max_size=60), values.map(json.dumps), commands.map(json.dumps), broken())


def _examples() -> list[str | bytes]:
    """What hypothesis makes of the strategy; they all go over one socket, so they are collected first."""
    found: list[str | bytes] = []

    @settings(max_examples=EXAMPLES, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(frames)
    def collect(frame: str | bytes) -> None:
        if frame:
            found.append(frame)

    collect()
    return found


@pytest.fixture
def unlimited(settings: Settings) -> None:
    settings.SOCKET_BURST = 10**9
    settings.SOCKET_COMMANDS_PER_MIN = 10**9


async def _is_answered(client: Client, frame: str | bytes, number: int) -> None:
    if isinstance(frame, bytes):
        await client.send_bytes(frame)
    else:
        await client.send_text(frame)
    await client.send(type="ping", ref=f"answer {number}")
    while True:
        message = await client.communicator.receive_output(timeout=5)
        assert message["type"] == "websocket.send", f"{message} after {frame!r}"
        if f'"ref":"answer {number}"' in message["text"]:
            return


@pytest.mark.usefixtures("unlimited")
@pytest.mark.parametrize("path", ["/ws/", "/ws/dashboard/driver/"])
async def test_any_frame_is_answered_and_survived(
    connect: Connect, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = await connect((await run(DriverFactory.create)(at=ALMATY)).user, path)
    with caplog.at_level(logging.WARNING):
        for number, frame in enumerate(_examples()):
            await _is_answered(client, frame, number)
    assert not [record for record in caplog.records if record.exc_info]


async def test_flood_of_what_is_no_json_is_refused_and_no_fault(connect: Connect, settings: Settings) -> None:
    settings.SOCKET_BURST, settings.SOCKET_RATE = 2, 0
    client = await connect((await run(DriverFactory.create)(at=ALMATY)).user)
    for _ in range(4):
        await client.send_text('{"type":"ping","ref":"r","x":[')
    codes = [(await client.until("error"))["code"] for _ in range(3)]
    assert codes == ["frame.malformed", "frame.malformed", "rate.limited"]
    assert await client.closed_with() == 4429


def test_ref_of_a_refused_command_is_kept_whatever_else_is_wrong() -> None:
    with pytest.raises(RefusedFrame) as refused:
        read_command('{"type":"driver.location.update","ref":"r","points":[{"lat":1e999,"lng":1}]}')
    assert (refused.value.error.code, refused.value.ref) == ("frame.malformed", "r")


@pytest.mark.parametrize("text", ['{"ref":7}', '{"ref":null}', "{}", "[]", "{", "\ud800", "[" * 30_000])
def test_what_is_no_ref_is_none(text: str) -> None:
    assert ref_of(text) is None


def test_long_ref_is_cut_to_what_an_answer_carries() -> None:
    assert ref_of(msgspec.json.encode({"ref": "x" * 100}).decode()) == "x" * 64


async def test_fault_closes_with_1011_and_is_logged_once(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_args: Any) -> None:
        raise ZeroDivisionError

    client = await connect((await run(DriverFactory.create)(at=ALMATY)).user)
    monkeypatch.setattr(base.commands, "subscribe", fail)
    await client.send(type="trip.subscribe", trip_ids=[1])
    assert await client.closed_with() == 1011
    assert len([record for record in caplog.records if record.exc_info]) == 1
