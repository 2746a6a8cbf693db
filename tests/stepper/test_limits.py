"""Counting requests and calls of verbs; what is counted is tested with the endpoints and verbs."""

import contextlib
import logging
from typing import Any

import pytest
from django.core.cache import cache
from django.test import override_settings

from stepper import limits
from stepper.errors import TooManyRequests
from stepper.models import ServiceSettings
from tests.factories import PassengerFactory, StaffFactory, UserFactory

# Nobody listens on port 1.
AWAY = {"default": {"BACKEND": "stepper.redis_cache.CountingRedisCache", "LOCATION": "redis://127.0.0.1:1/0"}}


@override_settings(CACHES=AWAY)
def test_nobody_is_refused_while_redis_is_away(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "stepper.limits"):
        limits.spend("status", 1, most=1)
        limits.spend("status", 1, most=1)
    assert "nobody's requests are counted" in caplog.text


@pytest.mark.django_db
def test_a_call_is_counted_against_the_setting_of_its_verb() -> None:
    ServiceSettings.objects.create(pk=1, changes_per_min=2)
    limits.count_call("cancel", 1, setting="changes_per_min")
    limits.count_call("cancel", 1, setting="changes_per_min")

    with pytest.raises(TooManyRequests) as refused:
        limits.count_call("cancel", 1, setting="changes_per_min")

    assert (refused.value.code, refused.value.status) == ("rate.limited", 429)
    # Another verb and another user have counts of their own.
    limits.count_call("widen", 1, setting="changes_per_min")
    limits.count_call("cancel", 2, setting="changes_per_min")


@pytest.mark.django_db
def test_the_first_call_of_a_minute_reads_no_settings(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        limits.count_call("cancel", 1, setting="changes_per_min")
    with django_assert_num_queries(1):
        limits.count_call("cancel", 1, setting="changes_per_min")


@pytest.mark.embedded_only  # with Redis it is one statement
def test_a_counter_that_ends_between_its_two_statements_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    real = cache.incr
    ended: list[str] = []

    def incr(key: str) -> int:
        if not ended:
            ended.append(key)
            cache.delete(key)
        return real(key)

    monkeypatch.setattr(cache, "incr", incr)
    assert limits.count_and_get_wait_s("scope", 1, most=1) is None
    assert ended
    assert limits.count_and_get_wait_s("scope", 1, most=1) is not None


@pytest.mark.django_db
@pytest.mark.parametrize(("factory", "counted"), [(PassengerFactory, True), (StaffFactory, False)])
def test_only_staff_who_steer_trips_are_not_counted(factory: type[UserFactory], counted: bool) -> None:
    ServiceSettings.objects.create(pk=1, changes_per_min=1)
    user = factory()
    limits.count_call_of(user, "cancel", "changes_per_min")
    with pytest.raises(TooManyRequests) if counted else contextlib.nullcontext():
        limits.count_call_of(user, "cancel", "changes_per_min")
