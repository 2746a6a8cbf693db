"""Sockets of an account in all processes together: two counters on one Redis stand for two servers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from django.conf import settings as django_settings
from pytest_django import Settings
from redis.asyncio import Redis

from realtime.sockets import counts as sockets_counts
from realtime.sockets.counts import SocketCounts

from .test_limits import eventually

pytestmark = pytest.mark.scaled_only
USER, OTHER = 7, 8

Process = Callable[[], Awaitable[SocketCounts]]


@pytest.fixture
async def process() -> AsyncIterator[Process]:
    started: list[SocketCounts] = []

    async def start() -> SocketCounts:
        counts = SocketCounts("tests")
        await counts.open()
        started.append(counts)
        return counts

    yield start
    for counts in started:
        await counts.close()


async def _total(counts: SocketCounts, user: int = USER) -> int:
    """How many sockets the user has; by opening one and closing it."""
    _account, number = await counts.add(user)
    counts.remove(user)
    return number - 1


async def _until_total(counts: SocketCounts, total: int, user: int = USER) -> None:
    async with asyncio.timeout(10):
        while await _total(counts, user) != total:  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(0.05)


async def test_sockets_of_all_processes_are_counted(process: Process) -> None:
    one, other = await process(), await process()
    assert [(await counts.add(USER))[1] for counts in (one, one, other)] == [1, 2, 3]
    assert (await other.add(OTHER))[1] == 1
    one.remove(USER)
    await _until_total(other, 2)


async def test_process_that_stops_takes_its_sockets_with_it(process: Process) -> None:
    one, other = await process(), await process()
    await one.add(USER)
    assert await _total(other) == 1
    await one.close()
    assert await _total(other) == 0


async def test_process_that_is_killed_is_forgotten(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets_counts, "TTL_S", 1)
    monkeypatch.setattr(sockets_counts, "HEARTBEAT_S", 0.2)
    killed, other = await process(), await process()
    await killed.add(USER)
    await other.add(USER)
    assert await _total(other) == 2
    assert killed._task is not None
    killed._task.cancel()
    await _until_total(other, 1)
    # The other's own have been kept by its heartbeat meanwhile.
    assert await _total(await process()) == 1


async def test_counts_that_redis_lost_are_written_again(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets_counts, "HEARTBEAT_S", 0.05)
    one, other = await process(), await process()
    for _ in range(3):
        await one.add(USER)
    async with Redis.from_url(django_settings.REDIS_URL) as redis:
        await redis.delete(one._own, one._processes)
    await _until_total(other, 3)


async def test_process_without_redis_counts_its_own(process: Process, settings: Settings) -> None:
    other = await process()
    await other.add(USER)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    alone = await process()
    assert [(await alone.add(USER))[1] for _ in range(2)] == [1, 2]
    alone.remove(USER)
    assert (await alone.add(USER))[1] == 2
    await eventually(lambda: alone._is_away)


async def test_a_counter_closes_although_redis_swallows_its_cancellation(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client loses a cancellation that meets an answer: the task goes on as if nothing had been said."""
    counts = SocketCounts("tests")
    begun = asyncio.Event()

    async def beat() -> None:
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)

    monkeypatch.setattr(counts, "_beat", beat)
    await counts.open()
    await begun.wait()
    async with asyncio.timeout(5):
        await counts.close()


async def test_socket_whose_opening_is_given_up_is_not_counted(process: Process) -> None:
    here, there = await process(), await process()
    async with here._one_at_a_time:
        opening = asyncio.create_task(here.add(USER))
        await asyncio.sleep(0)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
    await _until_total(there, 0)
    assert not here._accounts
