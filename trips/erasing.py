"""What is taken out of trips when somebody erases their account: the trips, their times, money and stars stay.

Of the texts of a trip that the person booked or drove nothing stays, whoever wrote them. Where they were picked up and
set down stays as accurate as to the kilometre, or as the name of a place that everybody knows.
"""

from typing import Any

from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils import translation

from drivers.geo import cell
from realtime import groups
from realtime.erasing import forget_events, forget_notices
from stepper.accounts.erasing import forget_in_staffs_log
from stepper.accounts.person import Person
from stepper.db.batches import batches
from stepper.models import User
from trips.models import (
    AppliedCommand,
    Booking,
    Claim,
    Offer,
    Rating,
    SafetyAlert,
    SavedPlace,
    StaffAssignment,
    Trip,
    TripChange,
    TripLeg,
    TripMessage,
    TripShare,
    TripTransition,
    TripWatch,
)
from trips.places import index
from trips.places.lookup import describe_point, named
from trips.states import OfferStatus, Role

# Of a coordinate; a hundredth of a degree is about a kilometre, as wide as a cell of the drivers' grid.
_DECIMALS = 2
_SHORTEST_NAME = 4
_PLACES = tuple(f"{side}_{part}" for side in ("pickup", "dropoff") for part in ("name", "address", "lat", "lng"))
_LEG_PLACES = tuple(f"{end}_{part}" for end in ("from", "to") for part in ("name", "address", "lat", "lng"))
# Columns whose text is a person's.
_NOWHERE = {"lat": None, "lng": None, "position_of": ""}
_NO_REASONS = {"reason": "", "end_reason": ""}
_TEXTS = {"note": "", "traveller_name": "", "traveller_phone": "", "cancel_reason": "", "delay_reason": ""}


def erase(person: Person) -> None:
    """Take the person out of their trips.

    1. The saved places, links, claims and keys of commands go.
    2. Trips that they booked lose texts, the traveller, and where exactly they began and ended.
    3. Texts about trips that they booked, drove or have seats on go, from steps, offers and ratings, too.
    4. So do the messages of these trips, and from where somebody called for help.
    5. What other people, staff and the event log were told of these trips goes.
    6. So does what they wrote on trips that another driver got after them, and what names them there.
    """
    SavedPlace.objects.filter(user=person.user_id).delete()
    TripShare.objects.filter(created_by=person.user_id).delete()
    Claim.objects.filter(by=person.user_id).delete()
    if person.driver_id is not None:
        AppliedCommand.objects.filter(driver=person.driver_id).delete()
    booked = Trip.objects.filter(organiser=person.user_id)
    driven = Trip.objects.filter(driver=person.driver_id) if person.driver_id is not None else Trip.objects.none()
    seats = Booking.objects.filter(passenger=person.user_id)
    with translation.override(person.language):
        private_names = _blur_places(booked)
    booked.update(**_TEXTS, wishes=[], boarding_code="", request_key=None, request_digest="")
    driven.update(cancel_reason="", delay_reason="")
    on_ids = set(booked.values_list("pk", flat=True)) | set(driven.values_list("pk", flat=True))
    on_ids |= set(seats.values_list("trip", flat=True))
    # Read before the messages go: what staff were told leads to those.
    staffs_pages = _staffs_pages(sorted(on_ids))
    _blank_words(person, sorted(on_ids))
    # Where the driver was at the pickup is where the passenger was.
    TripTransition.objects.filter(trip__organiser=person.user_id).update(lat=None, lng=None)
    _forget_what_was_told(person, sorted(on_ids), private_names, staffs_pages)
    _forget_former_trips(person, on_ids)


def _blur_places(trips: QuerySet[Trip]) -> set[str]:
    """Keep of a place its name where everybody knows it, else how far it is from the nearest such place.

    Returns the names that went.
    """
    known = index.current()
    gone: set[str] = set()
    for some in batches(trips.values("pk", *_PLACES, "stops").iterator()):
        for trip in some:
            columns: dict[str, Any] = {"stops": [stop | _blurred(stop, "", known) for stop in trip["stops"]]}
            for side in ("pickup", "dropoff"):
                columns |= _blurred(trip, f"{side}_", known)
            columns["pickup_cell"] = cell(columns["pickup_lat"], columns["pickup_lng"])
            # One after the other: in one statement for many, each column of each is a condition more.
            Trip.objects.filter(pk=trip["pk"]).update(**columns)
            gone |= _names(trip) - _names(columns)
    for leg in TripLeg.objects.filter(trip__in=trips.values("pk")).values("pk", *_LEG_PLACES):
        columns = _blurred(leg, "from_", known) | _blurred(leg, "to_", known)
        TripLeg.objects.filter(pk=leg["pk"]).update(**columns)
        gone |= {leg["from_name"], leg["to_name"]} - {columns["from_name"], columns["to_name"]}
    return gone


