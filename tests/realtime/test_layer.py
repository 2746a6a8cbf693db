"""The channel layer: ours, local and over Redis between two processes' worth of instances, and channels_redis."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.conf import settings
from redis.asyncio import Redis

from realtime.layer.hub import HubChannelLayer
from realtime.layer.mailbox import RESYNC, Mailbox

SILENCE_S = 0.2


async def receive(layer: Any, channel: str) -> dict[str, Any]:
    return await asyncio.wait_for(layer.receive(channel), 5)


async def is_silent(layer: Any, channel: str) -> bool:
    try:
        await asyncio.wait_for(layer.receive(channel), SILENCE_S)
    except TimeoutError:
        return True
    return False


def _hub() -> HubChannelLayer:
    return HubChannelLayer(redis_url=settings.REDIS_URL, prefix="test-layer")


@pytest.fixture(params=["hub", pytest.param("channels_redis", marks=pytest.mark.scaled_only)])
async def layer(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    made = (
        _hub() if request.param == "hub" else RedisPubSubChannelLayer(hosts=[settings.REDIS_URL], prefix="test-layer")
    )
    yield made
    await made.flush()


@pytest.fixture
async def two() -> AsyncIterator[tuple[HubChannelLayer, HubChannelLayer]]:
    """As two server processes on one Redis."""
    pair = (_hub(), _hub())
    yield pair
    for one in pair:
        await one.close()


async def test_send_reaches_its_channel_in_order(layer: Any) -> None:
    channel = await layer.new_channel()
    for number in range(3):
        await layer.send(channel, {"type": "x", "number": number})
    assert [(await receive(layer, channel))["number"] for _ in range(3)] == [0, 1, 2]


async def test_group_send_reaches_members_and_nobody_else(layer: Any) -> None:
    inside, outside = await layer.new_channel(), await layer.new_channel()
    await layer.group_add("trip.1", inside)
    await layer.group_add("trip.2", outside)
    await layer.group_send("trip.1", {"type": "x"})
    assert await receive(layer, inside) == {"type": "x"}
    assert await is_silent(layer, outside)


async def test_group_discard_ends_membership_of_that_channel_alone(layer: Any) -> None:
    leaving, staying = await layer.new_channel(), await layer.new_channel()
    for channel in (leaving, staying):
        await layer.group_add("driver.1", channel)
    await layer.group_discard("driver.1", leaving)
    await layer.group_send("driver.1", {"type": "x"})
    assert await receive(layer, staying) == {"type": "x"}
    assert await is_silent(layer, leaving)


@pytest.mark.parametrize("name", ["", "with space", "x" * 101, "ä"])
async def test_bad_group_name_is_refused(name: str) -> None:
    hub = HubChannelLayer()
    with pytest.raises(TypeError):
        await hub.group_add(name, await hub.new_channel())


async def test_closed_socket_leaves_nothing_behind() -> None:
    hub = _hub()
    channel = await hub.new_channel()
    await hub.group_add("trip.1", channel)
    hub.discard_channel(channel, ["trip.1"])
    assert hub.joined == []
    await hub.close()


async def _kill_connections_of(layer: HubChannelLayer) -> None:
    process = (await layer.new_channel()).partition("!")[0].rpartition(".")[2]
    admin = Redis.from_url(settings.REDIS_URL)
    for client in await admin.client_list():
        if client["name"].endswith(process):
            await admin.client_kill_filter(_id=client["id"])
    await admin.aclose()


# The mailbox


async def test_newest_position_replaces_the_waiting_one() -> None:
    mailbox = Mailbox(10)
    mailbox.put({"type": "position", "key": "trip.1", "lat": 1})
    mailbox.put({"type": "event"})
    mailbox.put({"type": "position", "key": "trip.1", "lat": 2})
    mailbox.put({"type": "position", "key": "trip.2", "lat": 3})
    assert [await mailbox.get() for _ in range(3)] == [
        {"type": "position", "key": "trip.1", "lat": 2},
        {"type": "event"},
        {"type": "position", "key": "trip.2", "lat": 3},
    ]


async def test_overflow_becomes_one_resync_and_never_a_silent_gap() -> None:
    mailbox = Mailbox(3)
    for number in range(5):
        mailbox.put({"type": "event", "number": number})
    assert await mailbox.get() == RESYNC
    assert await mailbox.get() == {"type": "event", "number": 4}


# Between processes


@pytest.mark.scaled_only
async def test_group_reaches_the_other_process_once(two: tuple[HubChannelLayer, HubChannelLayer]) -> None:
    here, there = two
    channels = [await here.new_channel(), await there.new_channel()]
    await here.group_add("trip.1", channels[0])
    await there.group_add("trip.1", channels[1])
    await here.group_send("trip.1", {"type": "x"})
    assert await receive(here, channels[0]) == {"type": "x"}
    assert await receive(there, channels[1]) == {"type": "x"}
    assert await is_silent(here, channels[0])
    assert await is_silent(there, channels[1])


@pytest.mark.scaled_only
async def test_channel_of_the_other_process_is_reached(two: tuple[HubChannelLayer, HubChannelLayer]) -> None:
    here, there = two
    channel = await there.new_channel()
    await there.group_add("any", channel)
    await here.send(channel, {"type": "x"})
    assert await receive(there, channel) == {"type": "x"}


@pytest.mark.scaled_only
async def test_many_joins_are_confirmed_before_they_return(two: tuple[HubChannelLayer, HubChannelLayer]) -> None:
    here, there = two
    channels = [await there.new_channel() for _ in range(200)]
    await asyncio.gather(*(there.group_add(f"trip.{n}", channel) for n, channel in enumerate(channels)))
    for number in range(200):
        await here.group_send(f"trip.{number}", {"type": "x", "number": number})
    assert [(await receive(there, channel))["number"] for channel in channels] == list(range(200))


@pytest.mark.scaled_only
async def test_lost_bus_tells_every_channel_to_resync_and_works_again(
    two: tuple[HubChannelLayer, HubChannelLayer],
) -> None:
    here, there = two
    channel = await there.new_channel()
    await there.group_add("trip.1", channel)
    await _kill_connections_of(there)
    assert await receive(there, channel) == RESYNC
    await here.group_send("trip.1", {"type": "x"})
    while (message := await receive(there, channel)) == RESYNC:
        pass
    assert message == {"type": "x"}


@pytest.mark.scaled_only
async def test_message_that_cannot_be_delivered_cuts_nobody_off(
    two: tuple[HubChannelLayer, HubChannelLayer], caplog: pytest.LogCaptureFixture
) -> None:
    """Of another release, or of a socket with a fault: the next message is for others."""
    here, there = two
    faulty, channel = await there.new_channel(), await there.new_channel()
    await there.group_add("trip.1", faulty)
    await there.group_add("trip.2", channel)
    there.attach(faulty, lambda message: bool(message["missing"]))
    await here.group_send("trip.1", {"type": "x"})
    await here.group_send("trip.2", {"type": "x", "number": 2})
    assert (await receive(there, channel))["number"] == 2
    assert "could not be delivered" in caplog.text


@pytest.mark.scaled_only
async def test_positions_go_only_to_the_process_that_watches(two: tuple[HubChannelLayer, HubChannelLayer]) -> None:
    here, there = two
    for layer in two:
        await layer.start()
    assert not here.is_watched("trip.1")
    channel = await there.new_channel()
    await there.group_add("trip.1", channel)
    await _until(lambda: here.is_watched("trip.1"), here, there)
    here.relay("trip.1", {"type": "position", "key": "trip.1", "lat": 1})
    assert (await receive(there, channel))["lat"] == 1
    await there.group_discard("trip.1", channel)
    await _until(lambda: not here.is_watched("trip.1"), here, there)


@pytest.mark.scaled_only
async def test_process_that_starts_late_learns_who_watches_what(two: tuple[HubChannelLayer, HubChannelLayer]) -> None:
    late, there = two
    await there.group_add("trip.1", await there.new_channel())
    await late.start()
    await _until(lambda: late.is_watched("trip.1"), late, there)
    await there.close()
    await _until(lambda: not late.is_watched("trip.1"), late, late)


@pytest.mark.scaled_only
async def test_lost_bus_learns_again_who_watches_what(two: tuple[HubChannelLayer, HubChannelLayer]) -> None:
    here, there = two
    await here.start()
    channel = await there.new_channel()
    await there.group_add("trip.1", channel)
    await _until(lambda: here.is_watched("trip.1"), here, there)
    await _kill_connections_of(here)
    await there.group_add("trip.2", channel)
    await _until(lambda: here.is_watched("trip.2"), here, there)


async def _until(happened: Any, sender: HubChannelLayer, receiver: HubChannelLayer) -> None:
    """Looks after each message that makes the round: what was announced before it has arrived then."""
    async with asyncio.timeout(10):
        channel = await receiver.new_channel()
        while not happened():
            try:
                await sender.send(channel, {"type": "round"})
                await receive(receiver, channel)
            except (OSError, TimeoutError):
                continue


@pytest.mark.scaled_only
async def test_socket_that_ends_while_the_bus_closes_starts_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Saying goodbye to the other processes takes a moment, and sockets leave their groups in it."""
    layer = _hub()
    channel = await layer.new_channel()
    await layer.group_add("trip.1", channel)
    bus = layer._bus
    assert bus is not None
    announce = bus._announce

    async def while_a_socket_ends(word: str, groups: Sequence[str]) -> None:
        layer.discard_channel(channel, {"trip.1"})
        bus.publish("g:trip.1", {"type": "x"})
        await announce(word, groups)

    monkeypatch.setattr(bus, "_announce", while_a_socket_ends)
    await layer.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not [task for task in others if "Bus._flush" in repr(task)]
    with pytest.raises(ConnectionError):
        await bus.drain()
