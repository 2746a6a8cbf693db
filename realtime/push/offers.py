"""Offers as pushes: each new one with its deadline, and what takes its place on the screen once it has ended.

They follow from the events of the outbox, so that no way in which an offer ends can forget its push.
"""

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _

from realtime import events, groups
from realtime.outbox import listeners
from realtime.push.messages import END_KEPT, Push, send_to_drivers
from realtime.push.subscriptions import Topic
from stepper.db.clock import database_now
from stepper.templatetags.units import clock, km, money

DASHBOARD = "/driver/"


def connect() -> None:
    """Listen to the outbox; called once, when Django has loaded the apps."""
    if _on_published not in listeners:
        listeners.append(_on_published)


def _on_published(pairs: Sequence[tuple[events.DurableFrame, str]]) -> None:
    pushes = []
    for event, group in pairs:
        driver_id = groups.driver_of(group)
        push = None if driver_id is None else _push_of(event)
        if driver_id is not None and push is not None:
            pushes.append((driver_id, push))
    send_to_drivers(pushes)


def _push_of(event: events.DurableFrame) -> Push | None:
    match event:
        case events.OfferCreated():
            return Push(
                topic=Topic.OFFER,
                tag=f"offer-{event.offer_id}",
                until=event.expires_at,
                write=lambda: _offered(event),
                url=f"{DASHBOARD}#offer-{event.offer_id}",
                urgency="high",
            )
        case events.OfferExpired():
            return _end(event.offer_id, event.reason)
        case events.OfferAccepted(offer_id=int(offer_id)):
            return _end(offer_id, "accepted")
    return None


def _end(offer_id: int, reason: str) -> Push:
    return Push(
        topic=Topic.OFFER,
        tag=f"offer-{offer_id}",
        until=database_now() + END_KEPT,
        write=lambda: _ended(reason),
        url=DASHBOARD,
        urgency="high",
    )


def _offered(offer: events.OfferCreated) -> dict[str, Any]:
    facts = {"earnings": money(offer.earnings), "distance": km(offer.distance_km)}
    route = {"pickup": offer.pickup.name, "dropoff": offer.dropoff.name, "trip": km(offer.trip_km)}
    answer_by = {"time": clock(offer.expires_at, offer.timezone)}
    return {
        "title": _("%(earnings)s · %(distance)s away") % facts,
        "body": _("%(pickup)s → %(dropoff)s, %(trip)s") % route + "\n" + _("Answer by %(time)s") % answer_by,
        # By the server's clock, in milliseconds.
        "until": round(offer.expires_at.timestamp() * 1000),
        "actions": [{"action": "open", "title": _("Show offer")}, {"action": "close", "title": _("Not now")}],
    }


def _ended(reason: str) -> dict[str, Any]:
    words = {
        "timeout": _("Time ran out."),
        "accepted_by_another": _("Another driver was faster."),
        "declined": _("You declined it."),
        "accepted": _("You accepted it."),
    }
    body = words.get(reason, _("It is no longer offered to you."))
    return {"title": _("This offer has ended"), "body": body, "ended": True}
