"""Who draws which event, and how often: each fragment once for all tabs and the answer, in each process."""

import ast
import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from channels.db import database_sync_to_async
from django.conf import settings
from django.template import Template
from django.test import Client as Browser
from django.test.signals import template_rendered
from django.urls import reverse
from django.utils import timezone
from msgspec import Struct

from drivers.models import Driver
from realtime import events, groups, page_updates
from realtime.delivery.notifications import notify
from realtime.models import Event
from realtime.outbox import PERMISSIONS_REFRESH, publish, publisher, refresh_permissions
from tests import rendering
from tests.factories import ALMATY, DriverFactory, OfferFactory, TripFactory
from trips import accepting, bookings
from trips.cards import offer_card
from trips.models import Offer, Trip
from trips.states import TripStatus

from .conftest import Client, Connect

run = database_sync_to_async
HTMX = {"HX-Request": "true"}


@pytest.mark.parametrize("name", get_args(events.Page))
def test_page_draws_the_events_that_say_so(name: events.Page) -> None:
    drawn = get_type_hints(page_updates.CHANGES[name])["event"]
    assert set(get_args(drawn) or [drawn]) == {kind for kind in events.DURABLE if name in kind.pages}


@pytest.mark.parametrize("given", [{"pages": frozenset()}, {"changes_driver": False}])
def test_event_has_to_say_who_draws_it_and_whether_it_changes_a_driver(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="does not declare"):
        type("Unsaid", (events.Durable,), given)


def _made_in(module: ast.Module) -> Iterator[str]:
    """Name the events that a module makes, or keeps in a table to make them from; a pattern of `match` is neither."""
    for node in ast.walk(module):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="events"), attr=name)):
                yield name
            case ast.Dict(values=values):
                yield from (one.attr for one in values if isinstance(one, ast.Attribute))


def test_every_event_is_published_by_some_verb() -> None:
    paths = [path for app in ("realtime", "drivers", "trips") for path in Path(settings.BASE_DIR, app).rglob("*.py")]
    made = {name for path in paths for name in _made_in(ast.parse(path.read_text()))}
    assert {kind.__name__ for kind in events.DURABLE} <= made


def test_every_event_of_the_contract_is_durable_or_says_that_it_is_not() -> None:
    tags = [one.__struct_config__.tag for one in get_args(events.Frame)]
    assert len(tags) == len(set(tags))
    assert all(issubclass(one, Struct) for one in get_args(events.Frame))
    assert all(issubclass(one, events.Durable) for one in events.DURABLE)


# How often


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Templates rendered while the test lasts, by name; the parts that others include as well."""
    monkeypatch.setattr(Template, "_render", rendering.tell_of_each)
    names: Counter[str] = Counter()

    def count(template: Any, **_signal: Any) -> None:
        if template.name:
            names[template.name] += 1

    template_rendered.connect(count, weak=False)
    yield names
    template_rendered.disconnect(count)


async def _read_until(clients: Sequence[Client], last: str) -> list[str]:
    """The HTML that each was sent before a notification of the title `last`, which comes after all that was asked."""
    texts = []
    for client in clients:
        text = ""
        while last not in (html := await client.receive_html()):
            text += html
        texts.append(text)
    return texts


class Scene:
    """A driver with two tabs, the passenger on the trip's page and on their list."""

    driver_tabs: tuple[Client, Client]
    trip_page: Client
    trip_list: Client
    offer: Offer
    _reads = 0

    async def open(self, connect: Connect) -> None:
        self.offer = await run(self._offer)()
        driver, trip = self.offer.driver, self.offer.trip
        self.driver_tabs = (
            await connect(driver.user, "/ws/dashboard/driver/"),
            await connect(driver.user, "/ws/dashboard/driver/"),
        )
        self.trip_page = await connect(trip.organiser, f"/ws/dashboard/trips/{trip.pk}/")
        self.trip_list = await connect(trip.organiser, "/ws/dashboard/trips/")
        browser = Browser()
        await run(browser.force_login)(driver.user, settings.AUTHENTICATION_BACKENDS[0])
        self._browser = browser
        await self.read()

    @staticmethod
    def _offer() -> Offer:
        trip = TripFactory.create(status=TripStatus.OFFERED, pickup=ALMATY)
        offer: Offer = OfferFactory.create(trip=trip, driver=DriverFactory.create(at=ALMATY))
        return Offer.objects.select_related("driver__user", "trip__organiser").get(pk=offer.pk)

    async def press(self, name: str, *args: int, **fields: Any) -> str:
        answer = await run(self._browser.post)(reverse(f"drivers:{name}", args=args), fields, headers=HTMX)
        assert answer.status_code == 200
        return answer.content.decode()

    async def read(self) -> list[str]:
        self._reads += 1
        last = f"Last of {self._reads}"
        await run(self._notify)(last)
        return await _read_until([*self.driver_tabs, self.trip_page, self.trip_list], last)

    def _notify(self, title: str) -> None:
        for user in (self.offer.driver.user, self.offer.trip.organiser):
            notify(user, title, audience="passenger")


