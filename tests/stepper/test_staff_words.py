"""Wherever words send people to staff: how they are reached stands there, and nothing where nobody has entered it."""

import ast
import datetime as dt
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client, override_settings
from rest_framework.test import APIClient

from stepper.errors import Conflict
from stepper.mail import sending
from stepper.models import ServiceSettings, User
from stepper.staff_words import ask_staff
from tests.factories import PassengerFactory, TripFactory
from tests.phones import PHONE, SIGN_IN, ask, enter, last_code, wrong
from tests.stepper.test_sessions import browser
from trips import bookings

ROOT = Path(settings.BASE_DIR)
NUMBER, WRITTEN = "+77272000000", "+7 7272 00 00 00"
CHANGE, OWN = "/accounts/phone/", "/accounts/phone/code/"
APPS = ("stepper", "realtime", "drivers", "trips")
# Asks the reader to turn to staff, or says that staff do something on request.
SENDS_TO_STAFF = re.compile(
    r"\b(?:ask|tell|call|contact)\b[^.]{0,30}\bour staff\b|\bsend our staff\b|\bor our staff\b"
    r"|\bour staff (?:can|change it|help)\b"
    r"|\bstaff\b[^.]{0,60}\bask them\b|\bask them\b[^.]{0,60}\bstaff\b",
    re.IGNORECASE,
)
# What says it only where there is a contact, and the sentences that are given to it.
CALLS = {"ask_staff", "add_staff"}
CONSTANTS = {"ASK", "OR_ASK", "NOT_YOU", "SEND_NEW_LICENCE"}
# The button that sends a call for help to the operations room itself, and the contact.
BUTTONS = {"templates/trips/safety.html", "templates/stepper/support.html"}
CONTACT = re.compile(r"\{% support_contact %\}|stepper/support\.html|account/email/support\.txt|stepper:help")
CONDITION = re.compile(r"\{% if (?:\w+\.)*(?:support|cancel_names_staff)\b|and panel\.viewing\.settings\.support %\}")


def enclosing(tree: ast.Module) -> Iterator[tuple[str, set[str]]]:
    """Each text of a module, with the names of the calls that it is an argument of and of what it is assigned to."""

    def visit(node: ast.AST, names: set[str]) -> Iterator[tuple[str, set[str]]]:
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                names = names | {name}
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                names = names | {name}
            case ast.Constant(value=str(text)):
                yield text, names
        for child in ast.iter_child_nodes(node):
            yield from visit(child, names)

    yield from visit(tree, set())


@pytest.mark.embedded_only
def test_words_of_modules_send_to_staff_only_where_they_can_be_reached() -> None:
    paths = [path for app in APPS for path in ROOT.glob(f"{app}/**/*.py") if "migrations" not in path.parts]
    found, bare = set(), []
    for path in paths:
        for text, names in enclosing(ast.parse(path.read_text())):
            if SENDS_TO_STAFF.search(text) and names & {"_", "gettext", "gettext_lazy"}:
                found.add(text)
                if not names & (CALLS | CONSTANTS):
                    bare.append(f"{path.relative_to(ROOT)}: {text}")
    assert "Ask our staff to change your e-mail." in found
    assert bare == []


@pytest.mark.embedded_only
def test_templates_send_to_staff_only_where_they_can_be_reached() -> None:
    found, bare = set(), []
    for path in sorted(ROOT.glob("templates/**/*")):
        name = path.relative_to(ROOT).as_posix()
        if path.suffix not in {".html", ".txt"} or name in BUTTONS or not SENDS_TO_STAFF.search(path.read_text()):
            continue
        found.add(name)
        text = path.read_text()
        if not (CONTACT.search(text) and CONDITION.search(text)):
            bare.append(name)
    assert {"templates/account/email/address_code_message.txt", "templates/account/login.html"} <= found
    assert bare == []


@pytest.fixture(params=["", NUMBER], ids=["nobody entered", "entered"])
def contact(request: pytest.FixtureRequest, db: None) -> str:
    """How staff are reached; every limit is one."""
    of_all = ServiceSettings(pk=1, sms_per_day=1, wrong_codes_per_day=1, late_cancels_per_day=1)
    of_all.support_phone = request.param
    of_all.support_hours = "08–22"
    of_all.save()
    return str(request.param)


def signed_in(user: User | None = None) -> Client:
    client = Client()
    client.force_login(user or PassengerFactory())
    return client


def without_password() -> User:
    user: User = PassengerFactory(phone=PHONE)
    user.set_unusable_password()
    user.save()
    return user


