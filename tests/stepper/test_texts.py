"""What people type and others read loses what nobody can see, on every way in."""

import pytest
from django.apps import apps
from django.db import models
from django.test import Client
from django.urls import reverse

from drivers import approvals
from drivers.models import AvailabilityChange, Driver, Vehicle
from realtime.delivery.notifications import notify
from realtime.models import Notification
from stepper.models import User
from stepper.texts import PlainTextField, clean_text
from tests.backoffice import action_url, list_url, page_url, signed_in
from tests.factories import ALMATY, DriverFactory, PassengerFactory, StaffFactory, TripFactory
from tests.outbox import frames
from tests.rest import BOOKING, PICKUP, as_user
from trips import bookings
from trips.models import Rating, Trip
from trips.states import TripStatus

# What is typed, and what others read.
TYPED = {
    "right to left override": ("Aidos \u202eнидA", "Aidos нидA"),
    "isolates": ("\u2066Gate\u2069 \u2067B\u2068", "Gate B"),
    "marks of direction": ("\u200eGate\u200f \u061cB", "Gate B"),
    "zero width": ("Al\u200bma\u200cty\u200d\u2060\ufeff", "Almaty"),
    "soft hyphen": ("Al\u00adma\u00adty", "Almaty"),
    "control characters": ("Al\x07ma\x1b[31mty\x7f\x9b", "Alma[31mty"),
    "tags": ("Gate\U000e0042\U000e007f B", "Gate B"),
    "fillers drawn as nothing": ("Gate\u3164\u115f\u2800\uffa0 B", "Gate B"),
    "variation selectors": ("G\ufe00ate\U000e0101 B", "Gate B"),
    "private and no characters": ("Gate\ue000\uffff\U0010fffe B", "Gate B"),
    "half a character": ("Gate \ud83dB", "Gate B"),
    "composed": ("Cafe\u0301, И\u0306", "Café, Й"),
    "Kazakh": ("Әйгерім Қасымқызы, Ұлы жүз, Һ", "Әйгерім Қасымқызы, Ұлы жүз, Һ"),
    "a family": ("👨\u200d👩\u200d👧 ❤\ufe0f 1\ufe0f\u20e3", "👨\u200d👩\u200d👧 ❤\ufe0f 1\ufe0f\u20e3"),
    "joiners without pictures": ("👨\u200d a\u200db \ufe0f❤\ufe0f\ufe0f", "👨 ab ❤\ufe0f"),
    "flags of tags": ("🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f B",) * 2,
    "tags of no flag": ("🏴\U000e0068\U000e0069\U000e007f 🏴\U000e0067\U000e0062 B", "🏴 🏴 B"),
    "Persian": ("علی\u200cرضا می\u200cخواهم سَ\u200cر",) * 2,
    "Persian where letters do not join": ("کار\u200cها \u200cعلی\u200c ع\u200dل ع\u200ca", "کارها علی عل عa"),
    "two joiners": ("ع\u200c\u200cل", "عل"),
    "Sinhala": ("ශ්\u200dරී",) * 2,
    "Devanagari": ("क्\u200dष क्\u200cष क़्\u200dष",) * 2,
    "Devanagari without a virama": ("क\u200dष क\u200cष ष्\u200c \u094d\u200d", "कष कष ष् \u094d"),
    "Bengali": ("র\u200d্যাব",) * 2,
    "Malayalam": ("അവന്\u200d",) * 2,
    "joiners in Latin and Cyrillic": ("A\u200dl\u200cma Ә\u200dй\u200cгерім 1\u200d2", "Alma Әйгерім 12"),
    "lines": ("Gate B\r\nsecond\u2028door\tleft ", "Gate B second door left"),
    "longer when composed": ("\u0958\u0958", "\u0958\u0958"),
}
NASTY, CLEAN = "\u202eGate\u200b \u2066B\u2069\ufeff", "Gate B"
NOTHING = "\u200b\u202e \u3164\ufeff"


@pytest.mark.embedded_only
@pytest.mark.parametrize("name", TYPED)
def test_a_text_is_stored_without_what_nobody_sees(name: str) -> None:
    typed, read = TYPED[name]
    assert clean_text(typed) == read
    assert clean_text(read) == read
    assert len(clean_text(typed)) <= len(typed)


@pytest.mark.embedded_only
def test_a_note_of_several_lines_keeps_them() -> None:
    assert clean_text("first\r\n\r\nsecond\u2029third\n", multiline=True) == "first\n\nsecond\nthird"


