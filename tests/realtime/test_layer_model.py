"""The channel layer against a simple model of it: joins, leaves, sends, positions, gaps and goodbyes in any order.

`HYPOTHESIS_EXAMPLES=2000` for a longer look.
"""

import asyncio
import os
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from realtime.layer.hub import HubChannelLayer
from realtime.layer.mailbox import RESYNC

T = TypeVar("T")

CAPACITY = 3
GROUPS = st.sampled_from(["trip.1", "trip.2", "driver.1", "staff"])
KEYS = st.sampled_from(["trip.1", "driver.7"])


class Socket:
    """What a channel should have heard and what should be waiting for it."""

    def __init__(self, is_attached: bool) -> None:
        self.is_attached = is_attached
        # Whether an attached owner takes messages as they come.
        self.reads = is_attached
        self.groups: set[str] = set()
        self.waiting: list[dict[str, Any]] = []
        self.expected: list[dict[str, Any]] = []
        self.heard: list[dict[str, Any]] = []

    def put(self, message: dict[str, Any]) -> None:
        key = message.get("key")
        if self.reads and not self.waiting:
            self.expected.append(message)
        elif key is not None and (same := [n for n, one in enumerate(self.waiting) if one.get("key") == key]):
            self.waiting[same[0]] = message
        elif len(self.waiting) == CAPACITY:
            # Never a silent gap: whatever waited is replaced by the word that something is missing.
            self.waiting = [RESYNC]
        else:
            self.waiting.append(message)

    def take(self, message: dict[str, Any]) -> bool:
        if self.reads:
            self.heard.append(message)
        return self.reads


class LayerMachine(RuleBasedStateMachine):
    sockets = Bundle("sockets")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.layer = HubChannelLayer(capacity=CAPACITY)
        self.open: dict[str, Socket] = {}
        self.gone: list[str] = []
        self.number = 0

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(what, 5))

    def message(self, **more: Any) -> dict[str, Any]:
        self.number += 1
        return {"type": "x", "number": self.number, **more}

    @rule(target=sockets, is_attached=st.booleans())
    def connect(self, is_attached: bool) -> str:
        channel = self.run(self.layer.new_channel())
        self.open[channel] = Socket(is_attached)
        if is_attached:
            self.layer.attach(channel, self.open[channel].take)
        return channel

    @rule(channel=sockets, group=GROUPS)
    def join(self, channel: str, group: str) -> None:
        self.run(self.layer.group_add(group, channel))
        self.open[channel].groups.add(group)

    @rule(channel=sockets, group=GROUPS)
    def leave(self, channel: str, group: str) -> None:
        self.run(self.layer.group_discard(group, channel))
        self.open[channel].groups.discard(group)

    @rule(channel=sockets)
    def send(self, channel: str) -> None:
        message = self.message()
        self.run(self.layer.send(channel, message))
        self.open[channel].put(message)

    @precondition(lambda self: self.gone)
    @rule(data=st.data())
    def send_to_one_that_is_gone(self, data: Any) -> None:
        self.run(self.layer.send(data.draw(st.sampled_from(self.gone)), self.message()))

    @rule(group=GROUPS)
    def send_to_group(self, group: str) -> None:
        message = self.message()
        self.run(self.layer.group_send(group, message))
        self._put(group, message)

    @rule(group=GROUPS, key=KEYS)
    def relay_position(self, group: str, key: str) -> None:
        message = self.message(key=key)
        self.layer.relay(group, message)
        self._put(group, message)

    @rule(channel=sockets, group=GROUPS, key=KEYS)
    def positions_pile_up(self, channel: str, group: str, key: str) -> None:
        """Two of one kind for one who does not read, which chance alone seldom comes to."""
        self.stop_or_go_on_reading(channel, reads=False)
        self.join(channel, group)
        for _ in range(2):
            self.relay_position(group, key)

    def _put(self, group: str, message: dict[str, Any]) -> None:
        for socket in self.open.values():
            if group in socket.groups:
                socket.put(message)

    @rule()
    def bus_was_away(self) -> None:
        self.layer.resync()
        for socket in self.open.values():
            socket.put(RESYNC)

    @rule(channel=sockets)
    def receive(self, channel: str) -> None:
        socket = self.open[channel]
        if socket.waiting:
            assert self.run(self.layer.receive(channel)) == socket.waiting.pop(0)

    @rule(channel=sockets, reads=st.booleans())
    def stop_or_go_on_reading(self, channel: str, reads: bool) -> None:
        """An owner works off what waits before it takes messages as they come again."""
        socket = self.open[channel]
        if not socket.is_attached:
            return
        while reads and socket.waiting:
            assert self.run(self.layer.receive(channel)) == socket.waiting.pop(0)
        socket.reads = reads

    @rule(channel=consumes(sockets))
    def disconnect(self, channel: str) -> None:
        self.layer.discard_channel(channel, self.open.pop(channel).groups)
        self.gone.append(channel)

    @invariant()
    def everybody_heard_what_they_should(self) -> None:
        for socket in self.open.values():
            assert socket.heard == socket.expected

    @invariant()
    def nothing_else_is_kept(self) -> None:
        joined = {group for socket in self.open.values() for group in socket.groups}
        assert set(self.layer.joined) == joined
        assert {group for group in ("trip.1", "trip.2", "driver.1", "staff") if self.layer.is_watched(group)} == joined
        waiting = [one for socket in self.open.values() for one in socket.waiting if "key" not in one]
        assert self.layer.waiting == len(waiting)
        assert set(self.layer._mailboxes) == set(self.open)

    def teardown(self) -> None:
        for channel in list(self.open):
            while self.open[channel].waiting:
                self.receive(channel)
            self.disconnect(channel)
        self.nothing_else_is_kept()
        self.loop.close()


TestLayer = LayerMachine.TestCase
TestLayer.settings = settings(
    max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "60")),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
