"""The driver's dashboard: its page, tabs, buttons and fragments."""

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from drivers import approvals, fragments
from drivers.history import HISTORY_PAGE
from drivers.models import Approval, Availability, Driver
from stepper.models import ServiceSettings
from stepper.templatetags.units import clock
from tests.factories import AIRPORT, DriverFactory, OfferFactory, PassengerFactory, StaffFactory, TripFactory, place
from tests.outbox import types
from trips import ratings
from trips.models import Offer, Rating, Trip
from trips.states import OfferStatus, Role, TripStatus, TripType

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
DASHBOARD = "/driver/"


def text(response: Any) -> str:
    """What a person reads: tags and icons out, spaces squeezed."""
    html = response if isinstance(response, str) else response.content.decode()
    return re.sub(r"[ \t\n]+", " ", re.sub(r"<[^>]+>", " ", html)).strip()


def address(name: str, *args: object) -> str:
    return reverse(f"drivers:{name}", args=args)


# The page


def test_dashboard_sends_strangers_to_sign_in(client: Client) -> None:
    response = client.get(DASHBOARD)
    assert (response.status_code, response["Location"].partition("?")[0]) == (302, reverse("account_login"))


def test_dashboard_tells_htmx_to_sign_in_when_the_session_ended(client: Client, driver: Driver) -> None:
    response = client.post(address("availability-set"), {"online": "1"}, headers=HTMX)
    assert response["HX-Redirect"].startswith(reverse("account_login"))


def test_dashboard_explains_to_passengers_that_it_is_for_drivers(client: Client) -> None:
    client.force_login(PassengerFactory())
    response = client.get(DASHBOARD)
    assert response.status_code == 403
    assert "This page is for drivers" in text(response)


def test_dashboard_shows_open_offers_the_best_first_and_counts_them_in_the_title(
    signed_in: Client, driver: Driver
) -> None:
    farther = OfferFactory(driver=driver, distance_km=9)
    nearer = OfferFactory(driver=driver, distance_km=1)
    OfferFactory(driver=driver, expires_at=timezone.now() - dt.timedelta(seconds=1))
    OfferFactory(driver=driver, status=OfferStatus.DECLINED)
    html = signed_in.get(DASHBOARD).content.decode()
    assert re.findall(r'<article id="offer-(\d+)"', html) == [str(nearer.pk), str(farther.pk)]
    assert "<title>(2) StepperGO</title>" in html


@pytest.mark.parametrize(
    ("status", "in_h", "tab"), [("en_route", 3, "active"), ("accepted", 0, "active"), ("accepted", 3, "offers")]
)
def test_dashboard_opens_with_the_trip_at_hand(
    signed_in: Client, driver: Driver, status: str, in_h: int, tab: str
) -> None:
    TripFactory.create(driver=driver, status=status, in_=dt.timedelta(hours=in_h))
    assert f'data-tab="{tab}"' in signed_in.get(DASHBOARD).content.decode().partition('id="driver"')[2][:40]


def test_offer_card_says_what_a_driver_decides_on(signed_in: Client, driver: Driver) -> None:
    trip = TripFactory(fare=10800, platform_fee=1620, driver_earnings=9180, seats=2, bags=2)
    OfferFactory(driver=driver, trip=trip, distance_km=2.4, pickup_min=6)
    card = text(
        signed_in.get(DASHBOARD).content.decode().partition('<article id="offer-')[2].partition("</article>")[0]
    )
    for part in (
        "Urgent",
        "Short trip",
        "Whole vehicle",
        "₸9\u202f180",
        "yours of ₸10\u202f800 · cash",
        "2.4 km",
        "6 min away",
    ):
        assert part in card
    assert "Now 2 of 4 seats 2 bags" in card


def test_stats_show_earnings_rating_and_cash(signed_in: Client, driver: Driver) -> None:
    TripFactory(status=TripStatus.COMPLETED, driver=driver, fare=2000, platform_fee=300, driver_earnings=1700)
    TripFactory(status=TripStatus.EN_ROUTE, driver=driver, fare=12500, platform_fee=1875, driver_earnings=10625)
    Driver.objects.filter(pk=driver.pk).update(rating_sum=1529, rating_count=312)
    stats = text(fragments.regions(fragments.Board.of(driver.pk), ["stats"]))
    assert (
        stats == "Today ₸1\u202f700 1 trip This week ₸1\u202f700 Rating 4.9 · 312 ratings Cash to collect ₸12\u202f500"
    )


