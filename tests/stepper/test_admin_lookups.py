"""What an address may filter a list of the administration by."""

import re
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Field, Model
from django.test import Client, RequestFactory

from drivers.models import Driver
from realtime.models import PushSubscription
from stepper.admin.lookups import is_secret
from stepper.models import AccountSession, ServiceSettings, User
from tests.backoffice import list_url, member_of_staff, page_url, signed_in
from tests.factories import DriverFactory, StaffFactory

pytestmark = pytest.mark.django_db

ADMINS = sorted(admin.site._registry.items(), key=lambda item: item[0]._meta.label)
GUESSES = ["startswith", "istartswith", "contains", "icontains", "endswith", "iexact", "regex", "iregex", "lower__gt"]
by_label = pytest.mark.parametrize(("model", "listing"), ADMINS, ids=[model._meta.label for model, _listing in ADMINS])


@pytest.fixture
def client() -> Client:
    return signed_in(StaffFactory.create())


def columns_within_reach(model: type[Model]) -> list[str]:
    """Name each column of a model and of what its foreign keys point to, as lookups name them."""
    found = []
    for field in model._meta.get_fields():
        if isinstance(field, Field):
            found.append(field.name)
        if field.is_relation and field.related_model is not None:
            found += [f"{field.name}__{far.name}" for far in field.related_model._meta.get_fields()]
    return found


@by_label
def test_no_column_can_be_read_letter_by_letter(model: type[Model], listing: Any) -> None:
    request = RequestFactory().get("/")
    request.user = StaffFactory.create()
    lookups = [f"{column}__{guess}" for column in columns_within_reach(model) for guess in GUESSES]
    assert [one for one in lookups if listing.lookup_allowed(one, "a", request)] == []


@by_label
def test_no_column_that_opens_something_is_compared_searched_or_sorted_by(model: type[Model], listing: Any) -> None:
    request = RequestFactory().get("/")
    request.user = StaffFactory.create()
    secrets = [column for column in columns_within_reach(model) if is_secret(column)]
    lookups = [f"{column}{end}" for column in secrets for end in ("", "__exact", "__in", "__gt", "__isnull")]
    assert [one for one in lookups if listing.lookup_allowed(one, "a", request)] == []
    shown = [
        str(name) for name in (*listing.search_fields, *listing.get_list_display(request), *(listing.ordering or []))
    ]
    assert [name for name in shown if is_secret(name.lstrip("=^@-"))] == []


@pytest.mark.parametrize(
    ("model", "query"),
    [
        (AccountSession, "session__session_key__startswith=a"),
        (AccountSession, "session__startswith=a"),
        (AccountSession, "session=a"),
        (AccountSession, "address__regex=("),
        (AccountSession, "user_agent__iregex=(a%2B)%2B$"),
        (PushSubscription, "auth__startswith=a"),
        (PushSubscription, "endpoint__contains=a"),
        (User, "password__startswith=a"),
        (Driver, "user__password__startswith=a"),
    ],
)
def test_what_no_page_offers_is_refused(client: Client, model: type[Model], query: str) -> None:
    assert client.get(f"{list_url(model)}?{query}").status_code == 400


def test_permission_to_view_alone_reads_no_key() -> None:
    viewer = member_of_staff("stepper.view_accountsession")
    assert viewer.get(f"{list_url(AccountSession)}?session__session_key__startswith=a").status_code == 400
    assert viewer.get(list_url(AccountSession)).status_code == 200


@by_label
def test_filters_and_dates_of_each_list_are_allowed(client: Client, model: type[Model], listing: Any) -> None:
    if model is ServiceSettings:  # its list leads to the one row
        return
    driver = DriverFactory.create()
    shown = client.get(list_url(model)).context["cl"]
    choices = [choice for spec in shown.filter_specs for choice in spec.choices(shown)]
    queries = {choice["query_string"] for choice in choices if "query_string" in choice}
    if listing.date_hierarchy:
        year = f"?{listing.date_hierarchy}__year=2026"
        queries |= {year, f"{year}&{listing.date_hierarchy}__month=5"}
    staff = User.objects.exclude(pk=driver.user_id).get()
    refused = {query: error for query in queries if (error := refusal_of_list(listing, query, staff))}
    assert refused == {}


def refusal_of_list(listing: Any, query: str, staff: User) -> Exception | None:
    """What reading a list by these filters is refused with; its page is not drawn. None: it is read."""
    request = RequestFactory().get(query)
    request.user = staff
    try:
        list(listing.get_changelist_instance(request).result_list)
    except (DisallowedModelAdminLookup, IncorrectLookupParameters) as error:
        return error
    return None


def test_list_that_is_read_by_what_no_page_offers_is_refused(client: Client) -> None:
    staff, listing = User.objects.get(), dict(ADMINS)[User]
    assert isinstance(refusal_of_list(listing, "?password__startswith=a", staff), DisallowedModelAdminLookup)


def test_links_of_a_drivers_page_lead_to_lists(client: Client) -> None:
    page = client.get(page_url(DriverFactory.create())).content.decode()
    links = re.findall(r'href="([^"]+__id__exact=[^"]+)"', page)
    assert len(links) >= 6
    assert {link: client.get(link).status_code for link in links} == dict.fromkeys(links, 200)
