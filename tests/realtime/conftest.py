"""Sockets of the real application, in the test's own event loop."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator

from stepper.api.tokens import sign_in
from stepper.asgi import application
from stepper.models import User
from stepper.server import lifespan

Frame = dict[str, Any]


class Client:
    """A socket as a program sees it. Frames are decoded; their changing parts can be taken off."""

    def __init__(self, communicator: Any) -> None:
        self.communicator = communicator

    async def receive(self) -> Frame:
        return msgspec.json.decode(await self.communicator.receive_from(timeout=5))

    async def receive_html(self) -> str:
        while True:
            text: str = await self.communicator.receive_from(timeout=5)
            if not text.startswith("{"):
                return text

    async def until(self, kind: str, **fields: Any) -> Frame:
        """The next frame of a type (and with these fields); others are passed over."""
        while True:
            frame = await self.receive()
            if frame["type"] == kind and fields.items() <= frame.items():
                return frame

    async def send(self, **command: Any) -> None:
        await self.communicator.send_to(text_data=msgspec.json.encode(command).decode())

    async def send_text(self, text: str) -> None:
        await self.communicator.send_to(text_data=text)

    async def send_bytes(self, data: bytes) -> None:
        await self.communicator.send_to(bytes_data=data)

    async def closed_with(self) -> int:
        """The code the server closes with; frames before it are passed over."""
        while True:
            message = await self.communicator.receive_output(timeout=5)
            if message["type"] == "websocket.close":
                return int(message["code"])

    async def heard(self) -> list[str]:
        """The types of what has come and comes until it is silent."""
        types = []
        while not await self.is_silent():
            types.append((await self.receive())["type"])
        return types

    async def is_silent(self) -> bool:
        return bool(await self.communicator.receive_nothing(timeout=0.3))


@pytest.fixture
def dispatcher() -> None:
    """Asked for by a test whose server has the dispatcher inside."""


@pytest.fixture
async def server(transactional_db: None, settings: Any, request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """What a server process does besides answering, on the test's loop; no process works off the queues."""
    settings.TASK_WORKER = "external"
    settings.DISPATCHER = "inside" if "dispatcher" in request.fixturenames else "external"
    await lifespan.start()
    yield
    await lifespan.stop()


Connect = Callable[..., Awaitable[Client]]


@pytest.fixture
async def connect(server: None) -> AsyncIterator[Connect]:
    """`await connect(user)`: a program's socket, `connection.established` read off."""
    opened: list[WebsocketCommunicator] = []

    async def connecting(user: User | None, path: str = "/ws/", greeted: bool = True) -> Client:
        protocols = ["stepper.v1"]
        if user is not None:
            protocols.append("bearer." + (await database_sync_to_async(sign_in)(user))["access"])
        communicator = WebsocketCommunicator(application, path, subprotocols=protocols)
        opened.append(communicator)
        accepted, subprotocol = await communicator.connect(timeout=5)
        assert accepted
        assert subprotocol == "stepper.v1"
        client = Client(communicator)
        if greeted:
            await client.until("connection.established")
        return client

    yield connecting
    for communicator in opened:
        # A test that waited in vain has cancelled its application; disconnecting that would cancel the clean-up too.
        if communicator.future is not None and not communicator.future.done():
            await communicator.disconnect()
