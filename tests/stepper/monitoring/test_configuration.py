"""Settings of monitoring that a process refuses to start with."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from stepper.monitoring.configuration import (
    read_log_format,
    read_metrics_port,
    read_metrics_token,
    read_sentry_dsn,
)

# No database or Redis plays a part.
pytestmark = pytest.mark.embedded_only

SECRET = "s3cret"


@pytest.mark.parametrize("token", [SECRET * 3, f"{SECRET * 4} ", f"{SECRET * 4}ключ", f"{SECRET * 4}\n"])
def test_token_that_can_be_guessed_or_not_sent_is_refused_without_saying_it(token: str) -> None:
    with pytest.raises(ImproperlyConfigured) as refusal:
        read_metrics_token(token)
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize("token", ["", SECRET * 4])
def test_token_of_24_characters_or_none_is_taken(token: str) -> None:
    assert read_metrics_token(token) == token


@pytest.mark.parametrize(
    "dsn", ["sentry.example.kz/1", "https://sentry.example.kz/1", "https://key@sentry.example.kz", "ftp://key@a.kz/1"]
)
def test_address_without_key_host_or_project_is_refused(dsn: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="SENTRY_DSN"):
        read_sentry_dsn(dsn)


@pytest.mark.parametrize("dsn", ["", "https://key@sentry.example.kz/1", "http://key@127.0.0.1:9000/base/1"])
def test_address_as_the_service_shows_it_is_taken(dsn: str) -> None:
    assert read_sentry_dsn(dsn) == dsn


@pytest.mark.parametrize("port", [-1, 65536])
def test_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(ImproperlyConfigured, match="METRICS_PORT"):
        read_metrics_port(port)


def test_form_of_the_log_that_is_unknown_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="LOG_FORMAT must be line or json, not 'JSON'"):
        read_log_format("JSON")
