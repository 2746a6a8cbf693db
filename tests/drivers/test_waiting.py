"""Verbs that waited for the driver's row see what its holder did to what is joined to it. SQLite has one writer."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from drivers import availability
from drivers.models import Driver
from stepper.errors import DomainError
from tests.factories import ALMATY, DriverFactory, OfferFactory, VehicleFactory
from trips import accepting
from trips.models import Trip

pytestmark = [pytest.mark.scaled_only, pytest.mark.django_db(transaction=True)]


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_sleep(0.01), count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(cursor.fetchone()[1])


def code_after(change: Callable[[], Any], verb: Callable[..., Any], *args: Any) -> str:
    """What a verb was refused with ("": nothing) that came while `change` was not committed yet."""
    codes: list[str] = []

    def call() -> None:
        try:
            verb(*args)
            codes.append("")
        except DomainError as refused:
            codes.append(refused.code)
        finally:
            connection.close()

    caller = threading.Thread(target=call)
    with transaction.atomic():
        change()
        caller.start()
        while caller.is_alive() and not somebody_waits():
            pass
    caller.join(30)
    return codes[0]


def deactivate(driver: Driver) -> None:
    driver.user.is_active = False
    driver.user.save()


def test_trip_does_not_go_to_a_driver_who_is_being_deactivated() -> None:
    driver = DriverFactory(at=ALMATY)
    offer = OfferFactory(driver=driver)

    code = code_after(lambda: deactivate(driver), accepting.accept, driver.pk, offer.pk)

    # Or the offer was withdrawn first.
    assert code in {"driver.not_approved", "offer.withdrawn"}
    assert Trip.objects.get().driver is None


def test_driver_who_is_being_deactivated_does_not_go_online() -> None:
    driver = DriverFactory(at=ALMATY, is_online=False)

    code = code_after(lambda: deactivate(driver), availability.set_online, driver.pk, True)

    assert code == "driver.not_approved"
    assert not Driver.objects.get().is_online


def test_driver_whose_vehicle_is_being_changed_takes_the_trip_with_the_new_one() -> None:
    driver = DriverFactory(at=ALMATY)
    offer, vehicle = OfferFactory(driver=driver), VehicleFactory()

    def change() -> None:
        driver.vehicle = vehicle
        driver.save()

    assert code_after(change, accepting.accept, driver.pk, offer.pk) == ""
    assert Trip.objects.get().vehicle == vehicle