def _blurred(place: dict[str, Any], prefix: str, known: index.Index) -> dict[str, Any]:
    """Return what becomes of the values of a place, whose names begin with `prefix`."""
    name = place[f"{prefix}name"]
    lat, lng = (round(place[f"{prefix}{part}"], _DECIMALS) for part in ("lat", "lng"))
    shown = name if named(name, known) else describe_point(lat, lng, known=known).name[:120]
    return {f"{prefix}name": shown, f"{prefix}address": "", f"{prefix}lat": lat, f"{prefix}lng": lng}


def _names(trip: dict[str, Any]) -> set[str]:
    return {trip["pickup_name"], trip["dropoff_name"], *(stop["name"] for stop in trip["stops"])}


def _blank_words(person: Person, trip_ids: list[int]) -> None:
    """Blank what people wrote about the trips, and what the person wrote about others."""
    worded = Q(status=OfferStatus.DECLINED) | Q(released_at__isnull=False)
    if person.driver_id is not None:
        Offer.objects.filter(worded, driver=person.driver_id).update(reason="")
    for rows in (Rating.objects.filter(by=person.user_id), Rating.objects.filter(about=person.user_id)):
        rows.exclude(comment="").update(comment="")
    TripTransition.objects.filter(by=person.user_id).exclude(note="").update(note="")
    if person.driver_id is not None:
        _blank_reasons_of_staff(person.driver_id)
    StaffAssignment.objects.filter(assigned_by=person.user_id).update(reason="")
    StaffAssignment.objects.filter(ended_by=person.user_id).update(end_reason="")
    for some in batches(trip_ids):
        TripTransition.objects.filter(trip__in=some).exclude(note="").update(note="")
        Rating.objects.filter(trip__in=some).exclude(comment="").update(comment="")
        StaffAssignment.objects.filter(trip__in=some).update(**_NO_REASONS)
        TripMessage.objects.filter(trip__in=some).delete()
        _blank_changes(some)
        SafetyAlert.objects.filter(trip__in=some).update(**_NOWHERE)
        TripWatch.objects.filter(trip__in=some).update(anchor_lat=None, anchor_lng=None)
        Offer.objects.filter(worded, trip__in=some).exclude(reason="").update(reason="")


def _blank_reasons_of_staff(driver_id: int) -> None:
    """Blank what staff said of who drives the trips that they gave to the driver, took off them or had handed over.

    One reason stands in the trip's step and in the rows of both drivers.
    """
    assigned = StaffAssignment.objects.filter(driver=driver_id).order_by().values_list("trip", flat=True)
    handed_over = TripLeg.objects.filter(driver=driver_id).order_by().values_list("trip", flat=True)
    for some in batches(sorted({*assigned, *handed_over})):
        StaffAssignment.objects.filter(trip__in=some).update(**_NO_REASONS)
        TripTransition.objects.filter(trip__in=some, role=Role.STAFF).exclude(note="").update(note="")


def _blank_changes(trip_ids: list[int]) -> None:
    """Keep of the changes of trips what names neither people nor places."""
    rows = list(TripChange.objects.filter(trip__in=trip_ids))
    for row in rows:
        row.words = {}
        row.reason = ""
        row.changes = {name: both for name, both in row.changes.items() if name not in (*_PLACES, "stops", "wishes")}
    TripChange.objects.bulk_update(rows, ["words", "reason", "changes"])


def _staffs_pages(trip_ids: list[int]) -> list[str]:
    """Return the pages of the administration to which notifications about the trips lead."""
    pages = [reverse("admin:trips_trip_change", args=[pk]) for pk in trip_ids]
    for some in batches(trip_ids):
        for name, model in (("tripmessage", TripMessage), ("safetyalert", SafetyAlert)):
            pks = model._default_manager.filter(trip__in=some).values_list("pk", flat=True)
            pages += [reverse(f"admin:trips_{name}_change", args=[pk]) for pk in pks]
    return pages


