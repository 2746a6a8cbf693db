"""Two layers on one Redis, as two server processes have them, against a simple model: in any order what one of them is
told reaches the channels of both, and a gap is never silent.

`HYPOTHESIS_EXAMPLES=500` for a longer look.
"""

import asyncio
import os
import secrets
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from django.conf import settings as django_settings
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from redis.asyncio import Redis

from realtime.layer.hub import HubChannelLayer
from realtime.layer.mailbox import RESYNC

pytestmark = pytest.mark.scaled_only

T = TypeVar("T")

SIDES = st.sampled_from([0, 1])
GROUPS = st.sampled_from(["trip.1", "trip.2", "driver.1", "staff"])
RELAYED = st.sampled_from(["trip.1", "trip.1", "staff"])


class Socket:
    def __init__(self, side: int) -> None:
        self.side = side
        self.groups: set[str] = set()
        self.expected: list[Any] = []
        self.heard: list[Any] = []

    def take(self, message: dict[str, Any]) -> bool:
        self.heard.append("resync" if message == RESYNC else message["number"])
        return True


class TwoLayersMachine(RuleBasedStateMachine):
    sockets = Bundle("sockets")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        prefix = f"model-{secrets.token_hex(4)}"
        self.layers = [HubChannelLayer(redis_url=django_settings.REDIS_URL, prefix=prefix) for _side in range(2)]
        self.open: dict[str, Socket] = {}
        self.number = 0
        self.probes = [self.run(layer.new_channel()) for layer in self.layers]
        for layer in self.layers:
            self.run(layer.start())
        self.settle()

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(what, 10))

    def message(self, **more: Any) -> dict[str, Any]:
        self.number += 1
        return {"type": "x", "number": self.number, **more}

    def settle(self) -> None:
        """What either side has sent so far has arrived at the other: Redis keeps the order of a connection."""
        self.run(self._settle())

    async def _settle(self) -> None:
        for here, there in ((0, 1), (1, 0)):
            self.number += 1
            wanted = self.number
            async with asyncio.timeout(8):
                while True:
                    # Again, as the other side may not have subscribed yet when the first was sent.
                    await self.layers[here].send(self.probes[there], {"type": "probe", "number": wanted})
                    if await self._heard(there, wanted):
                        break

    async def _heard(self, side: int, number: int) -> bool:
        try:
            async with asyncio.timeout(0.5):
                while (await self.layers[side].receive(self.probes[side])).get("number") != number:
                    pass
        except TimeoutError:
            return False
        return True

    @initialize(target=sockets)
    def one_on_each_side(self) -> Any:
        """Chance alone seldom has somebody listening on both."""
        channels = [self.connect(side) for side in (0, 1)]
        for channel in channels:
            self.join(channel, "trip.1")
        return multiple(*channels)

    @rule(target=sockets, side=SIDES)
    def connect(self, side: int) -> str:
        channel = self.run(self.layers[side].new_channel())
        self.open[channel] = Socket(side)
        self.layers[side].attach(channel, self.open[channel].take)
        return channel

    @rule(channel=sockets, group=GROUPS)
    def join(self, channel: str, group: str) -> None:
        socket = self.open[channel]
        self.run(self.layers[socket.side].group_add(group, channel))
        socket.groups.add(group)

    @rule(channel=sockets, group=GROUPS, side=SIDES)
    def join_and_hear_at_once(self, channel: str, group: str, side: int) -> None:
        """Joining returns when what either process sends from then on arrives."""
        self.join(channel, group)
        self.send_to_group(group, side)

    @rule(channel=sockets, group=GROUPS)
    def leave(self, channel: str, group: str) -> None:
        socket = self.open[channel]
        self.run(self.layers[socket.side].group_discard(group, channel))
        socket.groups.discard(group)

    @rule(channel=sockets, side=SIDES)
    def send(self, channel: str, side: int) -> None:
        message = self.message()
        self.run(self.layers[side].send(channel, message))
        self.open[channel].expected.append(message["number"])
        self.settle()

    @rule(group=GROUPS, side=SIDES)
    def send_to_group(self, group: str, side: int) -> None:
        """No settling before: who has joined, on whichever side, hears what is sent from then on."""
        message = self.message()
        self.run(self.layers[side].group_send(group, message))
        self._expect(group, message["number"])
        self.settle()

    @rule(group=RELAYED, side=SIDES)
    def relay_position(self, group: str, side: int) -> None:
        self.settle()  # whoever watches has said so
        message = self.message(key=group)

        async def relay() -> None:
            self.layers[side].relay(group, message)

        self.run(relay())
        self._expect(group, message["number"])
        self.settle()

    def _expect(self, group: str, number: int) -> None:
        for socket in self.open.values():
            if group in socket.groups:
                socket.expected.append(number)

    @rule(side=SIDES)
    def lose_the_bus(self, side: int) -> None:
        """Redis ends the connections of one process: its sockets, and nobody else's, are told to look again."""
        self.run(self._lose(side))
        self.settle()
        for socket in self.open.values():
            if socket.side == side:
                new = socket.heard[len(socket.expected) :]
                assert new
                assert set(new) == {"resync"}
                socket.expected += new

    async def _lose(self, side: int) -> None:
        layer = self.layers[side]
        assert layer._bus is not None
        name = f"{layer._bus._prefix}:{layer._process}"
        async with Redis.from_url(django_settings.REDIS_URL) as redis:
            for client in await redis.client_list():
                if client["name"] == name:
                    await redis.client_kill_filter(_id=client["id"])
        async with asyncio.timeout(8):
            while await layer.receive(self.probes[side]) != RESYNC:
                pass

    @rule(channel=consumes(sockets))
    def disconnect(self, channel: str) -> None:
        socket = self.open.pop(channel)

        async def discard() -> None:
            self.layers[socket.side].discard_channel(channel, socket.groups)

        self.run(discard())

    @invariant()
    def everybody_heard_what_they_should(self) -> None:
        for socket in self.open.values():
            assert socket.heard == socket.expected

    @invariant()
    def a_side_watches_what_either_has_joined(self) -> None:
        self.settle()
        joined = {group for socket in self.open.values() for group in socket.groups}
        for side, layer in enumerate(self.layers):
            own = {group for socket in self.open.values() if socket.side == side for group in socket.groups}
            assert set(layer.joined) == own
            watched = {one for one in ("trip.1", "trip.2", "driver.1", "staff") if layer.is_watched(one)}
            # Only positions are announced: of the other side's drivers' groups nothing is known.
            assert watched == (joined - {"driver.1"}) | (own & {"driver.1"})

    def teardown(self) -> None:
        for layer in self.layers:
            self.run(layer.close())
        self.loop.close()


TestTwoLayers = TwoLayersMachine.TestCase
TestTwoLayers.settings = settings(
    max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "30")),
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
