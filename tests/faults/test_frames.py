"""Frames over the wire to a real Daphne and a real uvicorn: what is no command, and what a fault of ours looks like."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from websockets import Subprotocol
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from drivers.models import Driver
from stepper.api.tokens import sign_in
from tests.factories import ALMATY, DriverFactory
from tests.live import LiveServer

# What both servers do with frames; which database is behind them plays no part.
pytestmark = pytest.mark.embedded_only


class Faulty(LiveServer):
    program = ("-m", "tests.faults.faulty")


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def shared_server(
    request: pytest.FixtureRequest, django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    server = Faulty(tmp_path_factory.mktemp("frames") / "server.log", {})
    server.arguments = ("--server", request.param)
    server.start()
    yield server
    if server.process is not None:
        server.stop()


@pytest.fixture
def server(shared_server: LiveServer, transactional_db: None) -> Iterator[LiveServer]:
    """One for the tests of a file; what one of them had logged as a fault would fail it."""
    if shared_server.process is None:
        shared_server.start()
    before = shared_server.log_text().count("Traceback")
    yield shared_server
    if shared_server.process is None:
        return
    # It answers, so it has come to the end of what it was sent before.
    assert shared_server.answers()
    assert shared_server.log_text().count("Traceback") == before


@pytest.fixture
def driver(transactional_db: None) -> Driver:
    return DriverFactory.create(at=ALMATY)


@pytest.fixture
def socket(server: LiveServer, driver: Driver) -> Iterator[ClientConnection]:
    with _connect(server, driver) as socket:
        yield socket


@contextlib.contextmanager
def _connect(server: LiveServer, driver: Driver) -> Iterator[ClientConnection]:
    access = sign_in(driver.user)["access"]
    protocols = [Subprotocol("stepper.v1"), Subprotocol(f"bearer.{access}")]
    with connect(f"{server.ws_url}/ws/", subprotocols=protocols) as socket:
        _until(socket, type="connection.established")
        yield socket


def _until(socket: ClientConnection, **members: Any) -> dict[str, Any]:
    while True:
        frame: dict[str, Any] = json.loads(socket.recv(timeout=10))
        if members.items() <= frame.items():
            return frame


def test_fault_of_ours_closes_with_1011_and_is_logged_once(server: LiveServer, socket: ClientConnection) -> None:
    before = server.log_text().count("Traceback")
    socket.send('{"type":"trip.subscribe","trip_ids":[1]}')
    with pytest.raises(ConnectionClosed) as closed:
        _until(socket, type="nothing")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011
    server.stop()
    assert server.log_text().count("Traceback") == before + 1


def test_frames_that_are_no_command_are_answered_and_survived(server: LiveServer, socket: ClientConnection) -> None:
    for text in ("[", "1e999", "{", '"\\ud800"', '{"type":"ping","ref":"\\ud800"}', "\x00", "[" * 1500, "9" * 5000):
        socket.send(text)
        assert _until(socket, type="error")["code"] == "frame.malformed"
    socket.send(b"\xff\xfe")
    assert _until(socket, type="error")["code"] == "message.invalid"
    socket.send('{"type":"ping","ref":"alive"}')
    _until(socket, ref="alive")


def test_text_that_is_no_utf8_closes_with_1007(server: LiveServer, socket: ClientConnection) -> None:
    socket.send(b"\xed\xa0\x80", text=True)
    with pytest.raises(ConnectionClosed) as closed:
        _until(socket, type="nothing")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1007


def test_address_with_thirty_digits_is_refused_without_a_word(server: LiveServer) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{server.ws_url}/ws/dashboard/trips/{'9' * 30}/")
    assert refused.value.response.status_code == 403


PING = b"\x89\xfd" + bytes(4) + b"x" * 125
EMPTY_PART = b"\x00\x80" + bytes(4)
# Bytes; what buffers take is less.
FLOOD = 24 << 20


@pytest.mark.parametrize("access", ["signed in", "nobody"])
@pytest.mark.parametrize("frame", [PING, EMPTY_PART], ids=["ping", "part"])
def test_flood_of_frames_that_no_consumer_hears_of_is_cut_off(server: LiveServer, frame: bytes, access: str) -> None:
    protocols = [Subprotocol("stepper.v1")]
    if access == "signed in":
        protocols.append(Subprotocol(f"bearer.{sign_in(DriverFactory.create(at=ALMATY).user)['access']}"))
    with connect(f"{server.ws_url}/ws/", subprotocols=protocols) as socket:
        # Beneath the library, which would read and count what it sends.
        raw, sent = socket.socket, 0
        with contextlib.suppress(OSError):
            raw.sendall(b"\x01\x81" + bytes(4) + b"{")
            while sent < FLOOD:
                raw.sendall(frame * 100)
                sent += 100 * len(frame)
        assert sent < FLOOD


def test_message_in_parts_and_pings_are_no_flood(server: LiveServer, socket: ClientConnection) -> None:
    socket.send(iter(['{"type":"ping","ref":"', *("x" for _ in range(60)), '"}']))
    _until(socket, ref="x" * 60)
    for _ in range(300):
        socket.ping()
    socket.send('{"type":"ping","ref":"alive"}')
    _until(socket, ref="alive")


def test_parts_of_messages_that_a_consumer_counts_are_no_flood(server: LiveServer, driver: Driver) -> None:
    server.restart(SOCKET_BURST="1000")
    with _connect(server, driver) as socket:
        for number in range(300):
            socket.send(iter(['{"type":"ping","ref":"', *"message", str(number), '"}']))
        _until(socket, ref="message299")
    # The others' servers have the usual one.
    server.stop()
    del server.environ["SOCKET_BURST"]


def test_what_comes_while_a_command_waits_is_not_read_without_end(
    server: LiveServer, socket: ClientConnection, driver: Driver
) -> None:
    text = b"[" * 60_000
    frame = b"\x81\xfe" + len(text).to_bytes(2) + bytes(4) + text
    with transaction.atomic():
        Driver.objects.filter(pk=driver.pk).update(licence_number=driver.licence_number)
        socket.send('{"type":"driver.availability.update","availability":"offline","ref":"waits"}')
        raw, sent = socket.socket, 0
        raw.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while sent < FLOOD:
                raw.sendall(frame)
                sent += len(frame)
        assert sent < FLOOD
