"""The dispatcher's loops in one process."""

import asyncio
import datetime as dt
import threading

import pytest
from django.utils import timezone

from drivers.models import TrailPoint
from realtime.models import ServerBeat
from stepper.server import dispatcher, pruning
from tests.factories import TripFactory

DAY = dt.timedelta(days=1)


def points(count: int) -> None:
    trip, at = TripFactory(), timezone.now() - 1000 * DAY
    TrailPoint.objects.bulk_create(TrailPoint(trip=trip, lat=43, lng=76, recorded_at=at) for _number in range(count))


@pytest.fixture(autouse=True)
def _prune_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "PRUNES_AFTER_S", 0.0)


async def run_until(event: asyncio.Event) -> None:
    one = dispatcher.Dispatcher()
    one.start()
    async with asyncio.timeout(30):
        await event.wait()
    await one.stop()


@pytest.mark.django_db(transaction=True)
def test_dispatcher_with_more_to_prune_goes_on_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not ten minutes later: trails grow faster than one batch a while deletes."""
    monkeypatch.setattr(pruning, "BATCH", 2)
    monkeypatch.setattr(pruning, "PRUNE_ON_S", 0.0)
    points(5)
    prune_due = pruning.Pruner.prune_due

    async def until_nothing_is_left() -> None:
        loop, nothing_left = asyncio.get_running_loop(), asyncio.Event()

        def watched(pruner: pruning.Pruner) -> float:
            wait_s = prune_due(pruner)
            if not TrailPoint.objects.exists():
                loop.call_soon_threadsafe(nothing_left.set)
            return wait_s

        monkeypatch.setattr(pruning.Pruner, "prune_due", watched)
        await run_until(nothing_left)

    asyncio.run(until_nothing_is_left())


@pytest.mark.django_db(transaction=True)
def test_offers_and_beats_do_not_wait_for_pruning(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dispatcher reports and looks for what is due while a batch takes as long as it likes."""
    is_pruning, may_end = threading.Event(), threading.Event()

    def slow(_pruner: pruning.Pruner) -> float:
        is_pruning.set()
        may_end.wait(30)
        return 600.0

    monkeypatch.setattr(pruning.Pruner, "prune_due", slow)

    async def until_it_looked_twice() -> None:
        loop, looked_twice = asyncio.get_running_loop(), asyncio.Event()
        looks: list[None] = []

        def look() -> int:
            if is_pruning.is_set():
                looks.append(None)
            if len(looks) == 2:
                loop.call_soon_threadsafe(looked_twice.set)
            return 0

        monkeypatch.setattr(dispatcher, "dispatch_due", look)
        one = dispatcher.Dispatcher()
        one.start()
        try:
            async with asyncio.timeout(30):
                await looked_twice.wait()
        finally:
            may_end.set()
            await one.stop()

    asyncio.run(until_it_looked_twice())
    assert ServerBeat.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_pruning_goes_on_after_a_failure(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async def until_called_again() -> None:
        loop, again = asyncio.get_running_loop(), asyncio.Event()
        calls: list[None] = []

        def fails_first(_pruner: pruning.Pruner) -> float:
            calls.append(None)
            if len(calls) == 1:
                raise ValueError("of the test")
            loop.call_soon_threadsafe(again.set)
            return 600.0

        monkeypatch.setattr(pruning.Pruner, "prune_due", fails_first)
        await run_until(again)

    asyncio.run(until_called_again())
    assert "old rows were not deleted" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_audit_retention_that_fails_is_logged_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Other old rows go meanwhile."""
    done: list[str] = []

    async def until_tried_again() -> None:
        loop, again = asyncio.get_running_loop(), asyncio.Event()

        def fails_first() -> int:
            done.append("audit")
            if done.count("audit") == 1:
                raise ValueError("of the test")
            loop.call_soon_threadsafe(again.set)
            return 0

        def prune(_pruner: pruning.Pruner) -> float:
            done.append("others")
            return 0.0

        monkeypatch.setattr(dispatcher, "DROPS_AUDIT_S", 0.0)
        monkeypatch.setattr(dispatcher.retention, "drop_old_months", fails_first)
        monkeypatch.setattr(pruning.Pruner, "prune_due", prune)
        await run_until(again)

    asyncio.run(until_tried_again())
    assert done[:3] == ["audit", "others", "audit"]
    assert "old months of the audit log were not dropped" in caplog.text
