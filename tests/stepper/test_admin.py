"""The admin as a whole, people and settings, the event log and notifications."""

import datetime as dt

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from realtime.models import Event, Notification, ServerBeat
from realtime.outbox import refresh_permissions
from stepper.models import AuditEntry, AuditRetention, Restore, ServiceSettings, User
from tests.backoffice import list_url, member_of_staff, page_url, queries_of, signed_in
from tests.factories import PASSWORD, DriverFactory, PassengerFactory, StaffFactory, UserFactory
from trips.models import DriverDay, ReportState, TripDay, TripHour, TripReason

pytestmark = pytest.mark.django_db

SETTINGS = "/admin/stepper/servicesettings/"


@pytest.fixture
def staff():
    return StaffFactory.create()


@pytest.fixture
def client(staff):
    return signed_in(staff)


# The admin as a whole


@pytest.mark.parametrize(
    "query",
    [
        *("year=1", "year=1&{}year=1&{}month=1", "year=1&{}month=1&{}day=1", "year=9999", "year=0", "year=99999"),
        *("year=9999&{}month=12&{}day=31", "gte=0001-01-01 00:00:00%2B05:00", "lt=9999-12-31 23:59:59-05:00"),
    ],
)
def test_a_list_of_times_that_no_clock_shows_is_the_whole_list(client, query):
    query = "date_joined__" + query.replace("{}", "date_joined__")
    response = client.get(f"{list_url(User)}?{query}")
    assert (response.status_code, response["Location"]) == (302, f"{list_url(User)}?e=1")


@pytest.mark.parametrize("key", ["9" * 30, "1%00"])
@pytest.mark.parametrize("view", ["change", "delete", "history"])
def test_address_with_a_key_that_no_row_can_have_is_no_fault(client: Client, view: str, key: str) -> None:
    answers = {
        model: client.get(f"/admin/{model._meta.app_label}/{model._meta.model_name}/{key}/{view}/").status_code
        for model in admin.site._registry
    }
    assert set(answers.values()) <= {302, 403, 404}, answers


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/admin/auth/group/?user__email__startswith=x", None),
        ("/admin/auth/group/add/?_to_field=permissions", None),
        ("/book/", {f"field{number}": "" for number in range(1001)}),
    ],
    ids=["filter", "field", "too many fields"],
)
def test_request_that_django_calls_suspicious_is_refused_and_no_fault(client: Client, caplog, path, sent) -> None:
    response = client.get(path) if sent is None else client.post(path, sent)
    assert response.status_code == 400
    assert not [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}]


# The audit log has its page in the operations room, and what its triggers read is never seen.
# The audit log, and the counts of each day: they are read in the operations room.
ELSEWHERE = {AuditEntry, AuditRetention, DriverDay, ReportState, TripDay, TripHour, TripReason}


def test_every_model_is_in_the_admin():
    models: list[type[Model]] = [Group]
    for name in ("stepper", "trips", "drivers", "realtime"):
        models += apps.get_app_config(name).get_models()
    assert {model for model in models if not admin.site.is_registered(model)} == ELSEWHERE


@pytest.mark.parametrize("name", ["stepper", "trips", "drivers", "realtime"])
def test_every_model_can_be_searched_and_filtered(name):
    for model in set(apps.get_app_config(name).get_models()) - ELSEWHERE:
        page = admin.site.get_model_admin(model)
        if model is not ServiceSettings:
            assert page.search_fields, model
            assert page.list_filter, model
            assert page.ordering, model


