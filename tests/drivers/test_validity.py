"""Documents that expire or are rejected end the right to drive, and drivers are reminded before."""

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from drivers import approvals, availability, document_review, validity
from drivers.models import AvailabilityChange, DocumentStatus, Driver, DriverDocument
from realtime import events, groups
from realtime.models import Notification
from stepper.errors import DomainError
from stepper.models import User
from tests.backoffice import page_url, signed_in
from tests.factories import ALMATY, DriverFactory, OfferFactory, StaffFactory, TripFactory
from tests.outbox import frames
from tests.papers import accept_all, applicant, document, in_days
from trips import accepting, assignment
from trips.eligibility import unfit
from trips.states import OfferStatus, TripStatus

pytestmark = pytest.mark.django_db

YESTERDAY = -1
KINDS = ["licence", "insurance", "inspection", "taxi_licence"]


@pytest.fixture
def staff() -> User:
    user: User = StaffFactory.create()
    return user


@pytest.fixture
def driver(staff: User) -> Driver:
    """Somebody who applied, was approved and is online."""
    driver = applicant()
    accept_all(driver.user)
    approvals.approve(driver.pk, staff)
    return availability.set_online(driver.pk, True)


def a_moment_ago() -> dt.datetime:
    return timezone.now() - dt.timedelta(seconds=1)


def code(verb: Any, *args: Any) -> str:
    with pytest.raises(DomainError) as raised:
        verb(*args)
    return raised.value.code


def accepted(driver: Driver, kind: str) -> DriverDocument:
    return DriverDocument.objects.get(owner=driver.user_id, kind=kind, status=DocumentStatus.ACCEPTED)


def let_expire(driver: Driver, kind: str) -> None:
    """Make it the day after a document ended: other dates stay as they are."""
    DriverDocument.objects.filter(owner=driver.user_id, kind=kind).update(expires_on=in_days(YESTERDAY))
    Driver.objects.filter(pk=driver.pk).update(documents_due_at=a_moment_ago())
    validity.remind_due()
    driver.refresh_from_db()


# Rejecting


@pytest.mark.parametrize("kind", KINDS)
def test_rejecting_an_accepted_document_stops_the_driver_at_once(
    driver: Driver, staff: User, kind: str, django_capture_on_commit_callbacks: Any
) -> None:
    offer = OfferFactory.create(driver=driver)
    with django_capture_on_commit_callbacks(execute=True):
        document_review.reject_document(accepted(driver, kind).pk, staff, "Forged")
    driver.refresh_from_db()
    assert (driver.is_online, driver.availability, driver.approval) == (False, "offline", "approved")
    offer.refresh_from_db()
    assert offer.status == OfferStatus.WITHDRAWN
    change = AvailabilityChange.objects.order_by("-pk")[0]
    assert (change.cause, change.by, change.note) == ("documents", staff, "Forged")
    assert code(availability.set_online, driver.pk, True) == "driver.documents_expired"
    told = Notification.objects.filter(user=driver.user).order_by("-pk")[0]
    assert ("not accepted" in told.title, told.message) == (True, "Forged")
    updates = [frame for frame in frames(groups.driver(driver.pk)) if isinstance(frame, events.DriverUpdated)]
    assert {"approval", "availability"} <= set(updates[-1].changed)
    page = signed_in(driver.user).get("/driver/").content.decode()
    assert "A document of yours is not valid any more." in page


def test_newer_accepted_document_lets_them_drive_again(driver: Driver, staff: User) -> None:
    document_review.reject_document(accepted(driver, "insurance").pk, staff, "Forged")
    newer = document(driver.user, "insurance", expires_on=in_days(90))
    assert code(availability.set_online, driver.pk, True) == "driver.documents_expired"
    document_review.accept_document(newer.pk, staff)
    assert availability.set_online(driver.pk, True).availability == "available"


def test_trip_under_way_stays_and_they_are_offline_after_it(driver: Driver, staff: User) -> None:
    trip = TripFactory.create(status=TripStatus.IN_TRANSIT, driver=driver, vehicle=driver.vehicle)
    Driver.objects.filter(pk=driver.pk).update(availability="busy")
    document_review.reject_document(accepted(driver, "licence").pk, staff, "Forged")
    driver.refresh_from_db()
    assert (driver.is_online, driver.availability) == (False, "busy")
    trip.refresh_from_db()
    assert trip.driver == driver


def test_staff_hear_of_the_trips_ahead(driver: Driver, staff: User, django_capture_on_commit_callbacks: Any) -> None:
    trip = TripFactory.create(status=TripStatus.ACCEPTED, driver=driver, vehicle=driver.vehicle)
    with django_capture_on_commit_callbacks(execute=True):
        document_review.reject_document(accepted(driver, "licence").pk, staff, "Forged")
    told = Notification.objects.filter(user=staff, title__startswith=f"Trip {trip.pk}:")
    assert "a document is not valid" in told.get().message


def test_rejecting_a_newer_document_or_a_photo_stops_nobody(driver: Driver, staff: User) -> None:
    newer = document(driver.user, "insurance", expires_on=in_days(90))
    document_review.reject_document(newer.pk, staff, "Blurred")
    photo = document(driver.user, "photo", status=DocumentStatus.ACCEPTED, expires_on=None)
    document_review.reject_document(photo.pk, staff, "A cat")
    driver.refresh_from_db()
    assert driver.is_online


