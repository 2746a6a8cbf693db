"""What a process knows of the drivers whose fixes it gets: whether they are approved, and which trips they have.

For drivers who have a socket in this process events say when it changes (`forget_driver`) and `renew_facts` reads it
again in one go, so their fixes never wait for the database; others are looked up every `_KNOWN_FOR_S`.
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

# How long a process believes what it knows about a driver: without a socket of theirs, and with one.
_KNOWN_FOR_S = 2.0
_KNOWN_WITH_SOCKET_FOR_S = 60.0
# Drivers with sockets are looked up again before that, this many a query (SQLite takes 999 parameters).
_RENEW_AHEAD_S = 15.0
_RENEWED_AT_ONCE = 500


class KnownDrivers:
    """The facts about drivers in the memory of this process. Methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Driver -> what is known of them; read without the lock for every fix.
        self.known: dict[int, DriverFacts] = {}
        # Drivers with sockets in this process, and how many.
        self.sockets: Counter[int] = Counter()
        # How often anything was forgotten, and at which count each driver was last: what was read before is not kept.
        self._forgets = 0
        self._forgotten: dict[int, int] = {}
        # Of the settings, as they were when facts were read last.
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
        """Forget what is known of a driver, as something has changed: their next fix asks the database again."""
        with self._lock:
            self._forgets += 1
            self._forgotten[driver_id] = self._forgets
            self.known.pop(driver_id, None)

    def read_facts(
        self, driver_ids: Collection[int], settings: ServiceSettings | None = None
    ) -> dict[int, DriverFacts]:
        """Read what fixes of these drivers need, in two queries; keep it unless it changed meanwhile.

        `settings`: those in force, where the caller has them.
        """
        at = self._forgets
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
        found = {
            pk: DriverFacts(
                now + (_KNOWN_WITH_SOCKET_FOR_S if pk in self.sockets else _KNOWN_FOR_S),
                pk in approved,
                rides.get(pk, ()),
            )
            for pk in driver_ids
        }
        with self._lock:
            for pk, facts in found.items():
                if self._forgotten.get(pk, 0) <= at:
                    self.known[pk] = facts
        return found

    def renew_facts(self) -> None:
        """Read the facts of drivers with sockets again before they are too old to be believed."""
        soon = time.monotonic() + _RENEW_AHEAD_S
        with self._lock:
            due = [pk for pk in self.sockets if (facts := self.known.get(pk)) is not None and facts.until < soon]
        for start in range(0, len(due), _RENEWED_AT_ONCE):
            self.read_facts(due[start : start + _RENEWED_AT_ONCE])
