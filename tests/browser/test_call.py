"""An operator at the keyboard: a known caller booked, a link by SMS, calls in tabs, the exchange that opens a card."""

import hashlib
import json
import re
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from stepper.models import User
from tests.browsing import COUNT_KEYS, keys_pressed
from tests.factories import AIRPORT, ALMATY, DriverFactory, PassengerFactory, StaffFactory, TripFactory
from tests.live import LiveServer
from tests.sms_service import SmsService, sms_service
from trips.models import Trip
from trips.states import TripStatus

pytestmark = pytest.mark.browser

Open = Callable[..., Page]
TOKEN = "of the exchange"


@pytest.fixture
def sms() -> Iterator[SmsService]:
    with sms_service() as running:
        yield running


@pytest.fixture
def live(sms: SmsService, start_server: Callable[..., LiveServer]) -> LiveServer:
    return start_server(**sms.environ, CALL_TOKEN_SHA256=hashlib.sha256(TOKEN.encode()).hexdigest())


@pytest.fixture
def caller() -> User:
    user: User = PassengerFactory.create(phone="+77471234567", name="Aliya Omarova", language="ru")
    return user


def _announce(live: LiveServer, phone: str, call_id: str) -> None:
    body = json.dumps({"number": phone, "call_id": call_id}).encode()
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{live.url}/api/calls", body, headers)) as answer:
        assert answer.status in {200, 201}


def test_known_caller_is_booked_by_the_keyboard_alone(
    open_as: Open, live: LiveServer, sms: SmsService, caller: User
) -> None:
    DriverFactory.create(at=ALMATY)
    staff = StaffFactory.create()
    page = open_as(staff, "/ops/call/")
    page.context.add_init_script(COUNT_KEYS)
    said_in_console: list[str] = []
    page.on("console", lambda message: said_in_console.append(message.text))
    page.reload()
    expect(page.get_by_test_id("call-phone")).to_be_focused()

    page.keyboard.type("8 (747) 123-45-67")
    expect(page.get_by_test_id("call-caller")).to_contain_text("Aliya Omarova")
    page.keyboard.press("Enter")
    page.keyboard.type("Almaty")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("dropoff-input")).to_be_focused()
    page.keyboard.type("Medeu")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("call-say")).to_contain_text("₸")
    expect(page).to_have_title(re.compile("^Aliya Omarova"))
    said = page.get_by_test_id("quote-total").inner_text()
    page.keyboard.press("Alt+Enter")

    expect(page.get_by_test_id("call-booked")).to_be_visible()
    assert keys_pressed(page) <= 25
    assert [text for text in said_in_console if "hx-" in text] == []
    trip = Trip.objects.get()
    assert (trip.organiser, trip.pickup_name, trip.dropoff_name) == (caller, "Almaty", "Medeu")
    assert re.sub(r"\D", "", said) == str(trip.fare)
    expect(page.get_by_test_id("call-booked")).to_contain_text(staff.name)
    # The caller's card has it, too.
    expect(page.get_by_test_id("call-open").locator(f'a[href="/ops/trips/{trip.pk}/"]')).to_be_visible()
    [received] = sms.wait_for(1)
    assert received.recipient == "77471234567"
    assert page.get_by_test_id("call-link").input_value() in received.text
    assert re.search("[а-я]", received.text)


def test_calls_wait_in_tabs_also_over_a_reload_and_the_exchange_opens_a_card(
    open_as: Open, live: LiveServer, caller: User
) -> None:
    TripFactory.create(organiser=caller, status=TripStatus.COMPLETED, dropoff=AIRPORT, dropoff_name="Almaty airport")
    page = open_as(StaffFactory.create(), "/ops/call/?phone=+77471234567")
    # The last trip once more, by one key.
    expect(page.get_by_test_id("call-repeat")).to_be_visible()
    page.keyboard.press("Alt+q")
    expect(page.get_by_test_id("dropoff-input")).to_have_value("Almaty airport")
    expect(page.get_by_test_id("call-say")).to_be_visible()

    page.keyboard.press("Alt+n")
    expect(page.get_by_test_id("call-tab")).to_have_count(2)
    page.keyboard.type("87015556677")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("call-name")).to_be_focused()
    # Typed and not chosen: there is no price, and it is said what lacks.
    page.keyboard.press("Alt+Enter")
    expect(page.locator("#call-result [role=alert]")).to_have_text("Choose one from the list or press the map.")
    expect(page.get_by_test_id("pickup-input")).to_be_focused()
    # Who is new is asked for a name: a refusal leads to the field.
    for side, name in (("pickup", "Almaty"), ("dropoff", "Medeu")):
        page.get_by_test_id(f"{side}-input").focus()
        page.keyboard.type(name)
        page.keyboard.press("Enter")
    expect(page.get_by_test_id("call-say")).to_be_visible()
    expect(page.locator("#call-result [role=alert]")).to_have_count(0)
    page.keyboard.press("Alt+Enter")
    expect(page.get_by_test_id("call-refused")).to_contain_text("Caller's name")
    expect(page.get_by_test_id("call-name")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_test_id("call-name")).to_be_focused()
    page.keyboard.type("Berik")
    expect(page.get_by_test_id("call-name")).not_to_have_attribute("aria-invalid", "true")
    # An operator at a call is not taken from it.
    for _again in range(2):
        _announce(live, "87770001122", "17.5")
    expect(page.get_by_test_id("call-tab")).to_have_count(3)
    expect(page.get_by_test_id("call-tab").nth(2)).to_contain_text("+77770001122")
    expect(page.get_by_test_id("call-name")).to_have_value("Berik")

    page.reload()
    expect(page.get_by_test_id("call-tab")).to_have_count(3)
    expect(page.get_by_test_id("call-phone")).to_have_value("87015556677")
    expect(page.get_by_test_id("call-name")).to_have_value("Berik")
    page.keyboard.press("Alt+1")
    expect(page.get_by_test_id("call-phone")).to_have_value("+77471234567")
    expect(page.get_by_test_id("dropoff-input")).to_have_value("Almaty airport")
    expect(page.get_by_test_id("call-say")).to_be_visible()
    # Both presses of a double one are the same call.
    page.evaluate("for (let i = 0; i < 2; i++) document.getElementById('booking-form').requestSubmit()")
    expect(page.get_by_test_id("call-booked")).to_be_visible()
    assert Trip.objects.filter(organiser=caller, request_key__startswith="call-").count() == 1
