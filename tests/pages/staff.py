"""Staff of the table of pages, and what they see to."""

import datetime as dt

from django.contrib.auth.models import Permission
from django.utils import timezone
from playwright.sync_api import Page, expect

from stepper.models import AuditEntry, User
from tests.factories import ALMATY, MEDEU, DriverFactory, PassengerFactory, StaffFactory, TripFactory
from tests.pages.cast import HOUR, LONG_DROPOFF, LONG_NAME, LONG_PICKUP, MINUTE
from tests.papers import applicant
from trips.models import Claim, SafetyAlert, Trip, TripWatch
from trips.states import TripStatus


def dispatcher() -> User:
    """Staff whose room has something of each kind, some of it claimed by others and by themselves."""
    user: User = StaffFactory.create(name="Saule Dispatcher", email="saule.dispatcher@example.test")
    other = StaffFactory.create(name=LONG_NAME, email="another.dispatcher@example.test")
    now = timezone.now()
    unfilled = TripFactory.create(status=TripStatus.UNFILLED, next_look_at=None, **LONG_PICKUP, **LONG_DROPOFF)
    Trip.objects.filter(pk=unfilled.pk).update(escalated_at=now, created_at=now - 11 * MINUTE)
    late = TripFactory.create(
        status=TripStatus.ACCEPTED, driver=DriverFactory.create(at=ALMATY, user__name=LONG_NAME), in_=HOUR
    )
    TripWatch.objects.create(trip=late, driver=late.driver, late_at=now - 4 * MINUTE)
    TripFactory.create(status=TripStatus.EN_ROUTE, driver=DriverFactory.create(at=MEDEU), dropoff=MEDEU)
    called = TripFactory.create(status=TripStatus.IN_TRANSIT, driver=DriverFactory.create(at=MEDEU))
    SafetyAlert.objects.create(trip=called, raised_by=called.organiser)
    applicant()
    DriverFactory.create(user__name="Erlan Expiring", licence_expires_on=timezone.localdate() + dt.timedelta(days=2))
    Claim.objects.create(subject=Claim.Subject.TRIP, row_id=unfilled.pk, by=other)
    Claim.objects.create(subject=Claim.Subject.TRIP, row_id=late.pk, by=user)
    return user


def look_for_somebody(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("Expiring")
    expect(page.locator("#ops-found [role=option]")).not_to_have_count(0)


def list_what_is_in_view(page: Page) -> None:
    page.locator("#ops-in-view summary").click()
    expect(page.locator("#ops-list .words")).to_be_visible()


def ask_to_take_over(page: Page) -> None:
    page.locator("form[data-take-over] button").first.click()
    expect(page.locator("#take-over")).to_be_visible()


def auditor() -> User:
    """Somebody who reads the audit log, with every kind of entry in it."""
    staff: User = StaffFactory.create(name="Asem Beisenbayeva", is_superuser=False)
    staff.user_permissions.set(Permission.objects.filter(codename__in=["view_auditentry", "view_trip"]))
    person = PassengerFactory.create(name="Aigerim Nurmukhambetova-Dzhaksybekova")
    known = {"actor": staff, "address": "2001:db8:85a3:8d3:1319:8a2e:370:7348", "person": person}
    trip = {"model": "trips.trip", "object_id": "1204577"}
    long = {"fields": {"terms_url": ["", "https://example.test/" + "conditions-of-carriage-" * 6]}}
    entries = [
        {**known, **trip, "action": "look", "via": "trips:detail"},
        {
            **known,
            **trip,
            "action": "change",
            "via": "admin:trips_trip_assign",
            "fields": {"status": ["offered", "accepted"], "driver": [None, 4711], "pickup_name": None},
        },
        {
            "actor": staff,
            "action": "change",
            "model": "stepper.servicesettings",
            "object_id": "1",
            "via": "admin:stepper_servicesettings_change",
            **long,
        },
        {
            **known,
            "action": "create",
            "model": "stepper.user_groups",
            "object_id": "41",
            "fields": {"group": [None, 3]},
        },
        {
            **known,
            "action": "delete",
            "model": "drivers.driverdocument",
            "object_id": "9",
            "via": "admin:drivers_driverdocument_changelist delete_selected",
        },
        {
            **known,
            "action": "export",
            "model": "stepper.user",
            "object_id": "41",
            "via": "admin:stepper_user_export_data",
        },
        {
            **known,
            "action": "erase",
            "model": "stepper.user",
            "object_id": "41",
            "via": "admin:stepper_user_erase_data",
        },
        {"action": "prune", "model": "stepper.auditentry", "via": "prune_audit", "fields": {"rows": [5000, None]}},
        {"actor_id": 999_999_999, "action": "look", "model": "stepper.user", "via": "admin:stepper_user_changelist"},
    ]
    now = timezone.now()
    for number in range(60):
        AuditEntry.objects.create(**{**entries[number % len(entries)], "at": now - dt.timedelta(minutes=7 * number)})
    return staff
