"""The photo of a trip's driver: who sees it, and until when."""

import io

import pytest
from django.test import Client
from PIL import Image

from drivers import document_review, documents
from drivers.models import DriverDocument
from stepper.models import User
from tests.backoffice import signed_in
from tests.factories import DriverFactory, PassengerFactory, StaffFactory, TripFactory
from tests.papers import document, picture
from trips import shares
from trips.models import Trip

pytestmark = pytest.mark.django_db


def _with_photo(trip: Trip) -> DriverDocument:
    assert trip.driver
    row = documents.send_document(trip.driver.user, "photo", picture(size=(900, 600)), None)
    return document_review.accept_document(row.pk, StaffFactory.create())


def _status(user: User | None, trip: Trip, photo_id: int) -> int:
    client = Client() if user is None else signed_in(user)
    return client.get(f"/trips/{trip.pk}/driver-photo/{photo_id}/").status_code


def test_photo_is_seen_by_those_who_may_see_the_trip_while_it_has_its_driver() -> None:
    trip = TripFactory.create(status="en_route")
    photo = _with_photo(trip)
    answer = signed_in(trip.organiser).get(f"/trips/{trip.pk}/driver-photo/{photo.pk}/")
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/jpeg")
    assert {"no-store", "private"} <= set(answer["Cache-Control"].replace(" ", "").split(","))
    with Image.open(io.BytesIO(answer.content)) as shown:
        assert shown.size == (112, 112)
    assert f"/driver-photo/{photo.pk}/" in signed_in(trip.organiser).get(f"/trips/{trip.pk}/").content.decode()

    assert trip.driver
    others = (PassengerFactory.create(), DriverFactory.create(at=(43.2, 76.8)).user)
    assert [_status(user, trip, photo.pk) for user in (trip.driver.user, StaffFactory.create(), *others, None)] == [
        200,
        200,
        404,
        404,
        302,
    ]
    Trip.objects.update(status="completed")
    assert _status(trip.organiser, trip, photo.pk) == 404
    assert "driver-photo" not in signed_in(trip.organiser).get(f"/trips/{trip.pk}/").content.decode()


def test_another_document_is_not_shown_as_the_photo() -> None:
    trip = TripFactory.create(status="en_route")
    assert trip.driver
    _with_photo(trip)
    licence = document(trip.driver.user, "licence")
    somebodys = _with_photo(TripFactory.create(status="en_route"))
    assert [_status(trip.organiser, trip, row.pk) for row in (licence, somebodys)] == [404, 404]


def test_photo_that_staff_have_not_accepted_is_not_shown() -> None:
    trip = TripFactory.create(status="en_route")
    assert trip.driver
    sent = documents.send_document(trip.driver.user, "photo", picture(), None)
    assert sent.status == "pending"
    # Sent to an earlier release, which took every photo as accepted.
    old = document(trip.driver.user, "photo", status="accepted", expires_on=None)
    assert [_status(trip.organiser, trip, row.pk) for row in (sent, old)] == [404, 404]


def test_newer_photo_is_another_address_and_replaces_the_older_one() -> None:
    trip = TripFactory.create(status="en_route")
    older, newer = _with_photo(trip), _with_photo(trip)
    assert [_status(trip.organiser, trip, row.pk) for row in (older, newer)] == [404, 200]


def test_link_shows_no_photo() -> None:
    trip = TripFactory.create(status="en_route")
    _with_photo(trip)
    page = Client().get(f"/t/{shares.create_share(trip.pk, trip.organiser).token}/").content.decode()
    assert "driver-photo" not in page