def make(model, number):
    now = timezone.now()
    for index in range(number):
        user = UserFactory.create()
        DriverFactory.create()
        if model is Group:
            Group.objects.create(name=f"Group {index}").user_set.add(user)
        elif model is Event:
            Event.objects.create(
                event_id=str(index), group=f"trip.{index}", type="trip.requested", frame='{"a":1}', sweep_at=now
            )
        elif model is Notification:
            Notification.objects.create(user=user, title="A trip")
        elif model is Restore:
            Restore.objects.create(generation=str(index), backup_made_at=now)
        elif model is ServerBeat:
            ServerBeat.objects.create(name=f"dispatcher-{index}", beat_at=now - dt.timedelta(minutes=index))
    return model.objects.order_by("pk").first()


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(
    ("model", "listing", "opening"),
    [(User, 8, 9), (Group, 6, 6), (Event, 8, 5), (Notification, 8, 6), (ServerBeat, 6, 5), (Restore, 6, 5)],
)
def test_lists_and_pages_cost_the_same_for_one_row_and_three(client, query_count, model, listing, opening, rows):
    first = make(model, rows)
    queries_of(client, list_url(model), query_count(listing, listing))
    queries_of(client, page_url(first), query_count(opening, opening))


@pytest.mark.parametrize("model", [Event, Notification, ServerBeat])
def test_histories_cannot_be_written(client, model):
    row = make(model, 1)
    assert client.post(page_url(row), {"title": "forged", "type": "forged"}).status_code == 403
    assert client.get(f"{list_url(model)}add/").status_code == 403
    assert client.post(page_url(row).replace("change", "delete"), {"post": "yes"}).status_code == 403
    assert model.objects.filter(pk=row.pk).exists()


def test_the_event_log_is_filtered_by_the_types_of_the_contract(client):
    make(Event, 2)
    Event.objects.filter(event_id="0").update(type="booking.confirmed")
    response = client.get(list_url(Event), {"type": "booking.confirmed"})
    assert [event.event_id for event in response.context["cl"].result_list] == ["0"]


def test_a_word_between_servers_has_no_frame(client):
    refresh_permissions("driver.1")
    assert client.get(page_url(Event.objects.get())).status_code == 200


@pytest.mark.parametrize(("age_s", "warned"), [(None, True), (16, True), (2, False)])
def test_the_first_page_warns_when_no_dispatcher_reports(client, age_s, warned):
    if age_s is not None:
        ServerBeat.objects.create(name="dispatcher", beat_at=timezone.now() - dt.timedelta(seconds=age_s))
    page = client.get(reverse("admin:index")).content.decode()
    assert ("No dispatcher has reported" in page) is warned


@pytest.mark.parametrize("may_change", [True, False])
def test_first_page_asks_for_a_contact_while_none_is_set(may_change):
    client = member_of_staff("stepper.change_servicesettings" if may_change else "trips.view_trip")
    assert ("No contact of your staff is set" in client.get(reverse("admin:index")).content.decode()) is may_change
    ServiceSettings(pk=1, support_phone="+77015550000").save()
    assert "No contact of your staff is set" not in client.get(reverse("admin:index")).content.decode()


def test_staff_sign_in_where_everybody_does():
    response = Client().get(reverse("admin:index"), follow=True)
    assert response.redirect_chain[-1][0].startswith(reverse(settings.LOGIN_URL))


def test_passengers_are_kept_out():
    assert signed_in(PassengerFactory.create()).get(reverse("admin:index"), follow=True).status_code == 403


def test_the_sidebar_lists_what_one_may_view():
    client = member_of_staff("trips.view_trip")
    page = client.get(reverse("admin:index")).content.decode()
    assert reverse("admin:trips_trip_changelist") in page
    assert reverse("admin:stepper_user_changelist") not in page
    assert client.get(reverse("admin:stepper_user_changelist")).status_code == 403


# Settings


def test_settings_are_one_row_that_the_list_leads_to(client):
    response = client.get(SETTINGS)
    assert (response.status_code, response["Location"]) == (302, f"{SETTINGS}1/change/")
    client.get(SETTINGS)
    assert ServiceSettings.objects.get().fare_per_km == 50
    assert client.get(f"{SETTINGS}add/").status_code == 403
    assert client.post(f"{SETTINGS}1/delete/", {"post": "yes"}).status_code == 403


