"""The page of fares: trying them on yesterday's trips, storing them, what the history says."""

import datetime as dt
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from stepper.accounts.confirmation import CONFIRMED_AT
from stepper.admin.service_settings import FARES
from stepper.errors import Conflict, NotPermitted
from stepper.models import SecurityEvent, ServiceSettings, User
from stepper.ops.reports.fares import change_fares, version_of
from tests.backoffice import staff_with
from tests.factories import ALMATY, DriverFactory, StaffFactory, TripFactory
from trips.models import Trip
from trips.states import TripStatus

pytestmark = pytest.mark.django_db


def signed_in(user: User, *, confirmed: bool = True) -> Client:
    client = Client()
    client.force_login(user)
    if not confirmed:
        session = client.session
        session.pop(CONFIRMED_AT)
        session.save()
    return client


def entered(**changes: Any) -> dict[str, Any]:
    current = ServiceSettings.objects.get_or_create(pk=1)[0]
    return {name: getattr(current, name) for name in FARES} | {"shown": version_of(current)} | changes


def test_fares_are_for_who_may_change_the_settings() -> None:
    for permissions in ((), ("view_report", "view_revenue"), ("view_servicesettings",)):
        assert signed_in(staff_with(*permissions)).get("/ops/settings/").status_code == 403
        assert signed_in(staff_with(*permissions)).post("/ops/settings/", entered(save="")).status_code == 403
    assert signed_in(staff_with("change_fares")).get("/ops/settings/").status_code == 200
    with pytest.raises(NotPermitted):
        change_fares({"base_fare": 1}, "", staff_with("view_servicesettings"))


def test_trying_shows_what_yesterdays_trips_would_have_cost_and_stores_nothing() -> None:
    yesterday = timezone.now() - dt.timedelta(days=1)
    trip: Trip = TripFactory(status=TripStatus.COMPLETED, driver=DriverFactory(at=ALMATY), completed_at=yesterday)
    data = entered(base_fare=700, **{"try": ""})
    page = signed_in(staff_with("change_fares"), confirmed=False).post("/ops/settings/", data)
    text = page.content.decode().replace("\u202f", " ")
    assert f'data-testid="trial-fares">₸{trip.fare + 200:,}'.replace(",", " ") in text
    assert "+₸200" in text
    # What was entered stays in the form.
    assert 'value="700"' in text
    assert ServiceSettings.current().base_fare == 500
    assert not LogEntry.objects.exists()


def test_trials_of_one_person_are_limited_and_of_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepper.ops.reports.fares.TRIALS_PER_MIN", 2)
    desk, other = signed_in(staff_with("change_fares")), signed_in(staff_with("change_fares"))
    data = entered(base_fare=700, **{"try": ""})
    assert [desk.post("/ops/settings/", data).status_code for _again in range(3)] == [200, 200, 429]
    refused = desk.post("/ops/settings/", data)
    assert 1 <= int(refused["Retry-After"]) <= 60
    assert "Too many requests" in refused.content.decode()
    assert other.post("/ops/settings/", data).status_code == 200
    # What is stored is no trial.
    assert desk.post("/ops/settings/", entered(base_fare=700, save="")).status_code == 302


def test_saving_stores_them_once_and_the_history_says_from_what_to_what() -> None:
    client, data = signed_in(staff_with("change_fares")), entered(base_fare=700, platform_fee_percent=20, save="")
    assert client.post("/ops/settings/", data)["Location"] == "/ops/settings/"
    assert client.post("/ops/settings/", data | {"shown": "old"}).status_code == 302
    settings = ServiceSettings.current()
    assert (settings.base_fare, settings.platform_fee_percent, settings.fare_per_km) == (700, 20, 50)
    assert LogEntry.objects.count() == 1
    page = client.get("/ops/settings/").content.decode()
    assert "base fare, ₸: 500 → 700" in page
    assert "platform fee, %: 15.0 → 20.0" in page
    assert SecurityEvent.objects.filter(event="settings.changed").exists()


def test_saving_needs_a_recent_sign_in() -> None:
    client = signed_in(staff_with("change_fares"), confirmed=False)
    answer = client.post("/ops/settings/", entered(base_fare=700, save=""))
    assert answer["Location"].startswith("/accounts/confirm/")
    assert ServiceSettings.current().base_fare == 500


def test_who_has_not_seen_the_last_change_does_not_overwrite_it() -> None:
    first, user = entered(), StaffFactory()
    change_fares({"base_fare": 600}, first["shown"], user)
    with pytest.raises(Conflict, match=r"settings\.changed"):
        change_fares({"base_fare": 700}, first["shown"], user)
    answer = signed_in(user).post("/ops/settings/", first | {"base_fare": 700, "save": ""})
    assert answer.status_code == 409
    assert "Somebody has changed the settings meanwhile" in answer.content.decode()
    assert ServiceSettings.current().base_fare == 600


@pytest.mark.parametrize("changes", [{"platform_fee_percent": 51}, {"base_fare": -1}, {"road_factor": ""}])
def test_fare_that_cannot_be_is_refused_at_its_field(changes: dict[str, Any]) -> None:
    answer = signed_in(staff_with("change_fares")).post("/ops/settings/", entered(**changes, save=""))
    assert answer.status_code == 400
    assert "field__error" in answer.content.decode()