# Columns of text that no person types: written by the code, chosen from a list or checked by a pattern of their own.
MACHINE = {
    "User": {"email", "phone", "language", "theme", "password", "session_binding", "push_muted", "mail_topics"},
    "AddressChange": {"old_email", "new_email", "password_digest", "token_digest"},
    "AddressCode": {"email", "code_digest"},
    "PhoneCode": {"token_digest", "purpose", "phone", "code_digest"},
    "DayCount": {"name"},
    "ServiceSettings": {
        *("dispatch_mode", "wave_rings_km", "sms_country_codes"),
        *("support_phone", "support_whatsapp", "support_telegram"),
        *("emergency_number", "terms_url", "privacy_url"),
    },
    "AuditEntry": {"action", "address", "via", "model", "object_id", "merge_key"},
    "TripDay": {"place", "vehicle_class"},
    "TripHour": {"place", "vehicle_class"},
    "TripReason": {"place", "vehicle_class", "kind", "side", "code"},
    "ReportState": {"claim", "zone"},
    "SecurityEvent": {"event", "login_digest", "address", "transport"},
    "Restore": {"generation"},
    "AccountSession": {"auth_hash", "address"},
    "Event": {"event_id", "group", "type", "frame"},
    "Notification": {"priority", "category", "action_url"},
    "PushSubscription": {"endpoint", "p256dh", "auth"},
    "ServerBeat": {"name"},
    "Vehicle": {"plate", "vehicle_class"},
    "DriverApplication": {"vehicle_class"},
    "DriverDocument": {"kind", "status"},
    "Driver": {"approval", "availability", "timezone", "navigation_app"},
    "AvailabilityChange": {"previous", "availability", "cause"},
    "Place": {"slug", "source", "kind", "country"},
    "Wish": {"code"},
    "TripChange": {"role"},
    "TripShare": {"token_digest", "sent_to"},
    "TripMessage": {"role", "quick", "key"},
    "SafetyAlert": {"position_of"},
    "SavedPlace": {"kind"},
    "Trip": {
        *("trip_type", "status", "request_key", "request_digest", "timezone", "vehicle_class", "zone"),
        *("traveller_phone", "payment_method", "cancel_code", "boarding_code"),
    },
    "AppliedCommand": {"key", "about"},
    "Claim": {"subject"},
    "StaffAssignment": {"ended_as"},
    "TripTransition": {"from_status", "to_status", "role", "doubt"},
    "TripWatch": {"stall"},
    "Booking": {"status", "payment_method"},
    "Rating": {"role", "tags"},
    "Offer": {"status", "urgency", "difficulty"},
    "DispatchRule": {"trip_type", "urgency", "mode", "wave_rings_km"},
    "DispatchRound": {"mode"},
}


@pytest.mark.embedded_only
def test_every_column_of_text_that_people_type_is_cleaned() -> None:
    """A new column of text is a PlainTextField, or a person has thought about it and put it above."""
    unclean = {
        f"{model.__name__}.{field.name}"
        for app in ("stepper", "realtime", "drivers", "trips")
        for model in apps.get_app_config(app).get_models()
        for field in model._meta.concrete_fields
        if isinstance(field, models.CharField | models.TextField) and not isinstance(field, PlainTextField)
    }
    known = {f"{model}.{name}" for model, names in MACHINE.items() for name in names}
    assert unclean - known == set()


# Every way in


@pytest.mark.django_db
def test_pages_strip_what_nobody_sees() -> None:
    trip = TripFactory.create(status=TripStatus.COMPLETED)
    client = Client()
    client.post(
        reverse("account_signup"),
        {"name": NASTY, "phone": "", "email": "new@example.test", "password1": "a long walk home"},
    )
    assert User.objects.get(email="new@example.test").name == CLEAN

    client.force_login(trip.organiser)
    client.post(reverse("trips:rate", args=[trip.pk]), {"stars": "5", "comment": NASTY})
    assert Rating.objects.get().comment == CLEAN


@pytest.mark.django_db
def test_sign_up_refuses_a_name_that_nobody_sees() -> None:
    form = {"name": NOTHING, "phone": "", "email": "new@example.test", "password1": "a long walk home"}
    response = Client().post(reverse("account_signup"), form)
    assert "name" in response.context["form"].errors


