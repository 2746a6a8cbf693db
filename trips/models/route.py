"""Where a trip goes: pickup, stops between, dropoff."""

import msgspec
from django.db import models
from django.utils.translation import gettext_lazy as _

from realtime import events
from stepper.texts import PlainTextField


class Route(models.Model):
    """The columns of a trip that say where it goes."""

    pickup_name = PlainTextField(_("pickup"), max_length=120)
    pickup_address = PlainTextField(_("pickup address"), max_length=200, blank=True)
    pickup_lat = models.FloatField()
    pickup_lng = models.FloatField()
    # Grid cell of the pickup: finds the waiting trips around a driver who comes online.
    pickup_cell = models.BigIntegerField()
    dropoff_name = PlainTextField(_("dropoff"), max_length=120)
    dropoff_address = PlainTextField(_("dropoff address"), max_length=200, blank=True)
    dropoff_lat = models.FloatField()
    dropoff_lng = models.FloatField()

    # The stops between, in their order, as events.Stop; read them by `stop_list`. With the trip, so that whoever reads,
    # prunes or erases it needs no other table: there are three at most.
    stops = models.JSONField(_("stops"), default=list, db_default=[], blank=True)

    class Meta:
        abstract = True

    @property
    def title(self) -> str:
        return f"{self.pickup_name} → {self.dropoff_name}"

    @property
    def stop_list(self) -> list[events.Stop]:
        return msgspec.convert(self.stops, list[events.Stop])

    @property
    def stops_ahead(self) -> list[events.Stop]:
        """Return the stops that the driver has not marked as reached; they are reached in their order."""
        return [stop for stop in self.stop_list if stop.reached_at is None]

    @property
    def stops_reached(self) -> int:
        return sum(1 for stop in self.stops if stop.get("reached_at"))

    @property
    def route_points(self) -> list[tuple[float, float]]:
        """Return the whole way as (lat, lng): pickup, stops, dropoff."""
        between = [(stop.lat, stop.lng) for stop in self.stop_list]
        return [(self.pickup_lat, self.pickup_lng), *between, (self.dropoff_lat, self.dropoff_lng)]

    @property
    def points_ahead(self) -> list[tuple[float, float]]:
        """Return where the driver still goes once the passengers are aboard, as (lat, lng): stops ahead, dropoff."""
        return [*((stop.lat, stop.lng) for stop in self.stops_ahead), (self.dropoff_lat, self.dropoff_lng)]
