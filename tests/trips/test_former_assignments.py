"""The migration that writes rows of what staff did before there were any, and takes it out of drivers' offers."""

import datetime as dt
import importlib
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.utils import timezone

from drivers.models import Driver
from tests.factories import DriverFactory, OfferFactory, StaffFactory, TripFactory
from trips.models import Offer, StaffAssignment, Trip, TripTransition

pytestmark = pytest.mark.django_db

MINUTE = dt.timedelta(minutes=1)
migration = importlib.import_module("trips.migrations.0027_former_staff_assignments")


def convert() -> None:
    with connection.schema_editor() if connection.vendor != "sqlite" else _Editor() as editor:
        migration.write_rows(apps, editor)


class _Editor:
    """SQLite has no schema editor inside a transaction."""

    connection = connection

    def __enter__(self) -> "_Editor":
        return self

    def __exit__(self, *_error: object) -> None:
        pass


class Past:
    """A trip whose history is written step by step, a minute apart, as the release before wrote it."""

    def __init__(self, **fields: Any) -> None:
        self.trip: Trip = TripFactory(**fields)
        self.at = timezone.now() - 60 * MINUTE
        self.staff = StaffFactory()

    def step(self, before: str, after: str, role: str, note: str = "") -> None:
        self.at += MINUTE
        row = TripTransition.objects.create(
            trip=self.trip,
            from_status=before,
            to_status=after,
            role=role,
            by=self.staff if role == "staff" else None,
            note=note,
        )
        TripTransition.objects.filter(pk=row.pk).update(created_at=self.at)

    def offer(self, driver: Driver | None, *, accepted: int = 0, released: int | None = None, number: int = 1) -> Offer:
        """Instants in seconds before now."""
        at = self.at - dt.timedelta(milliseconds=20)
        offer: Offer = OfferFactory(
            trip=self.trip,
            driver=driver,
            round_number=number,
            status="accepted",
            responded_at=at - accepted * MINUTE,
            released_at=None if released is None else at - released * MINUTE,
        )
        Offer.objects.filter(pk=offer.pk).update(created_at=at - (accepted + 1) * MINUTE)
        return offer


def test_an_invented_offer_becomes_a_row() -> None:
    past, driver = Past(status="unfilled"), DriverFactory()
    past.step("unfilled", "accepted", "staff")
    past.step("accepted", "offered", "staff", "complaint")
    invented = past.offer(driver, released=0)
    Offer.objects.filter(pk=invented.pk).update(created_at=invented.released_at)

    convert()
    convert()

    assert not Offer.objects.exists()
    row = StaffAssignment.objects.get()
    assert (row.driver, row.assigned_by, row.assigned_at) == (driver, past.staff, past.at - MINUTE)
    assert (row.ended_as, row.ended_by, row.end_reason, row.ended_at) == (
        "staff",
        past.staff,
        "complaint",
        invented.released_at,
    )


def test_what_a_driver_answered_stays() -> None:
    past, driver, other = Past(status="unfilled"), DriverFactory(), DriverFactory()
    past.step("offered", "accepted", "driver")
    past.step("accepted", "offered", "driver")
    given_back = past.offer(driver, accepted=1, released=0)
    past.step("offered", "accepted", "driver")
    past.step("en_route", "offered", "staff", "lost")
    taken_off = past.offer(other, accepted=1, released=0, number=2)

    convert()

    given_back.refresh_from_db()
    taken_off.refresh_from_db()
    assert (given_back.status, given_back.taken_off) == ("accepted", False)
    assert (taken_off.status, taken_off.taken_off) == ("accepted", True)
    row = StaffAssignment.objects.get()
    assert (row.driver, row.assigned_by, row.ended_by, row.end_reason) == (other, None, past.staff, "lost")


def test_an_offer_that_staff_accepted_is_withdrawn() -> None:
    past = Past(status="accepted")
    past.step("offered", "accepted", "staff")
    offer = past.offer(past.trip.driver)

    convert()

    offer.refresh_from_db()
    assert (offer.status, offer.reason, offer.released_at) == ("withdrawn", "assigned", None)
    row = StaffAssignment.objects.get()
    assert (row.driver, row.assigned_by, row.ended_at) == (past.trip.driver, past.staff, None)


def test_a_trip_that_staff_left_alone_is_left_alone() -> None:
    past = Past(status="accepted")
    past.step("offered", "accepted", "driver")
    past.offer(past.trip.driver)

    convert()

    assert not StaffAssignment.objects.exists()
    assert Offer.objects.get().status == "accepted"
