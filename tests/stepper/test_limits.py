"""Counting requests where the counter cannot be reached; what is counted is tested with the endpoints."""

import logging

import pytest
from django.test import override_settings

from stepper import limits

# Nobody listens on port 1.
AWAY = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}}


@override_settings(CACHES=AWAY)
def test_nobody_is_refused_while_redis_is_away(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "stepper.limits"):
        limits.spend("status", 1, 1)
        limits.spend("status", 1, 1)
    assert "nobody's requests are counted" in caplog.text
