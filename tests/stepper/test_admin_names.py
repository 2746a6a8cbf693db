"""In Russian the administration is Russian: the names of apps, models and fields, and what the theme says."""

import re
from collections.abc import Iterator

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets, label_for_field
from django.test import RequestFactory
from django.utils.translation import override

from drivers.admin.drivers import DriverAdmin
from drivers.models import Availability, AvailabilityChange, Driver
from stepper.models import ServiceSettings, User
from tests.backoffice import list_url, page_url, said, signed_in
from tests.catalogues import PACKAGES
from tests.factories import DriverFactory, PassengerFactory, StaffFactory, TripFactory
from trips.models import Offer, Trip, TripTransition, TripWatch
from trips.states import OfferStatus, TripStatus

# The same on both set-ups.
pytestmark = [pytest.mark.embedded_only, pytest.mark.django_db]

ENGLISH = ["Accepted at", "Version", "General", "Select all rows", "elect record", ">Drivers<", ">Realtime<"]
CYRILLIC = re.compile("[а-яё]", re.IGNORECASE)


@pytest.fixture(autouse=True)
def in_russian() -> Iterator[None]:
    with override("ru"):
        yield


def test_apps_models_and_their_rows_have_russian_names() -> None:
    configs = [apps.get_app_config(name) for name in PACKAGES if name != "stepper"]
    names = [str(config.verbose_name) for config in configs]
    for model in (model for name in PACKAGES for model in apps.get_app_config(name).get_models()):
        names += [str(model._meta.verbose_name), str(model._meta.verbose_name_plural)]
    assert [name for name in names if not CYRILLIC.search(name)] == []


def shown_names() -> Iterator[str]:
    """Yield what each list and page calls its columns and fields."""
    request = RequestFactory().get("/")
    request.user = StaffFactory.create()
    for model, page in admin.site._registry.items():
        columns = {*page.get_list_display(request), *flatten_fieldsets(page.get_fieldsets(request, None))}
        columns |= set(flatten_fieldsets(page.get_fieldsets(request, page.model())))
        for column in columns - {"action_checkbox", "__str__", "password1", "password2"}:
            yield f"{model.__name__}.{column}: {label_for_field(column, model, page)}"
        for inline in page.get_inline_instances(request, page.model()):
            for column in flatten_fieldsets(inline.get_fieldsets(request, None)):
                yield f"{inline.model.__name__}.{column}: {label_for_field(column, inline.model, inline)}"


def test_columns_and_fields_have_russian_names() -> None:
    names = [name for name in shown_names() if not name.endswith(": ID")]
    assert len(names) > 200
    assert [name for name in names if not CYRILLIC.search(name)] == []


def test_zone_of_the_price_is_no_time_zone() -> None:
    zone, timezone = Trip._meta.get_field("zone"), Trip._meta.get_field("timezone")
    assert (str(zone.verbose_name), str(timezone.verbose_name)) == ("тарифная зона", "часовой пояс")


def test_trip_types_of_a_driver_are_words() -> None:
    page = DriverAdmin(Driver, admin.site)
    assert page.trip_types_shown(Driver(trip_types=["private", "shared"])) == "Вся машина, С попутчиками"


def test_rows_of_histories_are_named_in_words() -> None:
    assert str(Offer(trip_id=1, driver_id=2, status=OfferStatus.ACCEPTED)) == "1 → 2 (Принят)"
    assert (
        str(TripTransition(from_status=TripStatus.DRAFT, to_status=TripStatus.PUBLISHED)) == "Черновик → Опубликована"
    )
    assert (
        str(AvailabilityChange(previous=Availability.OFFLINE, availability=Availability.AVAILABLE))
        == "Не на линии → На линии"
    )
    assert str(TripWatch(trip_id=1)) == "1: –"


def test_filters_have_russian_titles() -> None:
    client = signed_in(StaffFactory.create(language="ru"))
    lists = {
        model: client.get(list_url(model)).context for model in admin.site._registry if model is not ServiceSettings
    }
    titles = {
        f"{model.__name__}: {one.title}" for model, shown in lists.items() if shown for one in shown["cl"].filter_specs
    }
    assert [title for title in titles if not CYRILLIC.search(title)] == []


def test_pages_of_a_trip_and_a_driver_have_no_english_words() -> None:
    client = signed_in(StaffFactory.create(language="ru"))
    trip, driver = TripFactory.create(), DriverFactory.create()
    for address in (list_url(Trip), page_url(trip), page_url(driver), "/admin/"):
        html = client.get(address).content.decode()
        assert [words for words in ENGLISH if words in html] == [], address


def test_sentences_take_the_name_of_a_model_in_the_nominative() -> None:
    client = signed_in(StaffFactory.create(language="ru"))
    for _number in range(3):
        user = PassengerFactory.create()
    page = " ".join(client.get(page_url(user)).content.decode().split())
    assert "Удалить: пользователь" in page
    assert "Удалить пользователь" not in page
    assert client.get(list_url(User)).context["title"] == "Выберите, что изменить: пользователь"
    deleted = client.post(page_url(user).replace("change", "delete"), {"post": "yes"})
    assert said(deleted) == [f"success: Удалено: пользователь «{user}»."]


def test_counts_in_english_are_as_before() -> None:
    client = signed_in(StaffFactory.create(language="en"))
    assert "1 user " in " ".join(client.get(list_url(User)).content.decode().split())
    page = " ".join(client.get(page_url(PassengerFactory.create())).content.decode().split())
    assert page.count("Delete user") == 1
    assert "2 users " in " ".join(client.get(list_url(User)).content.decode().split())
