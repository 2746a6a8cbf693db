"""Staff accept and reject documents; what follows for a driver who may not drive without them.

Lock order: the driver, then documents.
"""

from functools import partial
from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drivers.availability import change_availability, end_running_break, lock_driver_of
from drivers.documents import CHANGE, announce, require_not_own
from drivers.models import Cause, DocumentKind, DocumentStatus, Driver, DriverDocument
from drivers.papers import publish_papers
from drivers.updates import publish_update
from drivers.validity import store_validity
from realtime import events
from stepper import security_log
from stepper.db.transactions import best_effort, in_transaction
from stepper.errors import Conflict, InvalidInput, NotFound, Text
from stepper.models import SecurityEventCode, User
from trips.review import review_driver


@in_transaction
def accept_document(document_id: int, staff: User) -> DriverDocument:
    """Accept a document; it replaces the accepted one of its kind. The driver's licence gets its date.

    Raises:
        NotFound, NotPermitted, Conflict (document.decided, document.expired)
    """
    row, driver = _lock(document_id, staff)
    if row.status != DocumentStatus.PENDING:
        _refuse_decided(row)
    if row.is_expired:
        raise Conflict("document.expired", _("It is not valid any more; reject it."))
    accepted = DriverDocument.objects.filter(owner=row.owner_id, kind=row.kind, status=DocumentStatus.ACCEPTED)
    accepted.update(status=DocumentStatus.REPLACED, ended_at=Now())
    _decide(row, staff, status=DocumentStatus.ACCEPTED)
    if driver is not None:
        if row.kind == DocumentKind.LICENCE and row.expires_on is not None:
            driver.licence_expires_on = row.expires_on
            driver.save(update_fields=["licence_expires_on"])
        store_validity(driver)
        publish_update(driver, "approval")
    announce(row.owner, _title(row, gettext_lazy("accepted")))
    publish_papers(row.owner_id)
    return row


@in_transaction
def reject_document(document_id: int, staff: User, reason: str) -> DriverDocument:
    """Reject a document, also one that was accepted, and say why to its owner.

    Who applied and has no accepted document of a kind that is required may not drive until staff accept another one.

    Raises:
        NotFound, NotPermitted, Conflict (document.decided)
        InvalidInput: document.reason_missing
    """
    if not reason.strip():
        words = _("Say what is wrong, so that they can send a better one.")
        raise InvalidInput("document.reason_missing", words, {"reason": [words]})
    row, driver = _lock(document_id, staff)
    if row.status not in {DocumentStatus.PENDING, DocumentStatus.ACCEPTED}:
        _refuse_decided(row)
    _decide(row, staff, status=DocumentStatus.REJECTED, reason=reason, ended_at=Now())
    if driver is not None:
        store_validity(driver)
        if driver.documents_expired:
            _stop(driver, staff, reason)
    announce(row.owner, _title(row, gettext_lazy("not accepted")), reason)
    publish_papers(row.owner_id)
    return row


def _lock(document_id: int, staff: User) -> tuple[DriverDocument, Driver | None]:
    """Lock a document and, before it, the driver whose it is; None: its owner is no driver yet."""
    staff.require_staff(CHANGE)
    driver = None
    owner_id = DriverDocument.objects.filter(pk=document_id).values_list("owner", flat=True).first()
    if owner_id is not None:
        require_not_own(staff, owner_id)
        driver = lock_driver_of(owner_id)
    rows = DriverDocument.objects.select_for_update(no_key=True, of=("self",))
    row = rows.select_related("owner").filter(pk=document_id).first()
    if row is None:
        raise NotFound("document.not_found", _("There is no such document; a newer one was sent."))
    return row, driver


def _stop(driver: Driver, staff: User, reason: str) -> None:
    """Put a locked driver offline, without their open offers; a trip under way stays theirs.

    Staff hear of the trips ahead that have to be given to somebody else.
    """
    changed: list[events.DriverPart] = ["approval", *end_running_break(driver)]
    change_availability(driver, Cause.DOCUMENTS, is_online=False, by_id=staff.pk, note=reason, also_changed=changed)
    transaction.on_commit(partial(best_effort, review_driver, driver.pk))


def _title(row: DriverDocument, verdict: Text) -> Text:
    """ "Insurance: not accepted", in the language in which it is read."""
    return format_lazy("{kind}: {verdict}", kind=DocumentKind(row.kind).label, verdict=verdict)


def _refuse_decided(row: DriverDocument) -> None:
    words = _("It is “%(status)s” already.") % {"status": row.get_status_display()}
    raise Conflict("document.decided", words)


def _decide(
    row: DriverDocument, staff: User, *, status: DocumentStatus, reason: str = "", ended_at: Any = None
) -> None:
    security_log.record(
        SecurityEventCode.DRIVER_DECIDED,
        subject_id=row.owner_id,
        actor_id=staff.pk,
        details=f"{row.kind}: {row.status} → {status}{f' ({reason})' if reason else ''}",
    )
    if row.status == DocumentStatus.ACCEPTED:
        # Accepted by an earlier release, which did not say when beside `reviewed_at`.
        row.accepted_at = row.accepted_at or row.reviewed_at
    row.status, row.reason, row.ended_at = status, reason, ended_at
    row.reviewed_at, row.reviewed_by = timezone.now(), staff
    if status == DocumentStatus.ACCEPTED:
        row.accepted_at = row.reviewed_at
    row.save(update_fields=["status", "reason", "ended_at", "reviewed_at", "reviewed_by", "accepted_at"])
