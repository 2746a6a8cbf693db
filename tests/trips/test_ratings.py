"""Tags and the note of a tip in ratings; stars and words: test_bookings_end.py."""

import datetime as dt
from typing import Any

import pytest

from stepper.errors import Conflict, DomainError
from stepper.models import ServiceSettings, User
from tests.backoffice import signed_in
from tests.factories import StaffFactory, TripFactory
from tests.rest import as_user
from trips import ratings
from trips.models import Rating, Trip
from trips.models.bookings import CHANGE_RATING_FOR
from trips.states import TAGS, DriverTag, PassengerTag, Role

pytestmark = pytest.mark.django_db


@pytest.fixture
def done() -> Trip:
    trip: Trip = TripFactory.create(status="completed")
    return trip


def _code(trip: Trip, user: User, **given: Any) -> str:
    with pytest.raises(DomainError) as refused:
        ratings.rate(trip.pk, user, stars=5, **given)
    return refused.value.code


def test_tags_are_kept_once_and_in_their_order(done: Trip) -> None:
    rating = ratings.rate(done.pk, done.organiser, stars=2, tags=["late", "clean_car", "late"])
    assert Rating.objects.get().tag_values == rating.tag_values == ["clean_car", "late"]
    assert rating.tag_labels == ["Clean car", "Came late"]


def test_each_side_has_tags_of_its_own(done: Trip) -> None:
    assert done.driver
    assert _code(done, done.organiser, tags=["kept_waiting"]) == "input.invalid"
    assert _code(done, done.driver.user, tags=["wrong_route"]) == "input.invalid"
    assert ratings.rate(done.pk, done.driver.user, stars=4, tags=["kept_waiting"]).tag_values == ["kept_waiting"]


@pytest.mark.parametrize("tags", TAGS.values())
def test_no_tag_is_lost_in_another_or_in_the_column(tags: Any) -> None:
    assert len(f",{','.join(tags.values)},") <= Rating._meta.get_field("tags").max_length  # type: ignore[operator]
    assert not [value for value in tags.values if "," in value]


def test_what_is_left_out_stays_and_what_is_empty_goes(done: Trip) -> None:
    ServiceSettings(pk=1, tips_offered=True).save()
    ratings.rate(done.pk, done.organiser, stars=5, tags=["friendly"], tip=500, comment="Kind")
    ratings.rate(done.pk, done.organiser, stars=4)
    stored = Rating.objects.get()
    assert (stored.stars, stored.tag_values, stored.tip, stored.comment) == (4, ["friendly"], 500, "Kind")
    ratings.rate(done.pk, done.organiser, stars=4, tags=[], tip=0, comment="")
    stored = Rating.objects.get()
    assert (stored.tag_values, stored.tip, stored.comment) == ([], None, "")


def test_tags_and_tip_are_fixed_with_the_stars(done: Trip) -> None:
    ServiceSettings(pk=1, tips_offered=True).save()
    ratings.rate(done.pk, done.organiser, stars=5)
    Rating.objects.update(created_at=Rating.objects.get().created_at - CHANGE_RATING_FOR - dt.timedelta(seconds=1))
    for given in ({"tags": ["late"]}, {"tip": 300}):
        assert _code(done, done.organiser, **given) == "rating.already_given"


# Tips


def test_tip_is_noted_where_staff_have_switched_it_on(done: Trip) -> None:
    assert _code(done, done.organiser, tip=500) == "rating.tips_off"
    assert not Rating.objects.exists()
    ServiceSettings(pk=1, tips_offered=True).save()
    assert ratings.rate(done.pk, done.organiser, stars=5, tip=500).tip == 500


@pytest.mark.parametrize("tip", [-1, 1_000_001, True])
def test_tip_that_is_none_is_refused(done: Trip, tip: int) -> None:
    ServiceSettings(pk=1, tips_offered=True).save()
    assert _code(done, done.organiser, tip=tip) == "input.invalid"