def current_settings(**changes):
    row = ServiceSettings.current()
    names = [
        field.name
        for field in ServiceSettings._meta.fields
        if field.editable and field.name not in {"id", "updated_at"}
    ]
    return {**{name: getattr(row, name) for name in names}, **changes}


def test_settings_can_be_changed_and_count_at_once(client):
    client.get(SETTINGS)
    assert client.get(f"{SETTINGS}1/change/").status_code == 200
    before = ServiceSettings.current().updated_at
    assert client.post(f"{SETTINGS}1/change/", current_settings(fare_per_km=75)).status_code == 302
    assert ServiceSettings.current().fare_per_km == 75
    assert ServiceSettings.current().updated_at > before


@pytest.mark.parametrize(
    ("name", "value"),
    [("platform_fee_percent", 51), ("discovery_radius_km", 4), ("fare_per_km", -1), ("retry_min", "x")],
)
def test_settings_out_of_range_are_refused_at_their_field(client, name, value):
    client.get(SETTINGS)
    response = client.post(f"{SETTINGS}1/change/", current_settings(**{name: value}))
    assert response.status_code == 200
    assert name in response.context["adminform"].form.errors


def test_every_setting_has_its_place_on_the_page(client):
    client.get(SETTINGS)
    form = client.get(f"{SETTINGS}1/change/").context["adminform"].form
    assert set(form.fields) == set(current_settings())


def test_settings_are_for_those_permitted():
    assert member_of_staff("trips.view_trip").get(SETTINGS).status_code == 403
    viewer = member_of_staff("stepper.view_servicesettings")
    assert viewer.get(SETTINGS).status_code == 302
    assert viewer.post(f"{SETTINGS}1/change/", current_settings(fare_per_km=1)).status_code == 403
    assert ServiceSettings.current().fare_per_km == 50


# People

NEW = {"name": "Aliya", "language": "en", "password1": PASSWORD, "password2": PASSWORD}


@pytest.mark.parametrize("way", [{"email": "Aliya@Example.test"}, {"phone": "8 701 123 45 67"}])
def test_a_user_is_made_with_an_email_or_a_phone(client, staff, way):
    assert client.post(f"{list_url(User)}add/", {**NEW, **way}).status_code == 302
    user = User.objects.exclude(pk=staff.pk).get()
    assert user.check_password(PASSWORD)
    assert not user.is_staff
    assert str(user.phone) == "+77011234567" if "phone" in way else user.email == "aliya@example.test"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({}, "email"),
        ({"email": "TAKEN@example.test"}, "email"),
        ({"phone": "+77029999999"}, "phone"),
        ({"phone": "12"}, "phone"),
        ({"email": "a@example.test", "password2": "something else"}, "password2"),
        ({"email": "a@example.test", "password1": "12345678", "password2": "12345678"}, "password2"),
        ({"email": "a@example.test", "password1": "", "password2": ""}, "password1"),
    ],
)
def test_a_wrong_user_is_refused_at_the_field(client, changes, field):
    UserFactory.create(email="taken@example.test", phone="+77029999999")
    response = client.post(f"{list_url(User)}add/", {**NEW, **changes})
    assert response.status_code == 200
    assert field in response.context["adminform"].form.errors


def edit(user, **changes):
    return {"name": user.name, "email": user.email or "", "phone": str(user.phone or ""), "language": "en", **changes}


def test_editing_a_user_keeps_password_and_rating(client):
    user = PassengerFactory.create(rating_sum=9, rating_count=2)
    forged = {"rating_sum": "500", "password": "forged", "is_active": "on"}
    assert client.post(page_url(user), edit(user, name="Renamed", **forged)).status_code == 302
    saved = User.objects.get(pk=user.pk)
    assert (saved.name, saved.rating_sum, saved.is_active) == ("Renamed", 9, True)
    assert saved.check_password(PASSWORD)


