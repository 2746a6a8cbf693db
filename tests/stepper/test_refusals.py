"""What pages answer to a request that is over a limit: a page, a fragment or a toast; 429 and when to come back."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from stepper import urls
from stepper.models import ServiceSettings, User
from tests.factories import ALMATY, DriverFactory, OfferFactory, PassengerFactory, TripFactory

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def limits_of_one() -> None:
    ServiceSettings.objects.create(
        pk=1, changes_per_min=1, answers_per_min=1, light_per_min=1, bookings_per_min=1, status_per_min=1
    )


def _trip(path: str) -> Callable[[], tuple[User, str]]:
    def make() -> tuple[User, str]:
        trip = TripFactory(status="unfilled")
        return trip.organiser, f"/trips/{trip.pk}/{path}/"

    return make


def _read_all() -> tuple[User, str]:
    return PassengerFactory(), "/notifications/read-all/"


def _of_driver(path: str) -> Callable[[], tuple[User, str]]:
    return lambda: (DriverFactory(at=ALMATY).user, f"/driver/{path}/")


def _status() -> tuple[User, str]:
    trip = TripFactory(status="accepted")
    return trip.driver.user, f"/driver/trips/{trip.pk}/status/"


def _rate() -> tuple[User, str]:
    trip = TripFactory(status="completed")
    return trip.organiser, f"/trips/{trip.pk}/rate/"


def _decline() -> tuple[User, str]:
    offer = OfferFactory()
    return offer.driver.user, f"/driver/offers/{offer.pk}/decline/"


# Every button of a page whose verb is limited, and what it posts.
BUTTONS: dict[str, tuple[Callable[[], tuple[User, str]], dict[str, str]]] = {
    "cancel": (_trip("cancel"), {}),
    "widen": (_trip("widen"), {"radius_km": "100"}),
    "postpone": (_trip("postpone"), {"departure_at": "2030-01-01T10:00:00+05:00"}),
    "offer again": (_trip("offer-again"), {}),
    "rate": (_rate, {"stars": "5"}),
    "read all": (_read_all, {}),
    "availability": (_of_driver("availability"), {"online": "1"}),
    "filters": (_of_driver("filters"), {"trip_types": "private"}),
    "hours": (_of_driver("hours"), {"timezone": "Asia/Almaty", "auto_offline_min": "120"}),
    "break": (_of_driver("breaks"), {"minutes": "15"}),
    "status": (_status, {"status": "en_route"}),
    "decline": (_decline, {}),
}


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
@pytest.mark.parametrize("button", BUTTONS)
def test_button_over_its_limit_says_so_and_when_to_come_back(button: str, headers: dict[str, str]) -> None:
    limits_of_one()
    make, posted = BUTTONS[button]
    user, path = make()
    client = signed_in(user)
    assert client.post(path, posted, headers=headers).status_code in (200, 302, 409)

    refused = client.post(path, posted, headers=headers)

    assert refused.status_code == 429
    assert 1 <= int(refused["Retry-After"]) <= 60
    html = refused.content.decode()
    assert "Too many requests. Try again in a moment." in html
    assert ("<!doctype html>" in html) is not bool(headers)


def test_toast_takes_the_place_of_nothing() -> None:
    limits_of_one()
    user, path = _trip("widen")()
    client = signed_in(user)
    client.post(path, {"radius_km": "100"}, headers=HTMX)

    refused = client.post(path, {"radius_km": "100"}, headers=HTMX)

    assert refused["HX-Reswap"] == "none"
    assert 'hx-swap-oob="beforeend:#toasts"' in refused.content.decode()


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
def test_price_over_its_limit_says_so(headers: dict[str, str]) -> None:
    limits_of_one()
    client = signed_in(PassengerFactory())
    asked = {"pickup_name": "Almaty airport", "dropoff_name": "Medeu", "departure": "now", "vehicle_class": "sedan"}
    asked["seats"] = "1"
    assert client.post("/trips/quote/", asked, headers=headers).status_code == 200

    refused = client.post("/trips/quote/", asked, headers=headers)

    assert (refused.status_code, "Retry-After" in refused) == (429, True)
    assert "Too many requests" in refused.content.decode()


@csrf_exempt
def _broken(_request: HttpRequest) -> HttpResponse:
    raise ValueError


@csrf_exempt
def _forbidden(_request: HttpRequest) -> HttpResponse:
    raise PermissionDenied


class AddressesWithFaults:
    """The project's address map, and views that fail before they have read the body."""

    handler400, handler403, handler404 = urls.handler400, urls.handler403, urls.handler404
    handler500 = urls.handler500
    urlpatterns = [path("broken/", _broken), path("forbidden/", _forbidden), *urls.urlpatterns]


@pytest.mark.parametrize(
    ("host", "address", "status"),
    [
        ("testserver", "/nowhere/", 404),
        ("testserver", "/nowhere/%ff/", 404),
        ("elsewhere.example", "/driver/", 400),
        ("testserver", "/broken/", 500),
        ("testserver", "/forbidden/", 403),
    ],
)
def test_error_page_leaves_unreadable_body_alone(settings: Any, host: str, address: str, status: int) -> None:
    settings.DEBUG, settings.ROOT_URLCONF = False, AddressesWithFaults
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(PassengerFactory())
    client.cookies[settings.CSRF_COOKIE_NAME] = "c" * 32
    answer = client.generic("POST", address, b"--b", "multipart/form-data; boundary=\xff", headers={"host": host})
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("language", "words"), [("en", "The request is malformed"), ("ru", "Запрос составлен неверно")]
)
def test_refused_host_is_said_in_the_shape_of_the_api(language: str, words: str) -> None:
    headers = {"host": "elsewhere.example", "accept-language": language}
    answer = Client().post("/api/token", {}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "request.malformed")
    assert words in answer.json()["message"]
    assert f'lang="{language}"' in Client().get("/", headers=headers).content.decode()
