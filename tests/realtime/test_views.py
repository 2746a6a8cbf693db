"""The notifications behind the bell and on their page: by category, read one by one or together."""

import re

import pytest
from django.test import Client

from realtime.delivery.notifications import notify
from realtime.models import Notification
from realtime.views import SHOWN
from stepper.models import User
from tests.factories import PassengerFactory

pytestmark = pytest.mark.django_db

PAGE = "/notifications/"
BELL = {"HX-Request": "true", "HX-Target": "notifications"}


@pytest.fixture
def user() -> User:
    return PassengerFactory()


@pytest.fixture
def signed_in(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


def told(user: User, *categories: str, url: str = "") -> list[Notification]:
    return [notify(user, f"About {one}", audience="passenger", category=one, action_url=url) for one in categories]


def titles(html: bytes) -> list[str]:
    return re.findall(r"About \w+", html.decode())


def test_page_shows_ones_own_of_all_categories_or_of_one(signed_in: Client, user: User) -> None:
    told(user, "trip", "system")
    told(PassengerFactory(), "chat")

    assert titles(signed_in.get(PAGE).content) == ["About system", "About trip"]
    assert titles(signed_in.get(PAGE, {"category": "trip"}).content) == ["About trip"]


def test_list_behind_the_bell_swaps_itself_and_not_the_page(signed_in: Client, user: User) -> None:
    told(user, "trip", "system")

    html = signed_in.get(PAGE, headers=BELL).content.decode()

    assert "<html" not in html
    assert set(re.findall(r'hx-target="#([\w-]+)"', html)) == {"notifications"}
    assert set(re.findall(r'hx-target="#([\w-]+)"', signed_in.get(PAGE).content.decode().split("<main")[1])) == {
        "notifications-page"
    }


def test_older_ones_follow_on_further_pages(signed_in: Client, user: User) -> None:
    rows = told(user, *["trip"] * (SHOWN + 1))

    first = signed_in.get(PAGE).content.decode()
    earlier = re.search(r'href="([^"]*before=\d+)"', first)
    assert earlier is not None
    last = signed_in.get(earlier[1].replace("&amp;", "&")).content.decode()

    assert len(titles(first.encode())) == SHOWN
    assert titles(last.encode()) == ["About trip"]
    assert f'/notifications/{rows[0].pk}/read/"' in last
    assert "Earlier" not in last


@pytest.mark.parametrize("query", [{"category": "weather"}, {"before": "x"}, {"before": "1" * 30}, {"before": "-1"}])
def test_made_up_place_is_not_found(signed_in: Client, query: dict[str, str]) -> None:
    assert signed_in.get(PAGE, query).status_code == 404


def test_reading_one_leads_to_what_it_is_about(signed_in: Client, user: User) -> None:
    (row,) = told(user, "trip", url="/trips/")
    (foreign,) = told(user, "trip", url="//elsewhere.test/")

    assert signed_in.post(f"{PAGE}{row.pk}/read/")["Location"] == "/trips/"
    assert signed_in.post(f"{PAGE}{foreign.pk}/read/")["Location"] == PAGE
    assert Notification.objects.filter(read_at=None).count() == 0


def test_reading_one_in_the_list_answers_with_list_and_badge(signed_in: Client, user: User) -> None:
    row, _other = told(user, "trip", "system")

    html = signed_in.post(f"{PAGE}{row.pk}/read/", {"category": "system"}, headers=BELL).content.decode()

    assert titles(html.encode()) == ["About system"]
    assert re.search(r'id="notification-badge"[^>]*>1<', html)


def test_somebody_elses_is_not_found(signed_in: Client) -> None:
    (row,) = told(PassengerFactory(), "trip")

    assert signed_in.post(f"{PAGE}{row.pk}/read/").status_code == 404
    assert Notification.objects.get().read_at is None


def test_reading_all_of_a_category_leaves_the_others(signed_in: Client, user: User) -> None:
    told(user, "trip", "trip", "system")

    assert signed_in.post(f"{PAGE}read-all/", {"category": "trip"})["Location"] == f"{PAGE}?category=trip"
    assert list(Notification.objects.filter(read_at=None).values_list("category", flat=True)) == ["system"]
    assert signed_in.post(f"{PAGE}read-all/", {"category": "weather"}).status_code == 404


@pytest.mark.parametrize("path", ["1/read/", "read-all/"])
def test_reading_is_a_post(signed_in: Client, path: str) -> None:
    assert signed_in.get(PAGE + path).status_code == 405


def test_link_of_a_notification_is_no_name_of_a_view(signed_in: Client, user: User) -> None:
    [row] = told(user, "trip", url="trips")
    assert signed_in.post(f"{PAGE}{row.pk}/read/")["Location"] == "trips"