def test_rating_is_new_where_nobody_has_rated(signed_in: Client) -> None:
    assert "Rating new" in text(signed_in.get(DASHBOARD))


@pytest.mark.parametrize(
    ("approval", "says"),
    [
        (Approval.PENDING, "Your application is being checked."),
        (Approval.REJECTED, "Your application was rejected."),
        (Approval.SUSPENDED, "Your account is suspended."),
    ],
)
def test_dashboard_without_approval_says_so_and_shows_no_offers(
    signed_in: Client, driver: Driver, approval: str, says: str
) -> None:
    OfferFactory(driver=driver)
    Driver.objects.filter(pk=driver.pk).update(approval=approval, availability=Availability.OFFLINE, is_online=False)
    html = signed_in.get(DASHBOARD).content.decode()
    assert says in html
    assert 'data-testid="offer-card"' not in html
    switch = html.partition('data-testid="availability-toggle"')[2].partition(">")[0]
    assert "disabled" in switch


@pytest.mark.parametrize("path", ["accept", "decline"])
def test_answers_are_posts(signed_in: Client, driver: Driver, path: str) -> None:
    offer = OfferFactory(driver=driver)
    assert signed_in.get(address(f"offer-{path}", offer.pk)).status_code == 405


# Tabs


@pytest.mark.parametrize("name", ["offers", "active", "history"])
def test_tab_is_a_page_of_its_own_without_scripts(signed_in: Client, name: str) -> None:
    html = signed_in.get(address("tab", name)).content.decode()
    panel = html.partition(f'id="{name}-panel"')[2].partition(">")[0]
    assert "hidden" not in panel


def test_unknown_tab_is_not_found(signed_in: Client) -> None:
    assert signed_in.get(address("tab", "settings")).status_code == 404


@pytest.mark.parametrize(("name", "queries"), [("offers", 4), ("active", 10), ("history", 9)])
@pytest.mark.parametrize("rows", [1, 3])
def test_tab_costs_the_same_for_one_row_and_three(
    signed_in: Client, driver: Driver, name: str, queries: int, rows: int, query_count: Callable[[int, int], Any]
) -> None:
    for number in range(rows):
        OfferFactory(driver=driver)
        TripFactory(status=TripStatus.ACCEPTED, driver=driver, in_=dt.timedelta(days=number + 1))
        TripFactory(status=TripStatus.COMPLETED, driver=driver)
    with query_count(queries, queries):
        assert signed_in.get(address("tab", name), headers=HTMX).status_code == 200


@pytest.mark.parametrize("rows", [1, 3])
def test_page_costs_the_same_for_one_row_and_three(
    signed_in: Client, driver: Driver, rows: int, query_count: Callable[[int, int], Any]
) -> None:
    for number in range(rows):
        OfferFactory(driver=driver)
        TripFactory(status=TripStatus.ACCEPTED, driver=driver, in_=dt.timedelta(days=number + 1))
        TripFactory(status=TripStatus.COMPLETED, driver=driver)
    with query_count(17, 17):
        signed_in.get(DASHBOARD)


def test_history_goes_on_where_its_page_ended(signed_in: Client, driver: Driver) -> None:
    trips = [
        TripFactory(
            status=TripStatus.COMPLETED, driver=driver, departure_at=timezone.now() - dt.timedelta(hours=number)
        )
        for number in range(HISTORY_PAGE + 2)
    ]
    first = signed_in.get(address("tab", "history")).content.decode()
    more = re.search(r'hx-get="([^"]+before=[^"]+)"', first)
    assert more
    second = signed_in.get(more[1].replace("&amp;", "&"), headers=HTMX).content.decode()
    shown = [int(pk) for pk in re.findall(r'id="past-(\d+)"', first + second)]
    assert shown == [trip.pk for trip in trips]
    assert "history-more" not in second


def test_history_does_not_say_which_passenger_gave_which_stars(signed_in: Client, driver: Driver) -> None:
    trip = TripFactory.create(driver=driver, status=TripStatus.COMPLETED)
    for by, role, stars in ((trip.organiser, Role.ORGANISER, 2), (driver.user, Role.DRIVER, 4)):
        about = driver.user if role == Role.ORGANISER else trip.organiser
        Rating.objects.create(trip=trip, by=by, about=about, role=role, stars=stars)
    html = signed_in.get(address("tab", "history")).content.decode()
    assert re.findall(r"You (?:gave|got)\s+\d\s+stars?", html) == ["You gave 4 stars"]


