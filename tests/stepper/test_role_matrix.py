"""Each role × each operation: every address and method, and every action of the administration, by real requests.

The operations come from the address map and the registered pages of the administration, so a new one is walked by
itself and is missing in the table until somebody has said who may do it. Which rows of others somebody sees is not
asked here but in test_trip_matrix.py.
"""

import datetime as dt
import re
from collections.abc import Iterator
from http.cookies import SimpleCookie
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.db import transaction
from django.template import Origin
from django.template.loaders.base import Loader
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from pytest_django import Settings

from drivers.models import Break, DriverApplication, DriverMetrics
from realtime.models import Notification
from stepper import errors, roles
from stepper.models import AccountSession, Restore, ServiceSettings, User
from tests.backoffice import said
from tests.factories import ALMATY, DriverFactory, OfferFactory, PassengerFactory, StaffFactory, TripFactory, former_leg
from tests.old_rows import CASES, DAY
from tests.papers import document
from tests.passkeys import give_passkey
from tests.role_matrix import STAFF, WHO, Operation, Table, compare, give_role, part_of
from trips import shares
from trips.models import (
    Claim,
    DispatchRule,
    PickupArea,
    Place,
    Rating,
    SafetyAlert,
    SavedPlace,
    Trip,
    TripMessage,
    Wish,
)
from trips.states import Role, TripStatus

# The rules are the same on both databases.
pytestmark = [pytest.mark.django_db, pytest.mark.embedded_only]

# What a page of the operations room is asked for.
OPS_QUERIES = {
    "ops/in-view/": "?south=43&west=76&north=44&east=77",
    "ops/reports/statements/statement.<slug:file_format>": "?driver={driver}",
}
# Everything that some verb reads; each request sends all of it.
SENT: dict[str, Any] = {
    "status": "en_route",
    "availability": "available",
    "stars": 5,
    "code": "8351",
    "reason": "none",
    "reason_code": "other",
    "seats": 1,
    "radius_km": 100,
    "departure_at": "2040-01-01T00:00:00Z",
    "lat": ALMATY[0],
    "lng": ALMATY[1],
    "text": "Where are you?",
    "name": "Home",
    "up_to": 2**60,
}
# What addresses of the administration are asked with: the form of what is added or deleted shows what may be sent. The
# names of Django's, and whatever is below the address of one row or of all, such as an action.
ADMIN_METHODS = {"": ["get"], "history": ["get"], "add": ["post"], "delete": ["post"]}
# Leads to the page of the row.
OLD_ADDRESS = re.compile(r"^admin/\w+/\w+/<path:object_id>/$")
# Where strangers are led to, and whoever is no staff from the administration, to come back from there.
SIGN_IN = ("/accounts/login/?next=", "/admin/login/?next=")


class Blank(Loader):
    """Templates without a word: who is let in is decided before drawing, which would take most of the time."""

    def get_template_sources(self, template_name: str) -> Iterator[Origin]:
        yield Origin(template_name, template_name, self)

    def get_contents(self, origin: Origin) -> str:
        return ""


# What is there


def _routes(patterns: list[URLPattern | URLResolver], before: str = "") -> Iterator[tuple[str, Any]]:
    for one in patterns:
        route = before + str(one.pattern)
        if isinstance(one, URLResolver):
            yield from _routes(one.url_patterns, route)
        else:
            yield route, one.callback


def _methods(route: str, view: Any) -> list[str]:
    kind = getattr(view, "view_class", None)
    if route.startswith("api/") and kind is not None:
        return [name for name in ("get", "post", "put", "patch", "delete") if hasattr(kind, name)]
    if route.startswith("admin/"):
        of_model = re.match(r"admin/\w+/\w+/(?:<[^>]*>/)?(\w*)", route)
        return ADMIN_METHODS.get(of_model[1], ["get", "post"]) if of_model is not None else ["get"]
    return ["get", "post"]


