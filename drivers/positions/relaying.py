"""Relaying a fix to its watchers: the sockets of the driver's trips, and staff."""

import asyncio
from collections.abc import Callable, Iterable
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
        self._hub = layer if isinstance(layer, HubChannelLayer) else None
        # Says whether anybody may be in a group: only our own layer knows.
        self._is_watched: Callable[[str], bool] = bool if self._hub is None else self._hub.is_watched

    def relay_fix(self, fix: Fix, rides: Iterable[TrackedTrip]) -> None:
        """Send a fix to the watchers of the driver's trips, and to staff."""
        is_watched, received_at = self._is_watched, fix.received_at
        for ride in rides:
            if ride.tracked_from > received_at:
                continue
            group, shared_group = ride.group, ride.shared_group
            for_trip, for_links = is_watched(group), shared_group and is_watched(shared_group)
            if not (for_trip or for_links):
                continue
            frame = _frame(fix, ride.trip_id, eta_for(fix.point, ride, received_at))
            if for_trip:
                self._send(group, group, fix, frame)
            if for_links:
                shared = shared_location(frame, ride.trip_id, ride.since)
                self._send(shared_group, shared_group, fix, shared)
        if is_watched(groups.STAFF):
            self._send(groups.STAFF, f"driver.{fix.driver_id}", fix, _frame(fix, None, NO_ETA))

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