def test_history_with_a_made_up_place_is_not_found(signed_in: Client) -> None:
    assert signed_in.get(address("tab", "history"), {"before": "now"}).status_code == 404


# Answers to offers


def test_accept_opens_the_trip_and_takes_the_card_away(signed_in: Client, driver: Driver) -> None:
    offer = OfferFactory(driver=driver)
    response = signed_in.post(address("offer-accept", offer.pk), headers=HTMX)
    html = response.content.decode()
    assert response["HX-Trigger"] == '{"stepper:tab": {"tab": "active"}}'
    assert f'id="trip-{offer.trip_id}"' in html
    assert f'id="offer-{offer.pk}"' not in html


def test_accept_repeated_says_the_same(signed_in: Client, driver: Driver) -> None:
    offer = OfferFactory(driver=driver)
    signed_in.post(address("offer-accept", offer.pk), headers=HTMX)
    response = signed_in.post(address("offer-accept", offer.pk), headers=HTMX)
    assert (response.status_code, f'id="trip-{offer.trip_id}"' in response.content.decode()) == (200, True)


def test_accept_of_a_lost_offer_replaces_the_card_by_the_reason(signed_in: Client, driver: Driver) -> None:
    offer = OfferFactory(driver=driver)
    winner = OfferFactory(trip=offer.trip, round_number=1)
    other = Client()
    other.force_login(winner.driver.user)
    other.post(address("offer-accept", winner.pk))
    response = signed_in.post(address("offer-accept", offer.pk), headers=HTMX)
    assert (response.status_code, text(response)) == (409, "Another driver was faster.")
    assert f'id="offer-{offer.pk}"' in response.content.decode()


def test_accept_that_overlaps_leaves_the_card_with_the_reason(signed_in: Client, driver: Driver) -> None:
    mine = TripFactory(status=TripStatus.ACCEPTED, driver=driver, in_=dt.timedelta(hours=1))
    offer = OfferFactory(driver=driver)
    response = signed_in.post(address("offer-accept", offer.pk), headers=HTMX)
    at = clock(mine.departure_at, mine.timezone)
    assert (response.status_code, text(response)) == (409, f"Overlaps with your trip at {at}.")
    assert f'id="offer-{offer.pk}-reason"' in response.content.decode()


def test_accept_of_somebody_elses_offer_is_refused(signed_in: Client) -> None:
    offer = OfferFactory()
    assert signed_in.post(address("offer-accept", offer.pk), headers=HTMX).status_code == 409
    offer.refresh_from_db()
    assert offer.status == OfferStatus.PENDING


def test_accept_without_scripts_leads_to_the_trip(signed_in: Client, driver: Driver) -> None:
    offer = OfferFactory(driver=driver)
    response = signed_in.post(address("offer-accept", offer.pk), follow=True)
    assert response.redirect_chain == [(address("tab", "active"), 302)]
    assert f'id="trip-{offer.trip_id}"' in response.content.decode()


def test_refusal_without_scripts_says_why_on_the_page(signed_in: Client) -> None:
    response = signed_in.post(address("offer-accept", 10**9), follow=True)
    assert "There is no such offer." in text(response)


def test_decline_takes_the_card_away(signed_in: Client, driver: Driver) -> None:
    offer = OfferFactory(driver=driver)
    response = signed_in.post(address("offer-decline", offer.pk), headers=HTMX)
    assert response.content.decode().strip() == f'<div id="offer-{offer.pk}" hx-swap-oob="delete"></div>'
    assert Offer.objects.get(pk=offer.pk).status == OfferStatus.DECLINED


def test_decline_keeps_the_reason(signed_in: Client, driver: Driver) -> None:
    offer = OfferFactory(driver=driver)
    signed_in.post(address("offer-decline", offer.pk), {"reason": "too_far"}, headers=HTMX)
    offer.refresh_from_db()
    assert (offer.status, offer.reason) == ("declined", "too_far")


def test_decline_of_an_ended_offer_says_why(signed_in: Client, driver: Driver) -> None:
    offer = OfferFactory(driver=driver, status=OfferStatus.EXPIRED)
    response = signed_in.post(address("offer-decline", offer.pk), headers=HTMX)
    assert (response.status_code, text(response)) == (409, "Time ran out for this offer.")


