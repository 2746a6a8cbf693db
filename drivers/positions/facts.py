"""The facts a process keeps about drivers whose fixes it gets: whether they are approved, and which trips they have.

For drivers with a socket in this process, events tell when the facts change (`forget_driver`), and `renew_facts` reads
them again together, so their fixes never wait for the database. Other drivers are read again every `_KNOWN_FOR_S`.
"""

import datetime as dt
import threading
import time
from collections import Counter
from collections.abc import Collection

from drivers.models import Approval, Driver
from drivers.positions.tracking import tracked_trip
from drivers.positions.types import DriverFacts, TrackedTrip
from stepper.models import ServiceSettings
from trips.models import Trip
from trips.states import ASSIGNED

# How long a process uses the facts about a driver: without a socket of the driver's, and with one.
_KNOWN_FOR_S = 2.0
_KNOWN_WITH_SOCKET_FOR_S = 60.0
# The facts of drivers with sockets are read again this long before that, at most this many drivers in a query (SQLite
# allows 999 parameters).
_RENEW_AHEAD_S = 15.0
_RENEWED_AT_ONCE = 500


class KnownDrivers:
    """The facts about drivers in the memory of this process. Methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Driver -> facts; read without the lock for every fix.
        self.known: dict[int, DriverFacts] = {}
        # Driver -> number of their sockets in this process.
        self.sockets: Counter[int] = Counter()
        # While facts are being read: number of calls of `forget_driver`, and that number at each driver's last call.
        # Facts whose reading began before it are not kept.
        self._readings = 0
        self._forgets = 0
        self._forgotten: dict[int, int] = {}
        # From the settings, as of the last reading of facts.
        self.fresh_for = dt.timedelta(seconds=300)
        self.max_kmh = 250.0

    def attach_socket(self, driver_id: int) -> None:
        """Count a socket of the driver: from now on `forget_driver` is called when something about them changes."""
        self.forget_driver(driver_id)
        with self._lock:
            self.sockets[driver_id] += 1

    def detach_socket(self, driver_id: int) -> None:
        """Count one socket of the driver less; forget them with the last one."""
        with self._lock:
            self.sockets[driver_id] -= 1
            if self.sockets[driver_id] <= 0:
                del self.sockets[driver_id]
                self.known.pop(driver_id, None)

    def forget_driver(self, driver_id: int) -> None:
        """Forget the facts about a driver, which have changed: their next fix reads the database."""
        with self._lock:
            if self._readings:
                self._forgets += 1
                self._forgotten[driver_id] = self._forgets
            self.known.pop(driver_id, None)

    def read_facts(
        self, driver_ids: Collection[int], settings: ServiceSettings | None = None
    ) -> dict[int, DriverFacts]:
        """Read the facts of these drivers, in two queries; keep them unless they changed meanwhile.

        `settings` None: read them.
        """
        with self._lock:
            self._readings += 1
            at = self._forgets
        try:
            found = self._read(driver_ids, settings)
            with self._lock:
                for pk, facts in found.items():
                    if self._forgotten.get(pk, 0) <= at:
                        self.known[pk] = facts
        finally:
            with self._lock:
                self._readings -= 1
                if not self._readings:
                    self._forgotten.clear()
        return found

    def _read(self, driver_ids: Collection[int], settings: ServiceSettings | None) -> dict[int, DriverFacts]:
        settings = settings or ServiceSettings.current()
        self.fresh_for = dt.timedelta(seconds=settings.position_fresh_s)
        self.max_kmh = float(settings.max_speed_kmh)
        approved = set(
            Driver.objects.filter(pk__in=driver_ids, approval=Approval.APPROVED, user__is_active=True).values_list(
                "pk", flat=True
            )
        )
        rides: dict[int, list[TrackedTrip]] = {}
        for trip in Trip.objects.filter(driver_id__in=driver_ids, status__in=sorted(ASSIGNED)):
            rides.setdefault(trip.driver_id or 0, []).append(tracked_trip(trip, settings))
        now = time.monotonic()
        return {
            pk: DriverFacts(
                now + (_KNOWN_WITH_SOCKET_FOR_S if pk in self.sockets else _KNOWN_FOR_S),
                pk in approved,
                rides.get(pk, ()),
            )
            for pk in driver_ids
        }

    def forget_expired(self) -> None:
        """Forget facts that are too old to be used."""
        now = time.monotonic()
        with self._lock:
            for pk in [pk for pk, facts in self.known.items() if facts.until < now]:
                del self.known[pk]

    def renew_facts(self) -> set[int]:
        """Read the facts of drivers with sockets again before they become too old; return who is not approved."""
        soon = time.monotonic() + _RENEW_AHEAD_S
        with self._lock:
            due = [pk for pk in self.sockets if (facts := self.known.get(pk)) is not None and facts.until < soon]
        refused: set[int] = set()
        for start in range(0, len(due), _RENEWED_AT_ONCE):
            found = self.read_facts(due[start : start + _RENEWED_AT_ONCE])
            refused.update(pk for pk, facts in found.items() if not facts.is_approved)
        return refused
