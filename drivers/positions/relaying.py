"""Relaying a fix to its watchers: the sockets of the driver's trips, and staff."""

import asyncio
from collections.abc import Iterable
from typing import Any

from drivers.positions.fixes import Fix
from drivers.positions.tracking import NO_ETA, eta_for, location_frame, shared_location
from drivers.positions.types import TrackedTrip
from realtime import events, groups
from realtime.layer.hub import HubChannelLayer

_sending: set[asyncio.Future[None]] = set()


class PositionRelay:
    """Sends positions to the channel layer. Call everything on the server's loop."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        # The layer if it is ours, which knows whether anybody watches a group; else None.
        self._hub = layer if isinstance(layer, HubChannelLayer) else None

    def relay_fix(self, fix: Fix, rides: Iterable[TrackedTrip]) -> None:
        """Send a fix to the watchers of the driver's trips, and to staff."""
        for ride in rides:
            if ride.tracked_from > fix.received_at:
                continue
            for_trip, for_links = self._is_watched(ride.group), self._is_watched(ride.shared_group)
            if not (for_trip or for_links):
                continue
            frame = _frame(fix, ride.trip_id, eta_for(fix.point, ride, fix.received_at))
            if for_trip:
                self._send(ride.group, ride.group, fix, frame)
            if for_links:
                shared = shared_location(frame, ride.trip_id, ride.since)
                self._send(ride.shared_group, ride.shared_group, fix, shared)
        if self._is_watched(groups.STAFF):
            self._send(groups.STAFF, f"driver.{fix.driver_id}", fix, _frame(fix, None, NO_ETA))

    def _is_watched(self, group: str) -> bool:
        """Say whether anybody may be in a group; "": nobody is."""
        return bool(group) and (self._hub is None or self._hub.is_watched(group))

    def _send(
        self, group: str, key: str, fix: Fix, frame: events.DriverLocationUpdated | events.SharedLocation
    ) -> None:
        """Send a position to the layer; while it waits, a newer one with the same `key` replaces it."""
        message = {
            "type": "position.relayed",
            "group": group,
            "key": key,
            "driver_id": fix.driver_id,
            "frame": events.encode_bytes(frame),
        }
        if self._hub is not None:
            self._hub.relay(group, message)
            return
        task = asyncio.ensure_future(self._layer.group_send(group, message))
        _sending.add(task)
        task.add_done_callback(_sending.discard)


def _frame(fix: Fix, trip_id: int | None, to_go: events.Eta) -> events.DriverLocationUpdated:
    return location_frame(
        fix.driver_id, trip_id, point=fix.point, recorded_at=fix.recorded_at, timestamp=fix.received_at, to_go=to_go
    )