# Availability and filters


def test_availability_switches_and_answers_with_its_regions(signed_in: Client, driver: Driver) -> None:
    response = signed_in.post(address("availability-set"), {"online": "0"}, headers=HTMX)
    driver.refresh_from_db()
    assert driver.availability == Availability.OFFLINE
    assert 'aria-checked="false"' in response.content.decode()
    assert "You are offline" in text(response)


def test_availability_refused_says_why(signed_in: Client, driver: Driver) -> None:
    Driver.objects.filter(pk=driver.pk).update(
        approval=Approval.PENDING, availability=Availability.OFFLINE, is_online=False
    )
    response = signed_in.post(address("availability-set"), {"online": "1"}, headers=HTMX)
    assert response.status_code == 409
    assert "Your account has not been approved yet." in text(response)


def test_switch_says_on_a_trip_while_driving(signed_in: Client, driver: Driver) -> None:
    TripFactory(status=TripStatus.EN_ROUTE, driver=driver)
    html = signed_in.get(DASHBOARD).content.decode()
    assert text(html.partition('data-testid="availability-toggle"')[2].partition(">")[2].partition("</button>")[0]) == (
        "On a trip"
    )


def test_filters_are_stored_and_shown(signed_in: Client, driver: Driver) -> None:
    wishes = {"max_distance_km": "15", "min_earnings": "2000", "trip_types": ["private"]}
    response = signed_in.post(address("filters-set"), wishes, headers=HTMX)
    driver.refresh_from_db()
    assert (driver.max_distance_km, driver.min_earnings, driver.trip_types, driver.accepts_long_distance) == (
        15.0,
        2000,
        [TripType.PRIVATE],
        False,
    )
    shown = text(response)
    assert "up to 15 km away, from ₸2\u202f000, private only, no long distance" in shown
    assert "Saved." in shown


def test_filters_left_empty_remove_the_limits(signed_in: Client, driver: Driver) -> None:
    Driver.objects.filter(pk=driver.pk).update(max_distance_km=5, min_earnings=9)
    both = {"max_distance_km": "", "min_earnings": "", "trip_types": ["private", "shared"]}
    signed_in.post(address("filters-set"), both, headers=HTMX)
    driver.refresh_from_db()
    assert (driver.max_distance_km, driver.min_earnings) == (None, None)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("max_distance_km", "far", "Enter kilometres as a number"),
        ("max_distance_km", "nan", "Enter kilometres as a number"),
        ("max_distance_km", "0", "Choose 1 to 1000 km."),
        ("max_distance_km", "1001", "Choose 1 to 1000 km."),
        ("min_earnings", "2.5", "Enter whole tenge"),
        ("min_earnings", "-1", "Choose 0 or more."),
        ("trip_types", "", "Choose from the list."),
        ("trip_types", [], "Choose at least one kind of trip."),
    ],
)
def test_filters_out_of_range_are_marked_and_not_stored(
    signed_in: Client, driver: Driver, field: str, value: object, says: str
) -> None:
    wishes = {"max_distance_km": "15", "min_earnings": "2000", "trip_types": ["private"]} | {field: value}
    response = signed_in.post(address("filters-set"), wishes, headers=HTMX)
    driver.refresh_from_db()
    assert (response.status_code, driver.max_distance_km) == (400, None)
    assert says in text(response)


# Trips


def test_steps_lead_to_completed(signed_in: Client, driver: Driver) -> None:
    trip = TripFactory(status=TripStatus.ACCEPTED, driver=driver)
    labels = []
    html = signed_in.get(address("tab", "active")).content.decode()
    while button := re.search(r'data-testid="trip-next-step" data-next="(\w+)">\s*([^<]+)<', html):
        labels.append(button[2].strip())
        html = signed_in.post(
            address("trip-status", trip.pk), {"status": button[1], "lat": "43.3", "lng": "77.0"}, headers=HTMX
        ).content.decode()
    assert labels == [
        "Set off",
        "I have arrived",
        "On board, drive off",
        "Arrived at destination",
        "Complete trip",
    ]
    trip.refresh_from_db()
    assert trip.status == TripStatus.COMPLETED
    assert set(trip.transitions.values_list("lat", "lng")) == {(43.3, 77.0)}
    assert f'id="rate-{trip.pk}"' in html