def test_driver_notes_no_tip(done: Trip) -> None:
    assert done.driver
    ServiceSettings(pk=1, tips_offered=True).save()
    assert _code(done, done.driver.user, tip=500) == "auth.forbidden"


def test_tip_is_read_by_the_driver_and_counted_by_nobody(done: Trip) -> None:
    assert done.driver
    driver = done.driver.user
    ServiceSettings(pk=1, tips_offered=True).save()
    earned = as_user(driver).get("/api/drivers/earnings").content
    ratings.rate(done.pk, done.organiser, stars=5, tip=700)
    assert as_user(driver).get("/api/drivers/earnings").content == earned
    assert as_user(driver).get(f"/api/trips/{done.pk}").json()["tip"] == 700
    assert "Tip, as the passenger says: ₸700" in signed_in(driver).get("/driver/tab/history/").content.decode()


# Pages, REST, staff


def test_page_sends_tags_and_tip_and_says_what_was_given(done: Trip) -> None:
    client, address = signed_in(done.organiser), f"/trips/{done.pk}/"
    page = client.get(address).content.decode()
    assert all(str(tag.label) in page for tag in DriverTag)
    assert "tip-input" not in page
    ServiceSettings(pk=1, tips_offered=True).save()
    assert "tip-input" in client.get(address).content.decode()
    sent = {"stars": "5", "tags": ["clean_car", "on_time"], "tip": "500", "comment": ""}
    assert client.post(f"{address}rate/", sent).status_code == 302
    page = client.get(address).content.decode()
    for said in ("Clean car", "On time", "You noted a tip of ₸500."):
        assert said in page
    assert client.post(f"{address}rate/", {**sent, "tags": ["nonsense"]}).status_code == 422


def test_drivers_page_of_the_trip_offers_the_drivers_tags(done: Trip) -> None:
    assert done.driver
    page = signed_in(done.driver.user).get(f"/trips/{done.pk}/").content.decode()
    assert all(str(tag.label) in page for tag in PassengerTag)
    assert "tip-input" not in page


def test_rest_takes_and_answers_them(done: Trip) -> None:
    ServiceSettings(pk=1, tips_offered=True).save()
    client = as_user(done.organiser)
    answer = client.post(f"/api/trips/{done.pk}/rate", {"stars": 5, "tags": ["late"], "tip": 100}, format="json")
    assert (answer.status_code, answer.json()["tags"], answer.json()["tip"]) == (201, ["late"], 100)
    for wrong in ({"tags": "late"}, {"tags": [1]}, {"tip": "5"}, {"tip": -1}, {"tags": ["no_such"]}):
        assert client.post(f"/api/trips/{done.pk}/rate", {"stars": 5, **wrong}, format="json").status_code == 400


def test_staff_read_them_and_how_often_each_was_said() -> None:
    ServiceSettings(pk=1, tips_offered=True).save()
    first = TripFactory.create(status="completed")
    second = TripFactory.create(status="completed", driver=first.driver)
    ratings.rate(first.pk, first.organiser, stars=5, tags=["clean_car", "late"], tip=800)
    ratings.rate(second.pk, second.organiser, stars=5, tags=["late"])
    assert ratings.count_tags(first.driver.user_id, Role.ORGANISER) == [("Came late", 2), ("Clean car", 1)]

    staff = signed_in(StaffFactory.create())
    assert (
        "Came late (2), Clean car (1)" in staff.get(f"/admin/drivers/driver/{first.driver.pk}/change/").content.decode()
    )
    listed = staff.get("/admin/trips/rating/?tag=clean_car").content.decode()
    assert ("Clean car, Came late" in listed, "₸800" in listed) == (True, True)
    assert first.organiser.name in listed
    assert second.organiser.name not in listed
    assert "Came late" in staff.get(f"/admin/trips/trip/{second.pk}/change/").content.decode()


def test_tips_off_is_a_conflict(done: Trip) -> None:
    with pytest.raises(Conflict):
        ratings.rate(done.pk, done.organiser, stars=5, tip=1)