class Cast:
    """Somebody of each role, a trip of the passenger and the driver, and a row of each table."""

    def __init__(self) -> None:
        roles.make_groups()
        ServiceSettings.objects.get_or_create(pk=1)
        self.driver = DriverFactory.create(at=ALMATY)
        self.users: dict[str, User] = {"passenger": PassengerFactory.create(), "driver": self.driver.user}
        for key in STAFF:
            self.users[key] = give_role(PassengerFactory.create(name=key), key)
        passenger = self.users["passenger"]
        self.trip: Trip = TripFactory.create(
            organiser=passenger, driver=self.driver, status=TripStatus.ACCEPTED, in_=dt.timedelta(minutes=40)
        )
        self.trip.boarding_code = "8351"
        self.trip.save()
        self.offer = OfferFactory.create(driver=self.driver)
        self.share = shares.create_share(self.trip.pk, passenger)
        self.message = TripMessage.objects.create(
            trip=self.trip, driver=self.driver, sender=self.driver.user, role="driver", key="k", text="Here"
        )
        self.photo = document(self.driver.user, "photo", status="accepted", accepted_at=timezone.now(), expires_on=None)
        now = timezone.now()
        self.own: dict[str, dict[str, int]] = {}
        self.clients = {"stranger": (Client(raise_request_exception=False), "")}
        for who, user in self.users.items():
            client = Client(raise_request_exception=False)
            client.force_login(user)
            client.get("/account/")  # notes the session in the list, and that it is staff's
            self.clients[who] = client, str(client.session.session_key)
            self.own[who] = {
                "notification_id": Notification.objects.create(user=user, title="A trip").pk,
                "session_id": AccountSession.objects.filter(user=user)[0].pk,
                "place_id": SavedPlace.objects.create(user=user, kind="home", place_name="A", lat=43.2, lng=76.9).pk,
                "document_id": document(user, "licence").pk,
                "passkey_id": self._give_passkey(user),
            }
        pause = Break.objects.create(driver=self.driver, starts_at=now + DAY, ends_at=now + 2 * DAY)
        self.own["driver"]["break_id"] = pause.pk
        self._fill_tables()

    def client(self, who: str) -> Client:
        """Return somebody's browser with nothing but its session."""
        client, session_key = self.clients[who]
        client.cookies = SimpleCookie({settings.SESSION_COOKIE_NAME: session_key} if session_key else {})
        return client

    def _fill_tables(self) -> None:
        for case in CASES.values():
            case.make(dt.timedelta())
        former_leg(self.trip, DriverFactory.create())
        Group.objects.create(name="Own")
        Claim.objects.create(subject=Claim.Subject.TRIP, row_id=self.trip.pk, by=self.users["administrator"])
        Restore.objects.create(generation="1", backup_made_at=timezone.now())
        Rating.objects.create(
            trip=self.trip, role=Role.ORGANISER, by=self.users["passenger"], about=self.driver.user, stars=5
        )
        SafetyAlert.objects.create(trip=self.trip, raised_by=self.users["passenger"])
        DriverApplication.objects.get_or_create(user=self.users["driver"])
        DriverMetrics.objects.get_or_create(driver=self.driver)
        DispatchRule.objects.create(trip_type="private")
        PickupArea.objects.create(name="Airport", lat=43.35, lng=77.04)
        Place.objects.get_or_create(slug="x", defaults={"name_en": "X", "lat": 43.2, "lng": 76.9})
        Wish.objects.get_or_create(code="child_seat", defaults={"name_en": "Child seat"})

    @staticmethod
    def _give_passkey(user: User) -> int:
        give_passkey(user)
        return int(Authenticator.objects.get(user=user, type="webauthn").pk)

    def row_of(self, model: type[Any]) -> Any:
        """Return a row of a table: of accounts the passenger's, of groups one that staff made."""
        if model is User:
            return self.users["passenger"]
        rows = model._base_manager.order_by("pk")
        row = rows.filter(name="Own").first() if model is Group else rows.first()
        assert row is not None, f"make a row of {model._meta.label} in _fill_tables"
        return row

    def _names_of_ops(self, route: str) -> dict[str, Any]:
        name = "suspend" if route.startswith("ops/drivers/") else "take-off"
        return {
            "subject": "trip",
            "row_id": self.trip.pk,
            "name": "trips" if route.startswith("ops/reports/") else name,
        }

    def fill(self, who: str, route: str) -> str:
        """Return an address of a route, for somebody's own rows where it is about an account."""
        names: dict[str, Any] = {
            "trip_id": self.trip.pk,
            "driver_id": self.driver.pk,
            "offer_id": self.offer.pk,
            "share_id": self.share.share.pk,
            "photo_id": self.photo.pk,
            "message_id": self.message.pk,
            "token": self.share.token,
            "break_id": 1,
            "file_format": "csv",
            "kind": "photo",
            "name": "offers",
            "step": "person",
            "uidb36": "1",
            "key": "set-password",
            "app_label": "trips",
            "url": "nowhere/",
            "content_type_id": ContentType.objects.get_for_model(Trip).pk,
            **self.own.get(
                who, dict.fromkeys(("notification_id", "session_id", "place_id", "document_id", "passkey_id"), 1)
            ),
        }
        found = re.match(r"admin/(\w+)/(\w+)/<", route)
        row = self.row_of(apps.get_model(found[1], found[2])) if found is not None else self.trip
        names["object_id"] = names["id"] = row.pk
        if route in OPS_QUERIES:
            return "/" + route.replace("<slug:file_format>", "csv") + OPS_QUERIES[route].format(driver=self.driver.pk)
        if route.startswith("ops/"):
            names |= self._names_of_ops(route)
        if route.startswith(("api/drivers/trips/accept", "api/drivers/trips/decline")):
            names["trip_id"] = self.offer.trip_id
        elif route == "admin/autocomplete/":
            return "/admin/autocomplete/?term=&app_label=stepper&model_name=user&field_name=groups"
        plain = re.sub(r"\(\?P<(\w+)>[^)]*\)", lambda one: str(names[one[1]]), route.replace("^", "").replace("$", ""))
        return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda one: str(names[one[1]]), plain)


