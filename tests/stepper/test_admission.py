"""Admission control: requests of one client wait for each other and not for anybody else's."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from stepper.server.admission import MOST_WAITING, Client, TooManyWaiting, run_admitted

pytestmark = pytest.mark.embedded_only

WITHIN_S = 10
ONE, ANOTHER = Client("192.0.2.1", "one"), Client("192.0.2.1", "another")


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as pool:
        yield pool


async def test_requests_of_one_client_leave_a_thread_to_others(pool: ThreadPoolExecutor) -> None:
    enough = threading.Event()
    flood = [asyncio.create_task(run_admitted(enough.wait, WITHIN_S, client=ONE, pool=pool)) for _ in range(5)]
    await asyncio.sleep(0)

    other = await asyncio.wait_for(run_admitted(str, "done", client=ANOTHER, pool=pool), WITHIN_S / 2)

    assert other == "done"
    enough.set()
    assert await asyncio.gather(*flood) == [True] * 5


async def test_network_whose_clients_rename_themselves_leaves_a_thread_to_others(pool: ThreadPoolExecutor) -> None:
    enough = threading.Event()
    named = [Client("192.0.2.1", str(number)) for number in range(5)] + [Client("192.0.2.1")] * 2
    flood = [asyncio.create_task(run_admitted(enough.wait, WITHIN_S, client=one, pool=pool)) for one in named]
    await asyncio.sleep(0)

    elsewhere = Client("192.0.2.2", "one")
    assert await asyncio.wait_for(run_admitted(str, "done", client=elsewhere, pool=pool), WITHIN_S / 2) == "done"

    enough.set()
    assert await asyncio.gather(*flood) == [True] * len(named)


async def test_request_that_names_no_client_waits_for_none(pool: ThreadPoolExecutor) -> None:
    both = threading.Barrier(2)
    requests = [run_admitted(both.wait, WITHIN_S, client=None, pool=pool) for _ in range(2)]
    assert sorted(await asyncio.gather(*requests)) == [0, 1]


async def test_client_whose_request_was_cancelled_while_it_waited_is_served_again(pool: ThreadPoolExecutor) -> None:
    enough = threading.Event()
    first, second = (asyncio.create_task(run_admitted(enough.wait, WITHIN_S, client=ONE, pool=pool)) for _ in range(2))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    enough.set()
    await first
    assert await run_admitted(str, "done", client=ONE, pool=pool) == "done"


async def test_client_that_was_refused_waits_and_others_do_not(pool: ThreadPoolExecutor) -> None:
    await run_admitted(str, "refused", client=ONE, pool=pool, pause_s=lambda answer: 60.0 if answer == "refused" else 0)
    again = asyncio.create_task(run_admitted(str, "again", client=ONE, pool=pool))

    # Of the same network, one after the other: the pause holds neither a thread nor a place of the network.
    for number in range(4):
        other = run_admitted(str, number, client=ANOTHER, pool=pool, pause_s=lambda _answer: 0)
        assert await asyncio.wait_for(other, WITHIN_S) == str(number)

    assert not again.done()
    again.cancel()


async def test_client_that_was_refused_is_served_after_the_pause(pool: ThreadPoolExecutor) -> None:
    loop = asyncio.get_running_loop()
    await run_admitted(str, "refused", client=ONE, pool=pool, pause_s=lambda _answer: 0.05)
    before = loop.time()
    assert await asyncio.wait_for(run_admitted(str, "again", client=ONE, pool=pool), WITHIN_S) == "again"
    # Timers end up to the clock's resolution early.
    assert loop.time() - before >= 0.04


async def test_client_that_hung_up_before_it_was_refused_waits_as_well(pool: ThreadPoolExecutor) -> None:
    begun, enough = threading.Event(), threading.Event()

    def refuse() -> str:
        begun.set()
        enough.wait(WITHIN_S)
        return "refused"

    first = asyncio.create_task(run_admitted(refuse, client=ONE, pool=pool, pause_s=lambda _answer: 60))
    assert await asyncio.to_thread(begun.wait, WITHIN_S)
    first.cancel()
    enough.set()
    with pytest.raises(asyncio.CancelledError):
        await first
    again = asyncio.create_task(run_admitted(str, "again", client=ONE, pool=pool))
    assert await run_admitted(str, "other", client=ANOTHER, pool=pool) == "other"
    served, _waiting = await asyncio.wait({again}, timeout=0.5)
    assert not served
    again.cancel()


async def test_client_over_its_limit_may_have_only_so_many_requests_wait(pool: ThreadPoolExecutor) -> None:
    enough = threading.Event()
    flood = [asyncio.create_task(run_admitted(enough.wait, WITHIN_S, client=ANOTHER, pool=pool)) for _ in range(60)]
    await run_admitted(str, "refused", client=ONE, pool=pool, pause_s=lambda _answer: 60)
    waiting = [asyncio.create_task(run_admitted(str, "again", client=ONE, pool=pool)) for _ in range(MOST_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyWaiting):
        await run_admitted(str, "one more", client=ONE, pool=pool)
    for one in waiting:
        one.cancel()

    # Who was not refused may have as many wait as it likes.
    enough.set()
    assert await asyncio.gather(*flood) == [True] * 60
