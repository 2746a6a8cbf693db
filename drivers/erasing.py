"""What is taken out of a driver's rows when they erase their account."""

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from drivers.models import (
    Approval,
    AvailabilityChange,
    Break,
    Driver,
    DriverApplication,
    DriverDocument,
    DriverPosition,
    Vehicle,
)
from stepper.accounts.erasing import forget_in_staffs_log
from stepper.accounts.person import Person


def erase(person: Person) -> None:
    """Delete documents, application, position and plans; the vehicle where nobody else drives it and no trip names it.

    The driver's row stays without licence and vehicle: its trips name it.
    """
    documents = DriverDocument.objects.filter(owner=person.user_id)
    forget_in_staffs_log(DriverDocument, [str(pk) for pk in documents.values_list("pk", flat=True)])
    documents.delete()
    # Who it was that staff accepted or rejected; the documents belong to others.
    DriverApplication.objects.filter(user=person.user_id).delete()
    forget_in_staffs_log(DriverApplication, [str(person.user_id)])
    driver = Driver.objects.filter(user=person.user_id).first()
    if driver is None:
        return
    forget_in_staffs_log(Driver, [str(driver.pk)])
    DriverPosition.objects.filter(driver=driver).delete()
    Break.objects.filter(driver=driver, started_at__isnull=True).delete()
    AvailabilityChange.objects.filter(driver=driver).exclude(note="").update(note="")
    vehicle_id = driver.vehicle_id
    driver.licence_number, driver.vehicle = "", None
    driver.weekly_hours, driver.hours_due_at, driver.documents_due_at = {}, None, None
    driver.active_lat, driver.active_lng = None, None
    fields = [
        "licence_number",
        "vehicle",
        "weekly_hours",
        "hours_due_at",
        "documents_due_at",
        "active_lat",
        "active_lng",
    ]
    if driver.approval == Approval.PENDING:
        # Nobody is left to approve.
        driver.approval, driver.decided_at = Approval.REJECTED, timezone.now()
        fields += ["approval", "decided_at"]
    driver.save(update_fields=fields)
    if vehicle_id is not None:
        _delete_unused_vehicle(vehicle_id)


def _delete_unused_vehicle(vehicle_id: int) -> None:
    """Delete a vehicle, so that its plate can be entered again, unless somebody else drives it or a trip names it."""
    try:
        with transaction.atomic():
            deleted, _rows = Vehicle.objects.filter(
                pk=vehicle_id, driver__isnull=True, trips__isnull=True, legs__isnull=True
            ).delete()
    except (IntegrityError, ProtectedError):
        # Staff gave it to somebody at this moment.
        return
    if deleted:
        forget_in_staffs_log(Vehicle, [str(vehicle_id)])