@pytest.mark.django_db
def test_rest_strips_what_nobody_sees() -> None:
    client = as_user(PassengerFactory.create())
    place = {**PICKUP, "name": NASTY, "address": NASTY}
    traveller = {"name": NASTY, "phone": "+77015550000"}
    body = {**BOOKING, "pickup": place, "note": f"{NASTY}\n{NASTY}", "traveller": traveller}

    booked = client.post("/api/trips", body, format="json").json()

    assert (booked["pickup"]["name"], booked["pickup"]["address"]) == (CLEAN, CLEAN)
    assert (booked["note"], booked["traveller"]["name"]) == (f"{CLEAN}\n{CLEAN}", CLEAN)
    assert booked["title"].startswith(f"{CLEAN} → ")
    cancelled = client.post(f"/api/trips/{booked['id']}/cancel", {"reason": NASTY}, format="json")
    assert cancelled.json()["cancel_reason"] == CLEAN


@pytest.mark.django_db
@pytest.mark.parametrize("field", ["pickup.name", "traveller.name"])
def test_rest_refuses_a_required_text_that_nobody_sees(field: str) -> None:
    place, traveller = {**PICKUP}, {"name": "Aigerim", "phone": "+77015550000"}
    (place if field.startswith("pickup") else traveller)["name"] = NOTHING
    body = {**BOOKING, "pickup": place, "traveller": traveller}
    response = as_user(PassengerFactory.create()).post("/api/trips", body, format="json")
    assert (response.status_code, list(response.json()["fields"])) == (400, [field])


@pytest.mark.django_db
def test_the_administration_strips_what_nobody_sees() -> None:
    client = signed_in(StaffFactory.create())
    vehicle = DriverFactory.create(at=ALMATY).vehicle
    form = {"plate": "777 ABC 02", "make": NASTY, "model": NASTY, "colour": NASTY, "year": ""}
    client.post(page_url(vehicle), {**form, "vehicle_class": "sedan", "seats": "4"})
    vehicle.refresh_from_db()
    assert (vehicle.make, vehicle.model, vehicle.colour) == (CLEAN, CLEAN, CLEAN)

    driver = Driver.objects.get()
    client.post(action_url(driver, "take_offline"), {"reason": NASTY})
    assert AvailabilityChange.objects.get().note == CLEAN
    assert Notification.objects.get().message == CLEAN


@pytest.mark.django_db
def test_the_administration_refuses_a_required_text_that_nobody_sees() -> None:
    client = signed_in(StaffFactory.create())
    form = {"plate": "777 ABC 02", "make": NOTHING, "model": "Camry", "colour": "White", "year": ""}
    response = client.post(f"{list_url(Vehicle)}add/", {**form, "vehicle_class": "sedan", "seats": "4"})
    assert list(response.context["adminform"].form.errors) == ["make"]
    trip = TripFactory.create()
    response = client.post(action_url(trip, "cancel"), {"reason": NOTHING})
    assert (Trip.objects.get().status, response.status_code) == (TripStatus.OFFERED, 200)


@pytest.mark.django_db
def test_what_others_are_told_is_stripped_as_well() -> None:
    """Events and notifications are made from what the verb was given, not from the stored row."""
    trip = TripFactory.create(status=TripStatus.ACCEPTED)
    bookings.cancel(trip.pk, trip.organiser, NASTY)
    told = [getattr(frame, "note", getattr(frame, "reason", None)) for frame in frames(f"trip.{trip.pk}")]
    assert told == [CLEAN, CLEAN]
    assert Notification.objects.get(user=trip.driver.user).message == f"{trip.title}. {CLEAN}"
    sent = notify(trip.organiser, NASTY, message=NASTY, audience="passenger")
    assert (sent.title, sent.message) == (CLEAN, CLEAN)


@pytest.mark.django_db
def test_a_command_or_a_mass_update_strips_what_nobody_sees() -> None:
    driver = DriverFactory.create(user__name=NASTY)
    assert driver.user.name == CLEAN
    User.objects.update(name=NASTY)
    Vehicle.objects.bulk_update([Vehicle(pk=driver.vehicle_id, colour=NASTY)], ["colour"])
    driver = Driver.objects.select_related("user", "vehicle").get()
    assert (driver.user.name, driver.vehicle.colour) == (CLEAN, CLEAN)
    approvals.suspend(driver.pk, StaffFactory.create(), NASTY)
    assert Notification.objects.get().message == CLEAN