# Asking


@pytest.fixture
def refusals(monkeypatch: pytest.MonkeyPatch) -> list[errors.DomainError]:
    """The refusals for who somebody is that verbs have raised: a page says them as it says any other."""
    raised: list[errors.DomainError] = []
    for kind in (errors.NotPermitted, errors.NotFound):
        made = kind.__init__

        def note(self: Any, *args: Any, _made: Any = made, **more: Any) -> None:
            _made(self, *args, **more)
            raised.append(self)

        monkeypatch.setattr(kind, "__init__", note)
    return raised


def _ask(client: Client, method: str, address: str, *, sent: dict[str, Any] | None = None) -> Any:
    """Send one request, whatever it does is taken back."""
    cache.clear()
    options: dict[str, Any] = {}
    if method != "get":
        options["data"] = SENT if sent is None else sent
        if address.startswith("/api/"):
            options["content_type"] = "application/json"
    with transaction.atomic():
        response = getattr(client, method)(address, **options)
        transaction.set_rollback(True)
    # A probe answers so where no dispatcher runs.
    assert response.status_code < 500 or address.startswith("/health/"), (method, address, response.status_code)
    return response


def _is_let_in(response: Any, refused: bool) -> bool | None:
    """Say whether the answer lets somebody in; None: there is no such operation."""
    if response.status_code == 405:
        return None
    if response.status_code in (401, 403, 404) or response.headers.get("Location", "").startswith(SIGN_IN):
        return False
    said_no = response.status_code in (400, 409) or any(one.startswith("error") for one in said(response))
    return not (refused and said_no)


def _ask_all(cast: Cast, refusals: list[errors.DomainError], method: str, route: str) -> frozenset[str] | None:
    """Return who is let in; None: there is no such operation."""
    let_in = []
    # Drivers first, who are let in where most are: of what is not there no more is asked.
    for who in ("driver", *(one for one in WHO if one != "driver")):
        refusals.clear()
        answer = _is_let_in(_ask(cast.client(who), method, cast.fill(who, route)), bool(refusals))
        if answer is None:
            return None
        let_in += [who] if answer else []
    return frozenset(let_in)


def _walk_addresses(cast: Cast, refusals: list[errors.DomainError], part: str) -> Table:
    found: Table = {}
    for route, view in _routes(get_resolver().url_patterns):
        for method in _methods(route, view):
            operation = Operation(method.upper(), route)
            if part_of(operation) == part and not OLD_ADDRESS.search(route):
                who = _ask_all(cast, refusals, method, route)
                if who is not None:
                    found[operation] = who
    return found


def _walk_actions(cast: Cast) -> Table:
    """Choose a row in each list of the administration and run each of its actions."""
    found: Table = {}
    request = RequestFactory().get("/")
    request.user = StaffFactory.create()
    for model, page in admin.site._registry.items():
        address = f"admin/{model._meta.app_label}/{model._meta.model_name}/"
        for name in page.get_actions(request):
            form = {"action": name, ACTION_CHECKBOX_NAME: [cast.row_of(model).pk]}
            let_in = []
            for who in WHO:
                response = _ask(cast.client(who), "post", f"/{address}", sent=form)
                # Django shows the list again where the action is not one of theirs.
                is_run = "cl" not in (getattr(response, "context_data", None) or {})
                is_run &= "No action selected." not in " ".join(said(response))
                let_in += [who] if is_run and _is_let_in(response, refused=False) else []
            found[Operation("ACTION", f"{address} {name}")] = frozenset(let_in)
    return found


@pytest.fixture
def cast(settings: Settings) -> Cast:
    templates = settings.TEMPLATES[0]
    options = {**templates["OPTIONS"], "loaders": [f"{__name__}.{Blank.__name__}"]}
    settings.TEMPLATES = [{**templates, "APP_DIRS": False, "OPTIONS": options}]
    return Cast()


def test_each_operation_is_for_those_of_the_table(cast: Cast, refusals: list[errors.DomainError]) -> None:
    compare(_walk_addresses(cast, refusals, "pages"), "pages")


def test_each_operation_of_the_administration_is_for_those_of_the_table(
    cast: Cast, refusals: list[errors.DomainError]
) -> None:
    found = {**_walk_addresses(cast, refusals, "administration"), **_walk_actions(cast)}
    compare(found, "administration")


# The table of roles

# Of parts of this release that are merged after the roles: take these out then.
AWAITED: set[str] = set()


def test_every_permission_of_a_role_exists() -> None:
    named = {name for role in roles.ROLES for name in role.permissions}
    rows = Permission.objects.values_list("content_type__app_label", "codename")
    assert named - {f"{app}.{codename}" for app, codename in rows} <= AWAITED
