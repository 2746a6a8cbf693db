"""Who takes calls in the table of pages, and who calls."""

from playwright.sync_api import Page, expect

from stepper.models import User
from tests.factories import ALMATY, DriverFactory, PassengerFactory, StaffFactory, TripFactory
from tests.pages.cast import LONG_DROPOFF, LONG_NAME, LONG_PICKUP, USUAL_DROPOFF
from trips.models import SavedPlace
from trips.states import TripStatus

CALLER = "+77471230001"
CLOSED = "+77471230002"
UNPROVEN = "+77471230003"


def operator() -> User:
    """Staff, and callers of every kind: one with trips and places, a closed account, a number nobody has proved."""
    caller = PassengerFactory.create(phone=CALLER, name=LONG_NAME, language="kk", rating_sum=24, rating_count=5)
    PassengerFactory.create(phone=CLOSED, name="Closed Account", is_active=False)
    PassengerFactory.create(phone=UNPROVEN, name="Unproven Number", phone_verified_at=None)
    SavedPlace.objects.create(user=caller, kind="home", place_name="Abay Square", address="", lat=43.2430, lng=76.9577)
    TripFactory.create(organiser=caller, status=TripStatus.COMPLETED, **LONG_PICKUP, **LONG_DROPOFF)
    TripFactory.create(organiser=caller, status=TripStatus.COMPLETED, **USUAL_DROPOFF)
    TripFactory.create(organiser=caller, status=TripStatus.EN_ROUTE, driver=DriverFactory.create(at=ALMATY))
    return StaffFactory.create(name="Dana Operator", email="dana.operator@example.test")


def repeat_a_trip(page: Page) -> None:
    page.get_by_test_id("call-repeat").first.click()
    expect(page.get_by_test_id("call-say")).to_be_visible()


def book(page: Page) -> None:
    repeat_a_trip(page)
    page.get_by_test_id("call-book").click()


def book_nobody(page: Page) -> None:
    """A new caller, whose name is missing."""
    page.get_by_test_id("pickup-input").fill("Almaty")
    page.get_by_test_id("pickup-input").press("Enter")
    expect(page.get_by_test_id("dropoff-input")).to_be_focused()
    page.get_by_test_id("dropoff-input").fill("Medeu")
    page.get_by_test_id("dropoff-input").press("Enter")
    expect(page.get_by_test_id("call-say")).to_be_visible()
    page.get_by_test_id("call-book").click()
