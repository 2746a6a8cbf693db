"""The cast of these tests: a driver in Almaty, and a browser in which they are signed in."""

import pytest
from django.test import Client

from drivers.models import Driver
from tests.factories import ALMATY, DriverFactory


@pytest.fixture
def driver() -> Driver:
    driver: Driver = DriverFactory(at=ALMATY)
    return driver


@pytest.fixture
def signed_in(driver: Driver, client: Client) -> Client:
    client.force_login(driver.user)
    return client
