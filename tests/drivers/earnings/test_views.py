"""The earnings page: who sees it, what it says, its fragments, files and limits."""

import datetime as dt
import re
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.template.loader import render_to_string
from django.test import Client
from django.utils import timezone

from drivers.earnings import listing, page, periods, ranking
from drivers.earnings.periods import Kind
from drivers.models import Driver, DriverMetrics
from drivers.updates import publish_update
from realtime import events, groups
from stepper.models import ServiceSettings
from tests.factories import ALMATY, DriverFactory, OfferFactory, PassengerFactory, TripFactory, former_leg
from tests.outbox import frames
from trips.cards import offer_card
from trips.models import Offer, Trip
from trips.states import TripStatus

pytestmark = pytest.mark.django_db

EARNINGS = "/driver/earnings/"
HOME = ZoneInfo("Asia/Almaty")


def completed(driver: Driver, at: dt.datetime | None = None, **fields: Any) -> Trip:
    money = {"fare": 2000, "platform_fee": 300, "driver_earnings": 1700}
    at = at or timezone.now()
    trip: Trip = TripFactory(status=TripStatus.COMPLETED, driver=driver, completed_at=at, **money | fields)
    return trip


def text(response: Any) -> str:
    html = response if isinstance(response, str) else response.content.decode()
    return re.sub(r"[ \t\n]+", " ", re.sub(r"<[^>]+>", " ", html)).strip()


def shown_trips(response: Any) -> list[int]:
    return [int(pk) for pk in re.findall(r'<article id="earned-(\d+)"', response.content.decode())]


def test_page_shows_the_day_with_fare_fee_share_and_cash(signed_in: Client, driver: Driver) -> None:
    trip = completed(driver)
    completed(DriverFactory(at=ALMATY))
    response = signed_in.get(EARNINGS)
    words = text(response)
    assert 'data-testid="earnings-total">₸1\u202f700</p>' in response.content.decode()
    assert "Today · your share" in words
    assert "1 trip, fare ₸2\u202f000, fee ₸300" in words
    assert "Cash collected ₸2\u202f000 Of it you owe the service ₸300" in words
    assert shown_trips(response) == [trip.pk]
    assert "fare ₸2\u202f000 fee ₸300 cash ₸2\u202f000" in words


@pytest.mark.parametrize("kind", list(Kind))
def test_page_without_trips_says_what_will_appear(signed_in: Client, kind: Kind) -> None:
    response = signed_in.get(f"{EARNINGS}?{kind}=")
    assert "Each trip that you complete appears" in text(response)
    assert "Nothing was earned in this period." in response.content.decode()
    assert 'class="chart__bar"' not in response.content.decode()


def test_page_shows_an_earlier_period_and_the_way_between_them(signed_in: Client, driver: Driver) -> None:
    old = completed(driver, dt.datetime(2026, 2, 11, 9, 0, tzinfo=HOME))
    response = signed_in.get(f"{EARNINGS}?week=2026-02-12")
    html = response.content.decode()
    assert shown_trips(response) == [old.pk]
    assert "9 February – 15 February 2026" in html
    assert "?week=2026-02-02" in html
    assert "?week=2026-02-16" in html
    assert "statement.pdf?month=2026-02" in html
    assert "data-ends-at" not in html


@pytest.mark.parametrize("query", ["month=0", "month=2026-13", "month=99999-01", "month=2099-01", "day=x", "week=-1"])
def test_wrong_period_is_refused_with_a_reason(signed_in: Client, query: str) -> None:
    for path in (EARNINGS, f"{EARNINGS}statement.csv", f"{EARNINGS}statement.pdf"):
        if path == EARNINGS or query.startswith("month"):
            response = signed_in.get(f"{path}?{query}")
            assert response.status_code == 400
            assert re.search("There is no such (month|day)|has not begun yet", text(response))


def test_dashboard_and_menu_lead_to_the_earnings(signed_in: Client) -> None:
    links = re.findall(r'href="(/driver/earnings/[^"]*)"', signed_in.get("/driver/").content.decode())
    assert {*links} == {"/driver/earnings/", "/driver/earnings/?day=", "/driver/earnings/?week="}


def test_page_is_for_drivers(client: Client) -> None:
    client.force_login(PassengerFactory())
    for path in (EARNINGS, f"{EARNINGS}statement.csv"):
        assert client.get(path).status_code == 403
        assert client.post(path).status_code == 405


def test_further_trips_come_a_page_at_a_time(
    signed_in: Client, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "PAGE", 2)
    at = dt.datetime(2026, 2, 11, 9, 0, tzinfo=HOME)
    # Two of the same instant, on both sides of the break.
    trips = [completed(driver, at + dt.timedelta(hours=number)) for number in (0, 1, 1, 2, 3)]
    address = f"{EARNINGS}?day=2026-02-11"
    seen: list[int] = []
    while address:
        response = signed_in.get(address, headers={"HX-Request": "true"} if seen else {})
        seen += shown_trips(response)
        more = re.search(r'id="earnings-more".*?hx-get="([^"]+)"', response.content.decode(), re.DOTALL)
        address = more[1].replace("&amp;", "&") if more else ""
    assert seen == [trip.pk for trip in reversed(trips)]
    assert b"<html" not in response.content