@pytest.fixture
async def scene(connect: Connect) -> Scene:
    opened = Scene()
    await opened.open(connect)
    return opened


BOARD = ("stats", "notice", "working_time", "availability", "offers", "offers_empty", "active", "history", "upcoming")
BOARD_ONCE = {f"drivers/{name}.html": 1 for name in BOARD}


def _of(rendered: Counter[str], *names: str) -> dict[str, int]:
    """The renders of the dashboard's regions and of these templates."""
    watched = {*BOARD_ONCE, "drivers/filters.html", "drivers/hours.html", "drivers/offer_answered.html", *names}
    return {name: number for name, number in rendered.items() if name in watched}


TRIP_PAGES = ("trips/panel.html", "trips/list_regions.html")


async def test_accept_draws_each_fragment_once(scene: Scene, rendered: Counter[str]) -> None:
    answer = await scene.press("offer-accept", scene.offer.pk)
    first, second, trip_page, trip_list = await scene.read()

    assert _of(rendered, *TRIP_PAGES) == BOARD_ONCE | {"trips/panel.html": 1, "trips/list_regions.html": 1}
    card = f'id="trip-{scene.offer.trip_id}"'
    assert all(card in html for html in (answer, first, second))
    assert answer == first == second
    assert trip_page.count('id="trip-panel"') == 1
    assert trip_list.count('id="trips-active"') == 1
    assert "Driver found" in trip_list


async def test_decline_draws_each_fragment_once(scene: Scene, rendered: Counter[str]) -> None:
    answer = await scene.press("offer-decline", scene.offer.pk)
    first, second, *_passenger = await scene.read()

    # What the search makes of it comes when the dispatcher looks, and is the passenger's.
    assert _of(rendered) == {"drivers/offer_answered.html": 1}
    assert answer == first == second == f'<div id="offer-{scene.offer.pk}" hx-swap-oob="delete"></div>\n'


async def test_step_draws_each_fragment_once(scene: Scene, rendered: Counter[str]) -> None:
    await scene.press("offer-accept", scene.offer.pk)
    await scene.read()
    rendered.clear()

    answer = await scene.press("trip-status", scene.offer.trip_id, status="en_route")
    first, second, *_passenger = await scene.read()

    assert _of(rendered, *TRIP_PAGES) == BOARD_ONCE | {"trips/panel.html": 1, "trips/list_regions.html": 1}
    assert answer == first == second


async def test_filters_draw_the_answers_form_and_one_panel_for_the_tabs(scene: Scene, rendered: Counter[str]) -> None:
    answer = await scene.press("filters-set", max_distance_km="7", trip_types="private")
    first, second, *_passenger = await scene.read()

    # The answer says "Saved" and stays open.
    assert _of(rendered, *TRIP_PAGES) == {"drivers/filters.html": 2}
    assert 'value="7' in answer
    assert 'value="7' in first
    assert first == second


async def test_repeated_accept_is_answered_with_the_dashboard_as_it_stands(scene: Scene) -> None:
    await scene.press("offer-accept", scene.offer.pk)
    later = await run(OfferFactory.create)(driver=scene.offer.driver)
    assert f'id="offer-{later.pk}"' in await scene.press("offer-accept", scene.offer.pk)


