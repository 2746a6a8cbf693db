"""Addresses with a number that no row has: not found, whatever the database makes of it."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from django.contrib import admin
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.urls.converters import IntConverter

from realtime.routing import websocket_urlpatterns
from stepper.asgi import application
from stepper.web.converters import RowConverter
from tests.factories import ALMATY, DriverFactory, StaffFactory

LONGEST = "9" * 18
TOO_LONG = "9" * 30


def _patterns(resolver: Any, before: str = "") -> Iterator[tuple[str, URLPattern]]:
    for pattern in resolver.url_patterns if isinstance(resolver, URLResolver) else resolver:
        if isinstance(pattern, URLResolver):
            yield from _patterns(pattern, before + str(pattern.pattern))
        else:
            yield before + str(pattern.pattern), pattern


OURS = [*_patterns(get_resolver()), *_patterns(websocket_urlpatterns)]
WITH_A_ROW = [
    route
    for route, pattern in _patterns(get_resolver())
    if any(isinstance(one, RowConverter) for one in pattern.pattern.converters.values())
]


MODELS: list[Any] = list(admin.site._registry)


def test_no_address_takes_a_number_of_any_length() -> None:
    loose = [route for route, one in OURS for kind in one.pattern.converters.values() if type(kind) is IntConverter]
    assert not loose
    assert WITH_A_ROW


@pytest.mark.django_db
@pytest.mark.parametrize("route", WITH_A_ROW)
def test_page_of_a_row_that_cannot_be_is_not_found(route: str) -> None:
    client = Client()
    client.force_login(DriverFactory.create(at=ALMATY).user)
    assert client.post("/" + _filled(route, TOO_LONG)).status_code == 404
    # What a row may be, and none is: other answers, as of a page that takes no POST, and no fault.
    assert client.post("/" + _filled(route, LONGEST)).status_code < 500


def _filled(route: str, number: str) -> str:
    return re.sub("<row:[a-z_]+>", number, route)


async def test_socket_of_a_trip_that_cannot_be_is_refused_with_4404(transactional_db: None) -> None:
    communicator = WebsocketCommunicator(application, f"/ws/dashboard/trips/{TOO_LONG}/")
    assert await communicator.connect() == (False, 4404)


@pytest.mark.django_db
@pytest.mark.parametrize("number", [LONGEST, TOO_LONG])
@pytest.mark.parametrize("model", MODELS, ids=lambda one: one._meta.label)
def test_administration_of_a_row_that_cannot_be_is_no_fault(model: Any, number: str) -> None:
    client = Client()
    client.force_login(StaffFactory.create())
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    for page in ("change", "history", "delete"):
        assert client.get(reverse(f"{name}_{page}", args=[number])).status_code < 500
    for field in model._meta.get_fields():
        if field.many_to_one and field.concrete:
            assert client.get(reverse(f"{name}_changelist"), {f"{field.name}__id__exact": number}).status_code < 500