def test_active_trip_shows_passenger_cash_and_the_way(signed_in: Client, driver: Driver) -> None:
    trip = TripFactory(
        status=TripStatus.EN_ROUTE, driver=driver, pickup=AIRPORT, note="Exit 3", fare=3000, platform_fee=450,
        driver_earnings=2550, organiser=PassengerFactory(name="Aliya Karimova", phone="+77011234567"),
    )  # fmt: skip
    html = signed_in.get(address("tab", "active")).content.decode().partition(f'id="trip-{trip.pk}"')[2]
    assert 'href="tel:+77011234567"' in html
    assert "destination=43.3521,77.0405" in html
    for part in ("On the way to the pickup", "Aliya K.", "Collect in cash ₸3\u202f000", "Exit 3"):
        assert part in text(html)


@pytest.mark.parametrize(
    ("apart", "trip_type", "following"),
    [
        (False, "private", "in_transit"),
        (True, "private", "passengers_boarded"),
        (False, "shared", "passengers_boarded"),
    ],
)
def test_step_at_the_pickup_is_boarding_and_driving_off(
    signed_in: Client, driver: Driver, apart: bool, trip_type: str, following: str
) -> None:
    ServiceSettings(pk=1, boarding_apart=apart).save()
    TripFactory.create(status=TripStatus.DRIVER_ARRIVED, driver=driver, trip_type=trip_type)
    html = signed_in.get(address("tab", "active")).content.decode()
    assert f'data-next="{following}"' in html
    assert ("On board, drive off" in html) is (following == "in_transit")


def test_no_show_says_how_long_to_wait(signed_in: Client, driver: Driver) -> None:
    trip = TripFactory(status=TripStatus.DRIVER_ARRIVED, driver=driver)
    leaves_at = timezone.now() + dt.timedelta(minutes=10)
    Trip.objects.update(departure_at=leaves_at)
    until = clock(leaves_at + dt.timedelta(minutes=5), trip.timezone)
    page = signed_in.get(address("tab", "active"))
    assert f"Please wait until {until}." in text(page)
    assert 'aria-disabled="true">Cancel the trip: no-show' in page.content.decode()

    refused = signed_in.post(address("trip-status", trip.pk), {"status": "no_show"}, headers=HTMX)
    assert refused.status_code == 409
    assert f"Please wait for the passenger until {until}." in text(refused)

    Trip.objects.update(departure_at=timezone.now() - dt.timedelta(minutes=5))
    page = signed_in.get(address("tab", "active"))
    assert "Please wait until" not in text(page)
    assert "aria-disabled" not in page.content.decode()


def test_flagged_arrival_asks_for_the_location_and_is_confirmed_by_one_button(
    signed_in: Client, driver: Driver
) -> None:
    trip = TripFactory(status=TripStatus.DRIVER_ARRIVED, driver=driver, arrival_flagged=True)
    page = signed_in.get(address("tab", "active"))
    assert "No position shows that you are at the pickup" in text(page)
    assert "Please wait until" not in text(page)

    place(driver, trip.pickup_lat, trip.pickup_lng)
    signed_in.post(address("trip-status", trip.pk), {"status": "driver_arrived"}, headers=HTMX)

    trip.refresh_from_db()
    assert not trip.arrival_flagged
    assert "No position shows" not in text(signed_in.get(address("tab", "active")))


def test_status_that_is_refused_says_why(signed_in: Client, driver: Driver) -> None:
    trip = TripFactory(status=TripStatus.ACCEPTED, driver=driver)
    response = signed_in.post(address("trip-status", trip.pk), {"status": "completed"}, headers=HTMX)
    assert response.status_code == 409
    assert f'id="trip-{trip.pk}-error"' in response.content.decode()
    trip.refresh_from_db()
    assert trip.status == TripStatus.ACCEPTED


@pytest.mark.parametrize("status", ["", "teleported", "x" * 21])
def test_unknown_status_is_refused(signed_in: Client, driver: Driver, status: str) -> None:
    trip = TripFactory(status=TripStatus.ACCEPTED, driver=driver)
    assert signed_in.post(address("trip-status", trip.pk), {"status": status}, headers=HTMX).status_code == 409


def test_status_of_somebody_elses_trip_is_refused(signed_in: Client) -> None:
    trip = TripFactory(status=TripStatus.ACCEPTED)
    signed_in.post(address("trip-status", trip.pk), {"status": "en_route"}, headers=HTMX)
    trip.refresh_from_db()
    assert trip.status == TripStatus.ACCEPTED