async def test_answer_does_not_take_back_what_the_tab_was_sent_meanwhile(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the commit of an accept and its answer the tabs are sent another offer; the answer lists the offers."""
    later: list[Offer] = []

    def while_others_offer(driver_id: int, *_trip: Any) -> None:
        offer = OfferFactory.create(trip=TripFactory.create(in_=dt.timedelta(hours=20)), driver=scene.offer.driver)
        offer.refresh_from_db()
        later.append(offer)
        publish(offer_card(offer, offer.trip, vehicle_seats=4), groups.driver(driver_id))

    monkeypatch.setattr(accepting, "withdraw_overlapping", while_others_offer)
    answer = await scene.press("offer-accept", scene.offer.pk)
    assert 'id="offers-list"' in answer
    assert f'id="offer-{later[0].pk}"' in answer


async def test_late_event_is_drawn_as_things_stand_when_it_comes(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue of this process lags (slow bus): a cancellation by another process comes before the accept."""
    kept_back: list[list[Event]] = []
    monkeypatch.setattr(publisher, "send", kept_back.append)
    await scene.press("offer-accept", scene.offer.pk)
    accepted = [row for rows in kept_back for row in rows]
    kept_back.clear()
    trip = await run(Trip.objects.select_related("organiser").get)(pk=scene.offer.trip_id)
    await run(bookings.cancel)(trip.pk, trip.organiser)
    cancelled = [row for rows in kept_back for row in rows]
    monkeypatch.undo()
    publisher.send([*cancelled, *accepted])
    first, *_others = await scene.read()
    active = first.rsplit('id="active-list"', 1)[1].split('id="history-list"')[0]
    assert f'id="trip-{trip.pk}"' not in active


# Permissions are refreshed without drawing; what other releases say is understood


async def test_permissions_refresh_draws_nothing_where_nothing_changed(scene: Scene, rendered: Counter[str]) -> None:
    driver: Driver = scene.offer.driver
    await run(refresh_permissions)(groups.driver(driver.pk), groups.user(driver.user_id))
    assert await scene.read() == ["", "", "", ""]
    assert set(rendered) <= {"realtime/toast.html", "realtime/badge.html"}


def _row_of_the_release_before(group: str) -> Event:
    row: Event = Event.objects.create(
        event_id="", group=group, type=PERMISSIONS_REFRESH, frame="", sweep_at=timezone.now()
    )
    return row


async def test_refresh_of_an_older_release_draws_everything(scene: Scene) -> None:
    row = await run(_row_of_the_release_before)(groups.driver(scene.offer.driver.pk))
    publisher.send([row])
    for tab in scene.driver_tabs:
        assert 'id="driver-filters"' in await tab.receive_html()


async def test_row_of_an_older_release_is_swept_and_not_resumed(scene: Scene, connect: Connect) -> None:
    client = await connect(scene.offer.driver.user, greeted=False)
    cursor = (await client.until("connection.established"))["cursor"]
    await run(_row_of_the_release_before)(groups.driver(scene.offer.driver.pk))
    assert 'id="driver-filters"' in await scene.driver_tabs[0].receive_html()
    await client.send(type="resume", cursor=cursor, ref="r")
    assert (await client.until("ack", ref="r"))["ref"] == "r"


async def test_event_of_a_newer_release_has_the_page_drawn(scene: Scene) -> None:
    frame = '{"type":"driver.promoted","id":"1","timestamp":"2026-05-04T09:30:00Z"}'
    row = Event(
        event_id="1",
        group=groups.driver(scene.offer.driver.pk),
        type="driver.promoted",
        frame=frame,
        sweep_at=timezone.now(),
    )
    await run(row.save)()
    publisher.send([row])
    assert 'id="driver-filters"' in await scene.driver_tabs[0].receive_html()


async def test_page_of_somebody_who_becomes_staff_is_drawn_anew(scene: Scene) -> None:
    trip = await run(Trip.objects.select_related("organiser").get)(pk=scene.offer.trip_id)
    trip.organiser.is_staff = True
    await run(trip.organiser.save)()
    assert 'id="trip-panel"' in await scene.trip_page.receive_html()
