"""What the dispatcher forgets."""

import asyncio
import datetime as dt

import pytest
from django.utils import timezone

from drivers.models import TrailPoint
from realtime.models import Event, ServerBeat
from stepper.models import ServiceSettings
from stepper.server import dispatcher
from tests.factories import TripFactory
from trips.models import DispatchRound

pytestmark = pytest.mark.django_db

DAY = dt.timedelta(days=1)


def rounds(*ages: dt.timedelta) -> list[DispatchRound]:
    trip = TripFactory()
    made = [DispatchRound.objects.create(trip=trip, number=number) for number, _age in enumerate(ages, 1)]
    for one, age in zip(made, ages, strict=True):
        DispatchRound.objects.filter(pk=one.pk).update(created_at=timezone.now() - age)
    return made


def test_prune_keeps_rounds_as_long_as_staff_say() -> None:
    ServiceSettings.objects.create(pk=1, rounds_kept_days=10)
    _over, kept, new = rounds(10.1 * DAY, 9.9 * DAY, 0 * DAY)

    assert dispatcher.prune() == 1
    assert set(DispatchRound.objects.values_list("pk", flat=True)) == {kept.pk, new.pk}


def test_prune_takes_the_oldest_first_and_not_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "PRUNED_AT_ONCE", 2)
    made = rounds(*[100 * DAY] * 3)

    dispatcher.prune()

    assert DispatchRound.objects.get() == made[-1]


def points(*ages: dt.timedelta) -> list[TrailPoint]:
    trip, now = TripFactory(), timezone.now()
    return [TrailPoint.objects.create(trip=trip, lat=43, lng=76, recorded_at=now - age) for age in ages]


def test_prune_keeps_trails_as_long_as_staff_say() -> None:
    ServiceSettings.objects.create(pk=1, trail_kept_days=10)
    _over, kept, new = points(10.1 * DAY, 9.9 * DAY, 0 * DAY)

    assert dispatcher.prune() == 1
    assert set(TrailPoint.objects.values_list("pk", flat=True)) == {kept.pk, new.pk}


def test_prune_takes_the_oldest_points_first_and_not_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "PRUNED_AT_ONCE", 2)
    made = points(*[100 * DAY] * 3)

    assert dispatcher.prune() == 2
    assert TrailPoint.objects.get() == made[-1]


@pytest.mark.django_db(transaction=True)
def test_dispatcher_with_more_to_prune_goes_on_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not ten minutes later: trails grow faster than one go a while deletes."""
    monkeypatch.setattr(dispatcher, "PRUNED_AT_ONCE", 2)
    monkeypatch.setattr(dispatcher, "PRUNE_ON_S", 0.0)
    points(*[100 * DAY] * 5)

    prune = dispatcher.prune

    async def until_nothing_is_left() -> None:
        loop, nothing_left = asyncio.get_running_loop(), asyncio.Event()

        def watched() -> int:
            done = prune()
            if not TrailPoint.objects.exists():
                loop.call_soon_threadsafe(nothing_left.set)
            return done

        monkeypatch.setattr(dispatcher, "prune", watched)
        one = dispatcher.Dispatcher()
        one.start()
        async with asyncio.timeout(30):
            await nothing_left.wait()
        await one.stop()

    asyncio.run(until_nothing_is_left())


def test_prune_keeps_events_a_day_and_those_that_nobody_has_published() -> None:
    now = timezone.now()
    for name, at in (("over", now), ("waiting", None), ("new", now)):
        Event.objects.create(event_id=name, group="staff", type="x", frame="{}", sweep_at=now, published_at=at)
    Event.objects.exclude(event_id="new").update(created_at=now - 1.1 * DAY)

    assert dispatcher.prune() == 1
    assert set(Event.objects.values_list("event_id", flat=True)) == {"waiting", "new"}


def test_prune_forgets_dispatchers_long_gone() -> None:
    for name, age in (("gone", 2 * DAY), ("here", 0 * DAY)):
        ServerBeat.objects.create(name=name, beat_at=timezone.now() - age)

    dispatcher.prune()

    assert ServerBeat.objects.get().name == "here"