def test_rejecting_stops_nobody_whom_staff_entered(staff: User) -> None:
    driver = DriverFactory.create(at=ALMATY)
    row = document(driver.user, "insurance", status=DocumentStatus.ACCEPTED)
    document_review.reject_document(row.pk, staff, "Blurred")
    driver.refresh_from_db()
    assert driver.is_online


# Expiring


@pytest.mark.parametrize("kind", KINDS[1:])
def test_expired_document_is_treated_as_an_expired_licence(driver: Driver, staff: User, kind: str) -> None:
    offer = OfferFactory.create(driver=driver)
    let_expire(driver, kind)
    assert "documents_expired" in unfit(offer.trip, driver)
    assert code(accepting.accept, driver.pk, offer.pk) == "driver.documents_expired"
    other = TripFactory.create(status=TripStatus.OFFERED)
    assert code(assignment.assign, other.pk, driver.pk, staff) == "driver.documents_expired"
    availability.set_online(driver.pk, False)
    assert code(availability.set_online, driver.pk, True) == "driver.documents_expired"


def test_document_is_valid_on_its_last_day(driver: Driver) -> None:
    DriverDocument.objects.filter(owner=driver.user_id, kind="insurance").update(expires_on=in_days(0))
    validity.store_validity(driver)
    assert (driver.documents_valid_until, driver.documents_expired) == (in_days(0), False)


def test_earliest_date_counts(driver: Driver, staff: User) -> None:
    for kind, days in (("insurance", 40), ("inspection", 60)):
        document_review.accept_document(document(driver.user, kind, expires_on=in_days(days)).pk, staff)
    driver.refresh_from_db()
    assert driver.documents_valid_until == in_days(40)


def test_accepted_document_of_somebody_whom_staff_entered_expires_too(staff: User) -> None:
    driver = DriverFactory.create()
    assert driver.documents_valid_until is None
    document_review.accept_document(document(driver.user, "insurance", expires_on=in_days(44)).pk, staff)
    driver.refresh_from_db()
    assert driver.documents_valid_until == in_days(44)


def test_dates_of_earlier_releases_are_read_by_the_dispatcher(driver: Driver) -> None:
    Driver.objects.update(documents_valid_until=None, documents_due_at=a_moment_ago())
    assert validity.remind_due() == 1
    driver.refresh_from_db()
    assert driver.documents_valid_until == in_days(200)
    assert validity.remind_due() == 0


# Reminders


def reminders(driver: Driver) -> list[str]:
    rows = Notification.objects.filter(user=driver.user_id, title="Send newer documents").order_by("pk")
    return list(rows.values_list("message", flat=True))


@pytest.mark.parametrize(("days", "due_in"), [(200, 170), (31, 1), (30, 23), (8, 1), (7, None), (0, None)])
def test_next_reminder_is_30_and_7_days_before(driver: Driver, days: int, due_in: int | None) -> None:
    DriverDocument.objects.filter(owner=driver.user_id).update(expires_on=in_days(days))
    driver.licence_expires_on = in_days(days)
    validity.store_validity(driver)
    due = None if driver.documents_due_at is None else timezone.localdate(driver.documents_due_at)
    assert due == (None if due_in is None else in_days(due_in))


@pytest.mark.parametrize(("days", "reminded"), [(31, False), (30, True), (7, True), (0, True), (-1, False)])
def test_driver_is_reminded_of_what_ends_soon(driver: Driver, days: int, reminded: bool) -> None:
    DriverDocument.objects.filter(owner=driver.user_id, kind="insurance").update(expires_on=in_days(days))
    Driver.objects.update(documents_due_at=a_moment_ago())
    validity.remind_due()
    told = [("Insurance" in text, "Driving licence" in text) for text in reminders(driver)]
    assert told == [(True, False)] * reminded


def test_licence_of_somebody_whom_staff_entered_is_reminded_of() -> None:
    driver = DriverFactory.create(licence_expires_on=in_days(7))
    assert validity.remind_due() == 1
    assert "Driving licence" in reminders(driver)[0]


def test_nobody_is_reminded_of_what_they_sent_or_who_may_not_drive(driver: Driver) -> None:
    DriverDocument.objects.filter(owner=driver.user_id, kind="insurance").update(expires_on=in_days(5))
    document(driver.user, "insurance", expires_on=in_days(300))
    rejected = DriverFactory.create(licence_expires_on=in_days(5), approval="rejected")
    Driver.objects.update(documents_due_at=a_moment_ago())
    validity.remind_due()
    assert reminders(driver) == reminders(rejected) == []


def test_new_licence_date_of_staff_moves_the_reminder(driver: Driver) -> None:
    form = {
        "licence_number": "KZ123456",
        "licence_expires_on": in_days(20).isoformat(),
        "vehicle": str(driver.vehicle_id),
        "availability_changes-TOTAL_FORMS": "0",
        "availability_changes-INITIAL_FORMS": "0",
    }
    assert signed_in(StaffFactory.create()).post(page_url(driver), form).status_code == 302
    assert validity.remind_due() == 1
    assert "Driving licence" in reminders(driver)[0]