def enter_wrong_codes() -> Any:
    client = Client()
    ask(client)
    enter(client, wrong(last_code()))
    return enter(client, wrong(last_code()))


def ask_for_more_codes_than_a_day_has() -> Any:
    ask(Client(), "+77010000001")
    return ask(Client())


def confirm_by_wrong_codes() -> Any:
    client = signed_in(without_password())
    client.post(OWN, {"step": "send"})
    client.post(OWN, {"step": "code", "code": wrong(last_code())})
    return client.post(OWN, {"step": "code", "code": wrong(last_code())})


def change_the_number_by_wrong_codes() -> Any:
    client = browser(PassengerFactory())
    client.post(CHANGE, {"step": "phone", "phone": PHONE})
    client.post(CHANGE, {"step": "code", "code": wrong(last_code())})
    return client.post(CHANGE, {"step": "code", "code": wrong(last_code())})


def sign_in_without_a_provider() -> Any:
    with override_settings(SMS_PROVIDER=None):
        return Client().get(SIGN_IN)


def book_after_late_cancellations() -> Any:
    trip = TripFactory(status="accepted")
    bookings.cancel(trip.pk, trip.organiser)
    client = signed_in(trip.organiser)
    form = client.get("/book/").context["form"]
    data = {name: field.initial for name, field in form.fields.items() if field.initial is not None}
    places = {"pickup_name": "Hotel", "pickup_lat": "43.2451", "pickup_lng": "76.9577"}
    places |= {"dropoff_name": "Airport", "dropoff_lat": "43.3521", "dropoff_lng": "77.0405"}
    return client.post("/book/", {**data, "seats": 1, "vehicle_class": "sedan", "bags": 0, **places})


def open_the_form_that_cancels() -> Any:
    trip = TripFactory(status="accepted", in_=dt.timedelta(days=2))
    return signed_in(trip.organiser).get(f"/trips/{trip.pk}/cancel/")


def open_the_form_that_is_too_late() -> Any:
    trip = TripFactory(status="in_transit")
    return signed_in(trip.organiser).get(f"/trips/{trip.pk}/cancel/")


def open_the_export() -> Any:
    return signed_in().get("/account/export/")


@pytest.mark.parametrize(
    "open_page",
    [
        enter_wrong_codes,
        ask_for_more_codes_than_a_day_has,
        confirm_by_wrong_codes,
        change_the_number_by_wrong_codes,
        sign_in_without_a_provider,
        book_after_late_cancellations,
        open_the_form_that_cancels,
        open_the_form_that_is_too_late,
        open_the_export,
    ],
)
def test_page_names_staff_only_with_how_to_reach_them(open_page: Callable[[], Any], contact: str) -> None:
    text = open_page().content.decode()
    assert bool(SENDS_TO_STAFF.search(text)) == bool(contact)
    assert text.count('data-testid="support-contact"') == text.count(f'href="tel:{NUMBER}"') == (1 if contact else 0)


MAILS = {"address_changed": {}, "address_code": {"code": "1"}, "factor_changed": {"change": "off"}, "phone_proven": {}}


@pytest.mark.parametrize("name", MAILS)
def test_mail_names_staff_only_with_how_to_reach_them(name: str, contact: str) -> None:
    user = PassengerFactory.build(name="Asel")
    text = sending.write(name, "x@example.test", language="en", context={"user": user, **MAILS[name]}).body
    assert ("our staff" in text) == bool(contact)
    assert (f"\n{WRITTEN}\n08–22\n" in text) == bool(contact)
    assert "\n\n\n" not in text


def test_program_is_told_to_ask_staff_only_where_they_can_be_reached(contact: str) -> None:
    with override_settings(SMS_PROVIDER=None):
        answer = APIClient().post("/api/phone/code", {"phone": PHONE}, format="json").json()
    said = "This service sends no SMS." + (f" Ask our staff. {WRITTEN} (08–22)" if contact else "")
    assert (answer["code"], answer["message"]) == ("phone.not_offered", said)


def test_what_is_text_alone_ends_in_the_contact(contact: str) -> None:
    error = ask_staff(Conflict("x", "No."))
    assert error.as_text == (f"No. Ask our staff. {WRITTEN} (08–22)" if contact else "No.")
    of_field = ask_staff(Conflict("x", "No.", {"name": ["Too long.", "Not so."]}))
    end = f" Ask our staff. {WRITTEN} (08–22)" if contact else ""
    assert of_field.as_text == f"Too long. Not so.{end}"
