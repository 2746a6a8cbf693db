"""What the dispatcher forgets."""

import datetime as dt

import pytest
from django.utils import timezone

from realtime.models import Event, ServerBeat
from stepper import dispatcher
from stepper.models import ServiceSettings
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
