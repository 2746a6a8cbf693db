"""The table of pages is complete: every address of the address map that a person opens is in it."""

import re
from collections.abc import Iterator

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, resolve

from drivers.earnings.periods import Kind
from drivers.papers import STEPS
from drivers.views import TABS
from tests.factories import DriverFactory
from tests.pages.table import PAGES
from tests.pages.visits import COMBINATIONS, rotated
from trips.states import ASSIGNED, TripStatus

# The same address map on both set-ups.
pytestmark = pytest.mark.embedded_only

# Of the administration, whose pages are the theme's, and of programs.
OTHERS = ("admin/", "api/")
# Files that a person keeps, and a picture.
FILES = {
    "driver/earnings/statement.<slug:file_format>",
    "drivers/documents/<row:document_id>/picture/",
    "ops/trips/<row:trip_id>/trail/",
    "ops/reports/<slug:name>.<slug:file_format>",
    "ops/reports/statements/statement.<slug:file_format>",
    "trips/<row:trip_id>/calendar.ics",
    "trips/<row:trip_id>/driver-photo/<row:photo_id>/",
    "trips/<row:trip_id>/receipt.pdf",
}
# Parts of a page of staff; whoever is not staff is refused before anything is drawn.
PARTS = {
    "ops/queue/",
    "ops/search/",
    "ops/in-view/",
    "ops/map/drivers/<row:driver_id>/",
    "ops/map/trips/<row:trip_id>/",
}


def _routes(patterns: list[URLPattern | URLResolver], before: str = "") -> Iterator[str]:
    for one in patterns:
        route = before + str(one.pattern)
        if isinstance(one, URLResolver):
            yield from _routes(one.url_patterns, route)
        elif not route.startswith(OTHERS):
            yield route.replace("^", "")


def _is_page(client: Client, route: str) -> bool:
    """Say whether an address answers GET with a page, or with nothing as its row does not exist."""
    address = "/" + re.sub(r"<[^>]*>|\(\?P<\w+>\[[^)]*\)|\(\?P<\w+>\.[^)]*\)", "1", route.replace("$", ""))
    answer = client.get(address)
    if answer.status_code == 405 or not answer.headers.get("Content-Type", "text/html").startswith("text/html"):
        return False
    return answer.status_code != 200 or b"<html" in answer.content


def _opened() -> set[str]:
    filled_in = {row.name: re.sub(r"\{\w+\}", "1", row.path).partition("?")[0] for row in PAGES}
    return {resolve(path).route.replace("^", "") for path in filled_in.values() if path != "/nowhere/"}


@pytest.mark.django_db
def test_every_address_that_a_person_opens_is_in_the_table(client: Client) -> None:
    client.force_login(DriverFactory.create().user)
    missing = set(_routes(get_resolver().url_patterns)) - _opened() - FILES - PARTS
    assert {route for route in missing if _is_page(client, route)} == set()


def test_every_state_of_a_page_is_in_the_table() -> None:
    names = {row.name for row in PAGES}
    wanted = {
        *(f"trip-{status}" for status in TripStatus),
        *(f"driver-{status}" for status in ASSIGNED),
        *(f"driver-{tab}-empty" for tab in TABS),
        *(f"earnings-{kind}" for kind in Kind),
        *(f"apply-{step}" for step in STEPS),
        *("403", "404", "429", "500", "503", "refused", "offline", "403-signed-in", "404-signed-in", "429-signed-in"),
    }
    assert wanted - names == set()
    assert len(names) == len(PAGES)


def test_combinations_are_covered_evenly() -> None:
    """Each language, colour and width by a third or a half of the pages, and each combination."""
    used = [combination for _row, combination in rotated(PAGES)]
    counts = {one: used.count(one) for one in COMBINATIONS}
    assert max(counts.values()) - min(counts.values()) <= 1