def test_delay_is_shown_on_the_trip(signed_in: Client, driver: Driver) -> None:
    trip = TripFactory(status=TripStatus.EN_ROUTE, driver=driver)
    response = signed_in.post(
        address("trip-status", trip.pk),
        {"status": "delayed", "delay_minutes": "15", "delay_reason": "Traffic"},
        headers=HTMX,
    )
    assert "15 min late" in text(response)


@pytest.mark.parametrize("minutes", ["", "0", "soon"])
def test_delay_without_minutes_is_refused(signed_in: Client, driver: Driver, minutes: str) -> None:
    trip = TripFactory(status=TripStatus.EN_ROUTE, driver=driver)
    details = {"status": "delayed", "delay_minutes": minutes}
    response = signed_in.post(address("trip-status", trip.pk), details, headers=HTMX)
    assert response.status_code == 409
    assert f'id="trip-{trip.pk}-delay_minutes-error"' in response.content.decode()


def test_release_takes_the_trip_off_the_page(signed_in: Client, driver: Driver) -> None:
    trip = OfferFactory(driver=driver).trip
    signed_in.post(address("offer-accept", trip.offers.get().pk))
    html = signed_in.post(address("trip-status", trip.pk), {"status": "released"}, headers=HTMX).content.decode()
    assert f'id="trip-{trip.pk}"' not in html
    assert "You have given the trip back." in html
    assert Trip.objects.get(pk=trip.pk).driver is None


def test_status_updates_are_limited(signed_in: Client, driver: Driver) -> None:
    ServiceSettings(pk=1, status_per_min=1).save()
    trip = TripFactory(status=TripStatus.EN_ROUTE, driver=driver)
    delay = {"status": "delayed", "delay_minutes": "5"}
    answers = [signed_in.post(address("trip-status", trip.pk), delay, headers=HTMX).status_code for _ in range(2)]
    assert answers == [200, 429]


def test_passenger_is_rated_and_the_rating_changed_for_ten_minutes(signed_in: Client, driver: Driver) -> None:
    trip = TripFactory(status=TripStatus.COMPLETED, driver=driver)
    for stars, says in (("4", "You gave 4 stars"), ("1", "You gave 1 star ")):
        answer = signed_in.post(address("trip-rate", trip.pk), {"stars": stars}, headers=HTMX)
        assert answer.status_code == 200
        assert says in text(answer)
        assert "rating-change" in answer.content.decode()
    Rating.objects.update(created_at=timezone.now() - dt.timedelta(minutes=10))
    assert signed_in.post(address("trip-rate", trip.pk), {"stars": "5"}, headers=HTMX).status_code == 409
    assert list(Rating.objects.values_list("role", "stars")) == [(Role.DRIVER, 1)]
    assert "rating-change" not in signed_in.get(address("tab", "history")).content.decode()


def test_stars_changed_on_the_page_leave_what_a_program_wrote(signed_in: Client, driver: Driver) -> None:
    trip = TripFactory(status=TripStatus.COMPLETED, driver=driver)
    ratings.rate(trip.pk, driver.user, stars=2, comment="Luggage for five")

    signed_in.post(address("trip-rate", trip.pk), {"stars": "4"}, headers=HTMX)

    assert list(Rating.objects.values_list("stars", "comment")) == [(4, "Luggage for five")]


@pytest.mark.parametrize("stars", ["", "0", "6", "many"])
def test_rating_out_of_range_is_refused(signed_in: Client, driver: Driver, stars: str) -> None:
    trip = TripFactory(status=TripStatus.COMPLETED, driver=driver)
    response = signed_in.post(address("trip-rate", trip.pk), {"stars": stars}, headers=HTMX)
    assert (response.status_code, Rating.objects.count()) == (409, 0)


def test_changes_of_the_driver_reach_their_other_tabs(signed_in: Client, driver: Driver) -> None:
    both = {"trip_types": ["private", "shared"]}
    signed_in.post(address("filters-set"), both, headers=HTMX)
    assert types(f"driver.{driver.pk}") == ["driver.updated"]


# Working time


def test_stay_online_takes_the_warning_away(signed_in: Client, driver: Driver) -> None:
    Driver.objects.filter(pk=driver.pk).update(auto_offline_at=timezone.now() + dt.timedelta(minutes=8))
    assert 'data-testid="stay-online"' in signed_in.get(DASHBOARD).content.decode()
    answer = signed_in.post(address("availability-set"), {"online": "1"}, headers=HTMX).content.decode()
    assert 'id="driver-working-time"' in answer
    assert "stay-online" not in answer
    assert Driver.objects.get(pk=driver.pk).auto_offline_at is None