def test_a_hotel_gets_a_number_of_trips_of_its_own():
    user = PassengerFactory.create()
    client = member_of_staff("stepper.view_user", "stepper.change_user")
    assert 'name="max_overlapping_trips"' in client.get(page_url(user)).content.decode()

    assert client.post(page_url(user), edit(user, is_active="on", max_overlapping_trips="40")).status_code == 302
    assert User.objects.get(pk=user.pk).max_overlapping_trips == 40
    refused = client.post(page_url(user), edit(user, is_active="on", max_overlapping_trips="0"))
    assert "max_overlapping_trips" in refused.context["adminform"].form.errors
    assert client.post(page_url(user), edit(user, is_active="on", max_overlapping_trips="")).status_code == 302
    assert User.objects.get(pk=user.pk).max_overlapping_trips is None


def test_the_password_of_a_user_without_email_is_set(client):
    user = PassengerFactory.create(email=None, name="Aliya Phone")
    url = f"/admin/stepper/user/{user.pk}/password/"
    page = client.get(url).content.decode()
    assert "None" not in page.split("<form", 1)[1].split("</form>")[0]
    new = {"password1": "a whole new battery", "password2": "a whole new battery"}
    assert client.post(url, {**new, "usable_password": "true"}).status_code == 302
    assert User.objects.get(pk=user.pk).check_password("a whole new battery")


def test_only_a_superuser_gives_permissions():
    user = PassengerFactory.create()
    client = member_of_staff("stepper.view_user", "stepper.change_user")
    permission = Permission.objects.get(codename="delete_trip")
    forged = {"is_staff": "on", "is_superuser": "on", "user_permissions": permission.pk, "is_active": "on"}
    assert client.post(page_url(user), edit(user, name="Renamed", **forged)).status_code == 302
    saved = User.objects.get(pk=user.pk)
    assert (saved.name, saved.is_staff, saved.is_superuser) == ("Renamed", False, False)
    assert not saved.user_permissions.exists()


def test_a_superuser_gives_permissions(client):
    user = PassengerFactory.create()
    group = Group.objects.create(name="Support")
    forms = edit(user, is_staff="on", is_active="on", groups=group.pk)
    assert client.post(page_url(user), forms).status_code == 302
    saved = User.objects.get(pk=user.pk)
    assert saved.is_staff
    assert saved.groups.get() == group


def test_a_colleague_cannot_be_changed_without_being_a_superuser():
    colleague = StaffFactory.create()
    client = member_of_staff("stepper.view_user", "stepper.change_user", "stepper.delete_user")
    url = f"/admin/stepper/user/{colleague.pk}/password/"
    assert client.post(url, {"password1": "stolen battery", "password2": "stolen battery"}).status_code == 403
    assert client.post(page_url(colleague), edit(colleague, name="Renamed")).status_code == 403
    assert client.post(page_url(colleague).replace("change", "delete"), {"post": "yes"}).status_code == 403
    assert User.objects.get(pk=colleague.pk).check_password(PASSWORD)


def test_groups_belong_to_superusers(client):
    group = Group.objects.create(name="Support")
    other = member_of_staff("auth.view_group", "auth.change_group", "auth.add_group")
    assert other.post(page_url(group), {"name": "Renamed"}).status_code == 403
    assert other.get(f"{list_url(Group)}add/").status_code == 403
    permission = Permission.objects.get(codename="view_trip")
    assert client.post(page_url(group), {"name": "Renamed", "permissions": permission.pk}).status_code == 302
    assert Group.objects.get().permissions.get() == permission


def test_permissions_are_searched_for_but_not_listed(client):
    asked = {"app_label": "auth", "model_name": "group", "field_name": "permissions", "term": "view trip"}
    found = client.get(reverse("admin:autocomplete"), asked).json()["results"]
    assert any("trip" in row["text"] for row in found)
    assert reverse("admin:auth_permission_changelist") not in client.get(reverse("admin:index")).content.decode()
