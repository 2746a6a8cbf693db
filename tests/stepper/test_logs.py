"""What a request that failed leaves in the log: where, but no link that sets a password or confirms an address."""

import logging

import pytest
from django.db import connection
from django.test import Client

from tests.factories import PassengerFactory

pytestmark = pytest.mark.django_db


def written(records):
    """The lines as the process's own handler writes them."""
    [formatter] = {
        handler.formatter for handler in logging.getLogger().handlers if type(handler) is logging.StreamHandler
    }
    return "\n".join(formatter.format(record) for record in records)


def break_down(run, sql, params, many, context):
    """A fault of ours, in whatever the request asks the database first."""
    raise ZeroDivisionError


@pytest.mark.parametrize("path", ["/accounts/password/reset/key/1-secret-key/", "/accounts/e-mail/secret-token/"])
def test_link_of_a_request_that_failed_is_not_in_the_log(caplog, path):
    client = Client(raise_request_exception=False)
    client.force_login(PassengerFactory())
    with connection.execute_wrapper(break_down):
        assert client.get(path).status_code == 500
    log = written(caplog.records)
    assert path.partition("secret")[0].removesuffix("1-") in log
    assert "secret" not in log


def test_link_in_a_traceback_is_not_in_the_log(caplog):
    try:
        raise ValueError("'https://go.example.kz/accounts/password/reset/key/1-secret-key/' went wrong")
    except ValueError:
        logging.getLogger("stepper").exception("failed")
    log = written(caplog.records)
    assert "/accounts/password/reset/key/…/' went wrong" in log
    assert "secret" not in log
