"""Frames over the wire to a real Daphne and a real uvicorn: what is no command, and what a fault of ours looks like."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets import Subprotocol
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from stepper.tokens import sign_in
from tests.factories import ALMATY, DriverFactory
from tests.live import LiveServer


class Faulty(LiveServer):
    program = ("-m", "tests.faults.faulty")


@pytest.fixture(params=["daphne", "uvicorn"])
def server(request: pytest.FixtureRequest, transactional_db: None, tmp_path: Path) -> Iterator[LiveServer]:
    server = Faulty(tmp_path / "server.log", {})
    server.arguments = ("--server", request.param)
    server.start()
    yield server
    if server.process is not None:
        server.stop()


@pytest.fixture
def socket(server: LiveServer) -> Iterator[ClientConnection]:
    access = sign_in(DriverFactory.create(at=ALMATY).user)["access"]
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
    socket.send('{"type":"trip.subscribe","trip_ids":[1]}')
    with pytest.raises(ConnectionClosed) as closed:
        _until(socket, type="nothing")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011
    server.stop()
    assert server.log_text().count("Traceback") == 1


def test_frames_that_are_no_command_are_answered_and_survived(server: LiveServer, socket: ClientConnection) -> None:
    for text in ("[", "1e999", "{", '"\\ud800"', '{"type":"ping","ref":"\\ud800"}', "\x00", "[" * 1500, "9" * 5000):
        socket.send(text)
        assert _until(socket, type="error")["code"] == "frame.malformed"
    socket.send(b"\xff\xfe")
    assert _until(socket, type="error")["code"] == "message.invalid"
    socket.send('{"type":"ping","ref":"alive"}')
    _until(socket, ref="alive")
    server.stop()
    assert "Traceback" not in server.log_text()


def test_text_that_is_no_utf8_closes_with_1007(server: LiveServer, socket: ClientConnection) -> None:
    socket.send(b"\xed\xa0\x80", text=True)
    with pytest.raises(ConnectionClosed) as closed:
        _until(socket, type="nothing")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1007
    server.stop()
    assert "Traceback" not in server.log_text()


def test_address_with_thirty_digits_is_refused_without_a_word(server: LiveServer) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{server.ws_url}/ws/dashboard/trips/{'9' * 30}/")
    assert refused.value.response.status_code == 403
    server.stop()
    assert "Traceback" not in server.log_text()