@pytest.mark.parametrize("before", ["x", "1", "1-", "-1", f"{'9' * 18}-1", "1-" + "9" * 19])
def test_page_that_was_never_offered_is_not_found(signed_in: Client, before: str) -> None:
    assert signed_in.get(EARNINGS, {"day": "", "before": before}).status_code == 404


def test_ranking_says_what_each_figure_changes(signed_in: Client, driver: Driver) -> None:
    ServiceSettings.objects.create(
        pk=1, weight_rating_km=2.0, weight_acceptance_km=3.0, weight_waiting_km=0.5, weight_cancellations_km=0.0
    )
    Driver.objects.filter(pk=driver.pk).update(rating_sum=9, rating_count=2)
    DriverMetrics.objects.create(driver=driver, acceptance=0.5, cancellations=2, last_trip_at=None)
    words = text(signed_in.get(EARNINGS))
    assert "Rating 4.5 · 2 ratings counts as 1.0 km farther away" in words
    assert "Offers accepted, 7 days 50 % counts as 1.5 km farther away" in words
    assert "Trips given back, 7 days 2 does not count at present" in words
    assert "Waiting since your last trip no trip yet counts as 2.0 km nearer" in words


def test_ranking_of_a_new_driver_changes_nothing(signed_in: Client) -> None:
    ServiceSettings.objects.create(pk=1, weight_rating_km=2.0)
    words = text(signed_in.get(EARNINGS))
    assert "Rating new changes nothing" in words
    assert "Offers accepted, 7 days no offers yet" in words


@pytest.mark.parametrize("trips", [1, 3])
def test_page_costs_the_same_for_1_and_3_trips(
    signed_in: Client, driver: Driver, trips: int, query_count: Callable[[int, int], Any]
) -> None:
    for _number in range(trips):
        completed(driver)
    signed_in.get(EARNINGS)
    with query_count(12, 12):
        signed_in.get(f"{EARNINGS}?month=")


@pytest.mark.embedded_only
@pytest.mark.parametrize(("name", "kind"), [("csv", "text/csv; charset=utf-8"), ("pdf", "application/pdf")])
def test_statement_is_a_file_that_nobody_keeps(signed_in: Client, driver: Driver, name: str, kind: str) -> None:
    completed(driver, dt.datetime(2026, 2, 11, 9, 0, tzinfo=HOME))
    response = signed_in.get(f"{EARNINGS}statement.{name}?month=2026-02")
    assert response.headers["Content-Type"] == kind
    assert response.headers["Content-Disposition"] == f'attachment; filename="steppergo-2026-02.{name}"'
    assert "no-store" in response.headers["Cache-Control"]


def test_statement_over_the_limit_is_429_and_unknown_format_404(signed_in: Client) -> None:
    assert signed_in.get(f"{EARNINGS}statement.xls").status_code == 404
    for _number in range(9):
        signed_in.get(f"{EARNINGS}statement.csv")
    response = signed_in.get(f"{EARNINGS}statement.csv")
    assert (response.status_code, "Retry-After" in response.headers) == (429, True)


# Live


def ids(driver: Driver) -> tuple[int, int, int]:
    today = periods.current(Kind.DAY, ZoneInfo(driver.timezone), timezone.now())
    return (driver.pk, *page.period_ids("day", today.key))


def status_event(trip: Trip, new: str) -> events.TripStatusUpdated:
    return events.TripStatusUpdated(trip_id=trip.pk, version=1, previous="", new=new)


def test_end_of_a_trip_that_was_handed_over_draws_all_regions(driver: Driver) -> None:
    trip = TripFactory(status=TripStatus.COMPLETED)
    leg = former_leg(trip, driver)
    publish_update(driver, "trips")
    (frame,) = frames(groups.driver(driver.pk))
    assert isinstance(frame, events.DriverUpdated)
    assert f'id="earned-{leg.trip_id}"' in page.render(frame, *ids(driver))


def test_completed_trip_draws_all_regions_and_a_step_only_the_switch(driver: Driver) -> None:
    trip = completed(driver)
    drawn = page.render(status_event(trip, "completed"), *ids(driver))
    assert re.findall(r'id="(earnings-\w+|availability)"[^>]*hx-swap-oob', drawn) == [
        *("earnings-summary", "earnings-chart", "earnings-table", "earnings-trips", "earnings-ranking", "availability")
    ]
    assert "₸1\u202f700" in drawn
    step = page.render(status_event(trip, "en_route"), *ids(driver))
    assert re.findall(r'id="([\w-]+)"[^>]*hx-swap-oob', step) == ["availability"]


def test_new_offer_leads_to_the_dashboard(driver: Driver) -> None:
    offer = Offer.objects.select_related("trip").get(pk=OfferFactory(driver=driver).pk)
    drawn = page.render(offer_card(offer, offer.trip, vehicle_seats=4), *ids(driver))
    assert 'href="/driver/"' in drawn
    assert "New offer: ₸" in drawn


def test_what_is_too_little_to_show_changes_nothing() -> None:
    effect = ranking.Effect(-0.02, is_off=False)
    assert "changes nothing" in render_to_string("drivers/earnings/effect.html", {"effect": effect})
    effect = ranking.Effect(-0.06, is_off=False)
    assert "counts as 0.1 km nearer" in render_to_string("drivers/earnings/effect.html", {"effect": effect})