def _forget_what_was_told(
    person: Person, trip_ids: list[int], private_names: set[str], staffs_pages: list[str]
) -> None:
    """Delete notifications and events of the trips, and blank how staff's log names them."""
    forget_events(group for pk in trip_ids for group in (groups.trip(pk), groups.shared_trip(pk)))
    for some in batches(trip_ids):
        forget_in_staffs_log(Trip, [str(pk) for pk in some])
        for model in (Booking, Offer, Rating, StaffAssignment, TripTransition):
            pks = model._default_manager.filter(trip__in=some).values_list("pk", flat=True)
            for rows in batches(str(pk) for pk in pks):
                forget_in_staffs_log(model, rows)
    receivers = _receivers(trip_ids) - {person.user_id}
    # A shorter one is found in too much else.
    names = {name for name in private_names.union(person.names) if len(name) >= _SHORTEST_NAME}
    forget_notices(receivers, names=names, pages=_pages_of(trip_ids))
    # What staff get of a trip always leads to it, to a message or to a call for help. Somebody's name must not take
    # other notifications from them.
    forget_notices(_staff(), names=(), pages=staffs_pages)


def _receivers(trip_ids: list[int]) -> set[int]:
    """Return the accounts that can have got a notification about one of the trips, without staff."""
    receivers: set[int] = set()
    for some in batches(trip_ids):
        receivers |= set(Trip.objects.filter(pk__in=some).values_list("organiser", flat=True))
        receivers |= set(Offer.objects.filter(trip__in=some).values_list("driver__user", flat=True))
        drivers = Trip.objects.filter(pk__in=some, driver__isnull=False)
        receivers |= set(drivers.values_list("driver__user", flat=True))
        assigned = StaffAssignment.objects.filter(trip__in=some)
        receivers |= set(assigned.values_list("driver__user", flat=True))
        receivers |= set(TripLeg.objects.filter(trip__in=some).values_list("driver__user", flat=True))
        receivers |= set(Booking.objects.filter(trip__in=some).values_list("passenger", flat=True))
    return receivers


def _staff() -> list[int]:
    return list(User.objects.filter(is_staff=True).values_list("pk", flat=True))


def _pages_of(trip_ids: list[int]) -> list[str]:
    return [reverse(f"trips:{name}", args=[pk]) for pk in trip_ids for name in ("detail", "messages")]


def _forget_former_trips(person: Person, but: set[int]) -> None:
    """Forget the person on trips that they gave back, were taken off or handed over: another driver goes on."""
    messages = TripMessage.objects.filter(sender=person.user_id)
    alerts = SafetyAlert.objects.filter(raised_by=person.user_id)
    taken, assigned, handed_over = Offer.objects.none(), StaffAssignment.objects.none(), TripLeg.objects.none()
    if person.driver_id is not None:
        messages |= TripMessage.objects.filter(driver=person.driver_id)
        taken = Offer.objects.filter(driver=person.driver_id, status=OfferStatus.ACCEPTED)
        assigned = StaffAssignment.objects.filter(driver=person.driver_id)
        handed_over = TripLeg.objects.filter(driver=person.driver_id)
        TripWatch.objects.filter(driver=person.driver_id).update(anchor_lat=None, anchor_lng=None)
    staffs_pages = [
        *(reverse("admin:trips_tripmessage_change", args=[pk]) for pk in messages.values_list("pk", flat=True)),
        *(reverse("admin:trips_safetyalert_change", args=[pk]) for pk in alerts.values_list("pk", flat=True)),
    ]
    former = {*messages.values_list("trip", flat=True), *alerts.values_list("trip", flat=True)}
    for rows in (taken, assigned, handed_over):
        former |= set(rows.values_list("trip", flat=True))
    former -= but
    messages.delete()
    alerts.update(**_NOWHERE)
    forget_notices(_staff(), names=(), pages=staffs_pages)
    receivers = _receivers(sorted(former)) - {person.user_id}
    pages = _pages_of(sorted(former))
    forget_notices(receivers, names=set(person.names), pages=pages, needs_both=True)
    staffs_pages = [reverse("admin:trips_trip_change", args=[pk]) for pk in sorted(former)]
    forget_notices(_staff(), names=set(person.names), pages=staffs_pages, needs_both=True)