def test_looking_at_the_page_is_no_activity(signed_in: Client, driver: Driver) -> None:
    long_ago = timezone.now() - dt.timedelta(minutes=100)
    Driver.objects.filter(pk=driver.pk).update(active_at=long_ago)
    signed_in.get(DASHBOARD)
    assert Driver.objects.get(pk=driver.pk).active_at == long_ago


def test_break_from_now_on_and_its_end(signed_in: Client, driver: Driver) -> None:
    answer = signed_in.post(address("break-take"), {"minutes": "30", "in_panel": "1"}, headers=HTMX).content.decode()
    row = driver.breaks.get()
    assert "On a break until" in text(answer)
    assert 'data-online="0"' in answer
    again = signed_in.post(address("break-take"), {"minutes": "30"}, headers=HTMX)
    assert again.status_code == 409
    assert "You are offline" in text(again)

    ended = signed_in.post(address("break-end", row.pk), headers=HTMX).content.decode()
    assert "On a break" not in text(ended)
    assert 'data-online="1"' in ended
    assert signed_in.post(address("break-end", row.pk), headers=HTMX).status_code == 200


def test_break_of_somebody_else_is_not_ended(signed_in: Client) -> None:
    now = timezone.now()
    other = DriverFactory().breaks.create(starts_at=now, ends_at=now + dt.timedelta(hours=1))
    assert signed_in.post(address("break-end", other.pk), headers=HTMX).status_code == 409
    other.refresh_from_db()
    assert other.ended_at is None


def test_break_is_planned_on_the_drivers_clock(signed_in: Client, driver: Driver) -> None:
    Driver.objects.filter(pk=driver.pk).update(timezone="Asia/Aqtau")
    tomorrow = timezone.localdate() + dt.timedelta(days=1)
    form = {"date": f"{tomorrow:%Y-%m-%d}", "start": "22:30", "end": "00:15"}
    assert signed_in.post(address("break-take"), form, headers=HTMX).status_code == 200
    row = driver.breaks.get()
    assert f"{row.starts_at:%Y-%m-%d %H:%M}" == f"{tomorrow:%Y-%m-%d} 17:30"
    assert row.ends_at - row.starts_at == dt.timedelta(minutes=105)
    overlapping = signed_in.post(address("break-take"), form, headers=HTMX)
    assert (overlapping.status_code, driver.breaks.count()) == (409, 1)
    assert "planned-break" in signed_in.get(DASHBOARD).content.decode()


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({}, "Enter the day and both times."),
        ({"date": "2020-01-01", "start": "10:00", "end": "11:00"}, "This time has passed."),
        ({"date": "2099-01-01", "start": "10:00", "end": "11:00"}, "Choose a time within the next 30 days."),
        ({"date": "2099-01-01", "start": "15:00", "end": "14:00"}, "The end must be after the start."),
        ({"date": "soon", "start": "10:00", "end": "11:00"}, "Enter a date."),
        ({"minutes": "3"}, "greater than or equal to 5"),
    ],
)
def test_wrong_break_is_said_at_its_field(signed_in: Client, driver: Driver, form: dict[str, str], says: str) -> None:
    answer = signed_in.post(address("break-take"), form, headers=HTMX)
    assert answer.status_code == 400
    assert says in text(answer)
    assert not driver.breaks.exists()


HOURS = {"timezone": "Asia/Almaty", "auto_offline_min": "90", "mon_from": "08:00", "mon_to": "18:00"}


def test_hours_are_saved_and_shown(signed_in: Client, driver: Driver) -> None:
    answer = signed_in.post(address("hours-set"), HOURS, headers=HTMX)
    assert "Saved." in text(answer)
    driver.refresh_from_db()
    assert (driver.weekly_hours, driver.auto_offline_min) == ({"mon": {"from": "08:00", "to": "18:00"}}, 90)
    assert 'value="08:00"' in signed_in.get(DASHBOARD).content.decode()
    assert signed_in.post(address("hours-set"), {**HOURS, "mon_from": "", "mon_to": ""}).status_code == 302
    driver.refresh_from_db()
    assert (driver.weekly_hours, driver.hours_due_at) == ({}, None)


