"""What both fuzz tests share: how much of it, a server to send it to, its cast, its log, and what was found."""

import datetime as dt
import os
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import override_settings

from drivers.models import Break, Driver
from realtime.models import Notification
from stepper.api.tokens import sign_in
from stepper.models import ServiceSettings, User
from tests.conftest import SUITE
from tests.factories import ALMATY, DriverFactory, OfferFactory, PassengerFactory, StaffFactory, TripFactory
from tests.live import LiveServer
from tests.realtime.test_protocol_doc import DOCUMENT
from trips.models import Trip
from trips.states import OfferStatus, TripStatus

from .generated import World

SEED = int(os.environ.get("STEPPER_FUZZ_SEED", "1"))
FRAMES = int(os.environ.get("STEPPER_FUZZ_FRAMES", "2000"))
REQUESTS = int(os.environ.get("STEPPER_FUZZ_REQUESTS", "500"))

# What docs/protocol.md promises: code -> HTTP status, and how a socket may be closed.
ERROR_CODES = dict(re.findall(r"^\| `([a-z_.]+)` \| (\d+|–) \|", DOCUMENT, re.MULTILINE))
CLOSE_CODES = frozenset(int(code) for code in re.findall(r"^\| (\d{4}) \|", DOCUMENT, re.MULTILINE))

_UNLIMITED = 1_000_000
_LIMITS = (
    *("SOCKET_RATE", "SOCKET_BURST", "SOCKETS_PER_USER", "SOCKET_COMMANDS_PER_MIN", "SOCKETS_OPENED_PER_MIN"),
    *("OPENING_SOCKETS_PER_ADDRESS", "SIGN_IN_FAILURES_PER_ADDRESS", "SIGN_IN_FAILURES_PER_ACCOUNT"),
    *("SIGN_INS_PER_ACCOUNT", "SIGN_INS_PER_ADDRESS", "SIGN_UPS_PER_ADDRESS"),
)
# As in real use: with DEBUG on, Django answers faults and unknown addresses with pages of its own.
ENVIRONMENT = {"DEBUG": "0", **dict.fromkeys(_LIMITS, str(_UNLIMITED))}
_FAULT = re.compile(r"Traceback|^\S+ \S+ (?:ERROR|CRITICAL) ", re.MULTILINE)
_SHOWN, _SHOWN_CHARACTERS = 20, 4000


class Problem(NamedTuple):
    """What is wrong, and the case that shows it, so that it can be sent again."""

    what: str
    case: object

    @property
    def kind(self) -> str:
        """Of a fault in the log its last line; without what differs from case to case."""
        last = self.what.strip().splitlines()[-1]
        return re.sub(r"0x\w+|\d+|'[^']*'", "#", f"{self.what[:20]} {last}")

    def __str__(self) -> str:
        return f"{self.what}\n    {self.case!r}"[:_SHOWN_CHARACTERS]


class Log:
    """The server's log, read on."""

    def __init__(self, server: LiveServer) -> None:
        self._path = server.log
        self._at = 0
        self.new_fault()

    def new_fault(self) -> str:
        """What has come since the last time, from the first fault on; empty: none."""
        with open(self._path, "rb") as file:
            file.seek(self._at)
            text = file.read().decode(errors="replace")
            self._at = file.tell()
        found = _FAULT.search(text)
        return text[found.start() :][-1500:] if found else ""


class Cast(NamedTuple):
    driver: Driver
    passenger: User
    staff: User
    world: World


@pytest.fixture
def fuzzed(start_server: Callable[..., LiveServer]) -> LiveServer:
    """A server as in real use, but for the limits."""
    static = "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
    if not (settings.STATIC_ROOT / "staticfiles.json").exists():
        with override_settings(STORAGES={**settings.STORAGES, "staticfiles": {"BACKEND": static}}):
            call_command("collectstatic", verbosity=0, interactive=False)
    _lift_limits()
    # Each suite has a server of its own kind: what reads frames and requests differs more than databases do.
    arguments = ("--server", "uvicorn") if SUITE == "scaled" else ()
    return start_server(*arguments, **ENVIRONMENT)


def _lift_limits() -> None:
    """Every "… a minute", "… a day" and "at most" of the settings is as large as it may be."""
    limits = {}
    for field in ServiceSettings._meta.get_fields():
        if re.search(r"_per_(min|hour|day)$|^max_|_max$", field.name):
            limits[field.name] = max(one.limit_value for one in field.validators)
    ServiceSettings.objects.create(pk=1, **limits)


def cast() -> Cast:
    """Somebody of each kind, with trips in every state."""
    driver = DriverFactory.create(at=ALMATY)
    passenger = PassengerFactory.create()
    trips = [TripFactory.create(organiser=passenger, status=status) for status in _STATUSES]
    trips += [
        TripFactory.create(driver=driver, status=TripStatus.ACCEPTED, in_=dt.timedelta(hours=5 * number))
        for number in (0, 1, 2)
    ]
    offers = [OfferFactory.create(driver=driver, trip=_offered(passenger)) for _ in range(30)]
    offers += [OfferFactory.create(driver=driver, status=status) for status in OfferStatus]
    now = dt.datetime.now(dt.UTC)
    breaks = [
        Break.objects.create(
            driver=driver, starts_at=now + dt.timedelta(days=n), ends_at=now + dt.timedelta(days=n, hours=1)
        )
        for n in (1, 2)
    ]
    notes = [
        Notification.objects.create(user=user, title="A", message="B", priority="low", category="system")
        for user in (driver.user, passenger)
    ]
    trips += [offer.trip for offer in offers]
    world = {
        "trip_id": [trip.pk for trip in trips],
        "offer_id": [offer.pk for offer in offers],
        "break_id": [one.pk for one in breaks],
        "notification_id": [one.pk for one in notes],
        "status": [*TripStatus.values, "delayed", "released", "no_show"],
        "email": [driver.user.email, passenger.email],
        "login": [driver.user.email, str(passenger.phone)],
        "timezone": ["Asia/Almaty", "Asia/Tashkent"],
        "refresh": [sign_in(passenger)["refresh"]],
        "name": ["offers", "active", "history"],
        "lat": [43.24, 43.35],
        "lng": [76.95, 77.04],
        "driver": [driver],
    }
    return Cast(driver, passenger, StaffFactory.create(), world)


_STATUSES = [status for status in TripStatus if status != TripStatus.CANCELLED]


def _offered(passenger: User) -> Trip:
    return TripFactory.create(organiser=passenger, in_=dt.timedelta(days=1))


def report(problems: Iterable[Problem], count: int) -> None:
    """Fails with what was found, each kind once, and how to have it again."""
    kinds = {problem.kind: problem for problem in reversed(list(problems))}
    if kinds:
        shown = "\n".join(map(str, list(kinds.values())[:_SHOWN]))
        pytest.fail(
            f"{len(kinds)} kinds of problems in {count} cases; the same again with STEPPER_FUZZ_SEED={SEED}\n{shown}",
            pytrace=False,
        )
