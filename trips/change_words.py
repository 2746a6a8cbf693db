"""What was changed of a trip, in words: `departure 14:00 → 15:30, price ₸9 180 → ₸8 200`."""

import datetime as dt
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from stepper.templatetags.units import clock, money, time_of_day, when_within

from .models import TripChange
from .states import VehicleClass


def change_in_words(row: TripChange, zone: str) -> str:
    """Return what a change changed, in the active language; times are those of an IANA zone.

    Of the note and of who travels it says only that they changed.
    """
    changes = row.changes
    parts = [_departure(changes, zone), _pickup(changes), _stops(changes), _dropoff(changes)]
    for name, (words, shown) in _plain_columns().items():
        if name in changes:
            parts.append(words % _both(*(shown(value) for value in changes[name])))
    if "wishes" in changes:
        parts.append(_("the wishes"))
    if "note" in row.words:
        parts.append(_("the note"))
    if {"traveller_name", "traveller_phone"} & row.words.keys():
        parts.append(_("who travels"))
    return ", ".join(part for part in parts if part)


def _both(before: str, after: str) -> dict[str, str]:
    return {"before": before, "after": after}


def _plain_columns() -> dict[str, tuple[str, Callable[[Any], str]]]:
    """Return words and form of the columns whose values stand for themselves, in the order in which they are said."""
    return {
        "vehicle_class": (_("vehicle %(before)s → %(after)s"), lambda value: str(VehicleClass(value).label)),
        "seats": (_("seats %(before)s → %(after)s"), str),
        "bags": (_("bags %(before)s → %(after)s"), str),
        "fare": (_("price %(before)s → %(after)s"), money),
    }


def _departure(changes: dict[str, Any], zone: str) -> str:
    if "departure_at" not in changes and "is_now" not in changes:
        return ""
    instants = [dt.datetime.fromisoformat(text) for text in changes.get("departure_at", [])]
    same_day = len({instant.astimezone(ZoneInfo(zone)).date() for instant in instants}) == 1
    told = [when_within(instant, zone) for instant in instants] or ["…", "…"]
    if same_day:
        told = [time_of_day(instants[0], zone), clock(instants[1], zone)]
    was_now, is_now = changes.get("is_now", [False, False])
    now = _("now")
    return _("departure %(before)s → %(after)s") % _both(now if was_now else told[0], now if is_now else told[1])


def _pickup(changes: dict[str, Any]) -> str:
    if "pickup_name" in changes:
        return _("pickup %(before)s → %(after)s") % _both(*changes["pickup_name"])
    if "pickup_lat" in changes or "pickup_lng" in changes:
        return _("pickup at another point of the map")
    if "pickup_address" in changes:
        return _("pickup: %(where)s") % {"where": changes["pickup_address"][1] or "–"}
    return ""


def _stops(changes: dict[str, Any]) -> str:
    if "stops" not in changes:
        return ""
    told = [", ".join(stop["name"] for stop in stops) or "–" for stops in changes["stops"]]
    return _("stops %(before)s → %(after)s") % _both(*told)


def _dropoff(changes: dict[str, Any]) -> str:
    if "dropoff_name" in changes:
        return _("dropoff %(before)s → %(after)s") % _both(*changes["dropoff_name"])
    if "dropoff_lat" in changes or "dropoff_lng" in changes:
        return _("dropoff at another point of the map")
    if "dropoff_address" in changes:
        return _("dropoff: %(where)s") % {"where": changes["dropoff_address"][1] or "–"}
    return ""
