"""`manage.py serve` on both servers: sockets work, and stopping it sends them away to come back."""

import asyncio
import os
from pathlib import Path
from socket import create_connection

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from stepper.api.tokens import sign_in
from stepper.models import User
from tests.factories import DriverFactory, TripFactory
from tests.live import LiveServer


def socket(server: LiveServer, user: User) -> connect:
    protocols = [Subprotocol("stepper.v1"), Subprotocol("bearer." + sign_in(user)["access"])]
    return connect(f"{server.ws_url}/ws/", subprotocols=protocols, proxy=None)


async def until(client: ClientConnection, kind: str) -> dict[str, object]:
    async with asyncio.timeout(10):
        while True:
            frame: dict[str, object] = msgspec.json.decode(await client.recv())
            if frame["type"] == kind:
                return frame


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
def test_serve_relays_refuses_and_sends_away(start_server, monkeypatch, kind) -> None:
    monkeypatch.setattr(LiveServer, "arguments", ("--server", kind))
    server = start_server()
    trip = TripFactory(status="en_route", driver=DriverFactory(at=(43.1, 76.9)))
    sockets = [socket(server, user) for user in (trip.driver.user, trip.organiser)]
    asyncio.run(_talk(server, trip.pk, sockets))
    assert not server.answers()


async def _talk(server: LiveServer, trip_id: int, sockets: list[connect]) -> None:
    async with sockets[0] as driver, sockets[1] as watcher:
        await until(watcher, "trip.snapshot")
        await until(driver, "trip.snapshot")
        # The first goes the long way, as nothing is known of the driver yet; fragments and pings have their own.
        for lat in ("43.1", "43.101", "43.102"):
            point = f'{{"type":"driver.location.update","points":[{{"lat":{lat},"lng":76.9}}]}}'
            await driver.send([point[:20], point[20:]] if lat == "43.101" else point)
            assert (await until(watcher, "driver.location.updated"))["lat"] == float(lat)
            await (await driver.ping())
        await driver.send("{" + " " * 70_000)
        assert (await until(driver, "error"))["code"] == "frame.too_large"
        with pytest.raises(ConnectionClosed) as closed:
            await driver.recv()
        assert closed.value.rcvd.code == 1009
        stopping = asyncio.to_thread(server.stop)
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.gather(stopping, _read_for_ever(watcher))
        assert closed.value.rcvd.code == 1012


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
@pytest.mark.embedded_only
def test_serve_says_its_address_once_it_listens(transactional_db: None, tmp_path: Path, kind: str) -> None:
    server = LiveServer(tmp_path / "log", {})
    server.arguments = ("--server", kind)
    os.mkfifo(server.log)
    reader = os.open(server.log, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    server.launch()
    with open(reader) as said:
        for line in said:
            if line.startswith(f"StepperGO on {server.url}/"):
                break
        # At once, without a second try.
        with create_connection(("127.0.0.1", server.port)):
            server.process.terminate()
        assert server.process.wait(10) in {0, -15}


async def _read_for_ever(client: ClientConnection) -> None:
    while True:
        await client.recv()
