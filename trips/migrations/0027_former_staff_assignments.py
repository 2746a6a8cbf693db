import datetime as dt

from django.db import migrations, transaction
from django.db.models import F

# A trip that lost its driver: the offer was marked in the transaction that wrote the step, by another clock perhaps.
NEAR = dt.timedelta(minutes=1)
HELD = ("accepted", "en_route")


def write_rows(apps, schema_editor):
    """Write rows of what staff did before there were any, and take it out of drivers' offers.

    - An offer that was invented when a trip was taken off a driver who never had one goes.
    - An offer that staff accepted by assigning the trip is withdrawn: nobody answered it.
    - An offer whose trip staff took off the driver says so.

    Each trip in a transaction of its own; those that have rows are done.
    """
    alias = schema_editor.connection.alias
    transitions = apps.get_model("trips", "TripTransition").objects.using(alias)
    offers = apps.get_model("trips", "Offer").objects.using(alias)
    rows = apps.get_model("trips", "StaffAssignment").objects.using(alias)
    trips = apps.get_model("trips", "Trip").objects.using(alias)
    assigned = transitions.filter(role="staff", to_status="accepted").values_list("trip", flat=True)
    taken = transitions.filter(role="staff", from_status__in=HELD, to_status="offered").values_list("trip", flat=True)
    invented = offers.filter(**INVENTED).values_list("trip", flat=True)
    for trip_id in sorted({*assigned, *taken, *invented}):
        with transaction.atomic(using=alias):
            if not rows.filter(trip=trip_id).exists():
                # An old server may take it off its driver just now.
                _convert(trips.select_for_update().get(pk=trip_id), transitions, offers, rows)


INVENTED = {"status": "accepted", "created_at": F("responded_at"), "released_at": F("responded_at")}


def _convert(trip, transitions, offers, rows):
    """Pair each time that the trip was given to a driver with its end, and convert what staff did."""
    steps = list(transitions.filter(trip=trip).order_by("created_at", "pk"))
    released = list(offers.filter(trip=trip, released_at__isnull=False).order_by("released_at", "pk"))
    given = None
    for step in steps:
        if step.to_status == "accepted":
            given = step
        elif step.to_status == "offered" and step.from_status in HELD:
            offer = min(released, key=lambda one: abs(one.released_at - step.created_at), default=None)
            if offer is not None and abs(offer.released_at - step.created_at) <= NEAR:
                released.remove(offer)
                _convert_ended(given, step, offer, offers, rows)
            given = None
    if given is not None and given.role == "staff" and trip.driver_id is not None:
        rows.create(
            trip=trip,
            driver_id=trip.driver_id,
            assigned_by_id=given.by_id,
            assigned_at=given.created_at,
            reason=given.note[:200],
        )
        running = offers.filter(trip=trip, driver=trip.driver_id, status="accepted", released_at=None)
        running.update(status="withdrawn", reason="assigned")


def _convert_ended(given, end, offer, offers, rows):
    by_staff = given is not None and given.role == "staff"
    was_invented = offer.created_at == offer.responded_at == offer.released_at
    if by_staff or was_invented or end.role == "staff":
        rows.create(
            trip_id=offer.trip_id,
            driver_id=offer.driver_id,
            assigned_by_id=given.by_id if by_staff else None,
            assigned_at=given.created_at if given is not None else offer.responded_at,
            reason=given.note[:200] if by_staff else "",
            ended_at=offer.released_at,
            ended_as=end.role,
            ended_by_id=end.by_id,
            end_reason=end.note[:200],
        )
    if was_invented:
        offers.filter(pk=offer.pk).delete()
    elif by_staff:
        offers.filter(pk=offer.pk).update(status="withdrawn", reason="assigned", released_at=None)
    elif end.role == "staff":
        offers.filter(pk=offer.pk).update(taken_off=True)


class Migration(migrations.Migration):
    # A short transaction for each trip, and all of it once more where it was interrupted.
    atomic = False
    upgrade_reasons = {
        "write_rows": "changes offers that are settled, which the last release reads alone, one trip at a time; what it "
        "writes later of staff is read as before"
    }

    dependencies = [("trips", "0026_staff_assignments")]

    operations = [migrations.RunPython(write_rows, migrations.RunPython.noop)]