@pytest.mark.parametrize(
    "change",
    [{"mon_to": ""}, {"tue_from": "08:00"}, {"mon_from": "8 o'clock"}, {"auto_offline_min": "30"}, {"timezone": "UTC"}],
)
def test_wrong_hours_are_refused_and_nothing_is_stored(
    signed_in: Client, driver: Driver, change: dict[str, str]
) -> None:
    for headers in (HTMX, {}):
        answer = signed_in.post(address("hours-set"), {**HOURS, **change}, headers=headers)
        assert answer.status_code == 400
        assert 'data-testid="hours" open' in answer.content.decode()
    driver.refresh_from_db()
    assert (driver.weekly_hours, driver.auto_offline_min) == ({}, 120)


def test_history_says_in_words_when_the_driver_was_online(signed_in: Client) -> None:
    signed_in.post(address("availability-set"), {"online": "0"})
    page = text(signed_in.get(DASHBOARD).content.decode().partition('data-testid="availability-changes"')[2])
    assert "Offline by you" in page


@pytest.mark.parametrize("name", ["hours-set", "break-take"])
def test_working_time_is_set_by_posts_of_drivers(client: Client, name: str) -> None:
    client.force_login(PassengerFactory())
    assert client.post(address(name)).status_code == 403
    assert client.get(address(name)).status_code == 405


@pytest.mark.parametrize("rows", [1, 3])
def test_panel_costs_the_same_for_one_break_and_three(
    signed_in: Client, driver: Driver, rows: int, query_count: Callable[[int, int], Any]
) -> None:
    now = timezone.now()
    for number in range(rows):
        start = now + dt.timedelta(hours=number + 1)
        driver.breaks.create(starts_at=start, ends_at=start + dt.timedelta(minutes=30))
        driver.availability_changes.create(previous="offline", availability="available", is_online=True, cause="driver")
    with query_count(13, 13):
        signed_in.get(DASHBOARD)


@pytest.mark.parametrize(
    ("trip_type", "apart", "boarding"),
    [
        ("private", False, [("in_transit", "On board, drive off")]),
        ("private", True, [("passengers_boarded", "Passengers on board"), ("in_transit", "Start driving")]),
        ("shared", False, [("passengers_boarded", "Passengers on board"), ("in_transit", "Start driving")]),
    ],
)
@pytest.mark.parametrize("status", [TripStatus.ACCEPTED, TripStatus.EN_ROUTE, TripStatus.DRIVER_ARRIVED])
def test_steps_of_a_driver_who_is_offline_are_those_offered_online(
    signed_in: Client, driver: Driver, status: TripStatus, trip_type: str, apart: bool, boarding: list[tuple[str, str]]
) -> None:
    ServiceSettings.objects.update_or_create(pk=1, defaults={"boarding_apart": apart})
    TripFactory(status=status, driver=driver, trip_type=trip_type)
    page = signed_in.get(address("tab", "active")).content.decode()
    steps = re.findall(r'data-step-ahead="(\w+)">([^<]+)<', page)
    assert steps[-2 - len(boarding) :] == [
        *boarding,
        ("arrived", "Arrived at destination"),
        ("completed", "Complete trip"),
    ]


def test_card_names_all_steps_that_are_left_for_a_driver_who_is_offline(signed_in: Client, driver: Driver) -> None:
    TripFactory(status=TripStatus.DRIVER_ARRIVED, driver=driver)
    page = signed_in.get(address("tab", "active")).content.decode()

    assert re.findall(r'data-step-ahead="(\w+)">([^<]+)<', page) == [
        ("in_transit", "On board, drive off"),
        ("arrived", "Arrived at destination"),
        ("completed", "Complete trip"),
    ]


@pytest.mark.parametrize("drives", [True, False])
def test_suspended_driver_is_told_to_finish_a_trip_only_with_one(
    signed_in: Client, driver: Driver, drives: bool
) -> None:
    if drives:
        TripFactory(status=TripStatus.EN_ROUTE, driver=driver)
    approvals.suspend(driver.pk, StaffFactory())
    assert ("Finish the trip you are on" in text(signed_in.get(DASHBOARD))) is drives


def test_filter_reads_as_it_was_saved(signed_in: Client, driver: Driver) -> None:
    Driver.objects.update(max_distance_km=12.5)
    assert "up to 12.5 km away" in text(signed_in.get(DASHBOARD))
