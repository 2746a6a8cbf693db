"""Where the driver is, as the trip page shows it: the position, how far it is, and how long that takes."""

import datetime as dt
from functools import cached_property

from django.utils.translation import gettext as _

from drivers.models import DriverPosition
from drivers.positions import privacy, tracking
from stepper.templatetags.units import clock
from trips import access, eta
from trips.states import ASSIGNED, TripStatus

from .viewing import Viewing

TRAIL_POINTS = 500


class DriverLocation:
    """The driver's position as far as drivers.positions.privacy lets the viewer have it."""

    def __init__(self, viewing: Viewing) -> None:
        self.viewing = viewing
        self.trip = viewing.trip

    @cached_property
    def position(self) -> DriverPosition | None:
        """Return the driver's last position, fresh or not, while the trip is tracked."""
        driver_id = self.trip.driver_id
        if driver_id is None or not privacy.is_tracked(self.trip, self.viewing.settings, self.viewing.now):
            return None
        return DriverPosition.objects.filter(driver_id=driver_id).first()

    @property
    def is_dark(self) -> bool:
        """Say whether the position is too old to tell where the driver is."""
        return self.position is not None and privacy.is_dark(self.position, self.viewing.settings, self.viewing.now)

    @property
    def on_map(self) -> DriverPosition | None:
        """Return the position for the map; a dark one is shown, greyed, only once the driver has set off."""
        return None if self.is_dark and self.trip.status == TripStatus.ACCEPTED else self.position

    @cached_property
    def trail(self) -> list[tuple[float, float]]:
        """Return where the vehicle went on this trip, as far as the viewer may know; oldest first."""
        if self.trip.status not in ASSIGNED and self.trip.status != TripStatus.COMPLETED:
            return []
        points = access.trail_visible_to(self.viewing.viewer, self.trip).order_by("-recorded_at")
        return list(points.values_list("lat", "lng")[:TRAIL_POINTS])[::-1]

    @property
    def target(self) -> str:
        """Return where the ETA counts to: "pickup", "dropoff", or "" where there is none."""
        if self.trip.status in (TripStatus.PASSENGERS_BOARDED, TripStatus.IN_TRANSIT):
            return "dropoff"
        # Nothing is promised before the driver has set off.
        return "pickup" if self.trip.status == TripStatus.EN_ROUTE else ""

    @cached_property
    def away_km(self) -> float | None:
        """Return the distance to the target, by way of the stops; None: no target, or no position that tells."""
        if not self.target or self.position is None or self.is_dark:
            return None
        trip = self.trip
        way = trip.points_ahead if self.target == "dropoff" else [(trip.pickup_lat, trip.pickup_lng)]
        return sum(eta.parts_km([(self.position.lat, self.position.lng), *way]))

    @cached_property
    def eta_min(self) -> int | None:
        """Return the minutes to the target, with the announced delay; None: nobody can say."""
        if self.away_km is None or self.position is None:
            return None
        ride = tracking.tracked_trip(self.trip, self.viewing.settings)
        to_go = tracking.eta_for(tracking.point_of(self.position), ride, self.viewing.now)
        minutes = to_go.pickup_min if self.target == "pickup" else to_go.dropoff_min
        return None if minutes is None else max(1, minutes)

    @property
    def arrives_at(self) -> dt.datetime | None:
        """Return when the driver is expected at the target; None: nobody can say."""
        return None if self.eta_min is None else self.viewing.now + dt.timedelta(minutes=self.eta_min)

    @property
    def dark_note(self) -> str:
        """Say since when the driver's phone has been silent; "" where it is not."""
        if self.position is None or not self.is_dark:
            return ""
        return _("no position since %(time)s") % {"time": clock(self.position.recorded_at, self.trip.timezone)}
