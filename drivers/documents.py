"""A document is sent by its owner; who may see the picture. Staff decide in drivers.document_review.

Of one kind there is at most one that is accepted and one that is newer (drivers.document_models). Lock order: the
driver, then the owner, then documents.
"""

import datetime as dt

from django.utils import timezone
from django.utils.translation import gettext as _

from drivers.models import DocumentKind, DocumentStatus, Driver, DriverDocument
from drivers.papers import publish_papers
from drivers.pictures import encode_picture, portrait
from realtime.delivery.notifications import notify, notify_staff
from stepper import limits
from stepper.audit.looks import looked_at
from stepper.db.transactions import in_transaction
from stepper.errors import InvalidInput, NotFound, NotPermitted, Text
from stepper.mail import sending
from stepper.models import User

# Each costs up to a second of the processor.
UPLOADS_PER_HOUR = 40
LONGEST_VALIDITY = dt.timedelta(days=20 * 366)
VIEW = "drivers.view_driverdocument"
CHANGE = "drivers.change_driverdocument"


def send_document(user: User, kind: str, data: bytes, expires_on: dt.date | None) -> DriverDocument:
    """Keep a picture of a document. It replaces one of its kind that is not accepted.

    Raises:
        NotFound: document.unknown_kind
        NotPermitted: account.inactive
        InvalidInput: document.expiry, and as `encode_picture`
        TooManyRequests: more than UPLOADS_PER_HOUR
    """
    if kind not in DocumentKind.values:
        raise NotFound("document.unknown_kind", _("There is no such document."))
    limits.spend("documents", user.pk, most=UPLOADS_PER_HOUR, window_s=limits.HOUR_S)
    known = DocumentKind(kind)
    if known == DocumentKind.PHOTO:
        expires_on = None
    else:
        _check_expiry(expires_on)
    return _store(user, known, encode_picture(data), expires_on)


def _check_expiry(expires_on: dt.date | None) -> None:
    today = timezone.localdate()
    if expires_on is None or not today <= expires_on <= today + LONGEST_VALIDITY:
        words = _("Enter the last day on which it is valid; it must not be over.")
        raise InvalidInput("document.expiry", words, {"expires_on": [words]})


@in_transaction
def _store(user: User, kind: DocumentKind, content: bytes, expires_on: dt.date | None) -> DriverDocument:
    # Of two that are sent at once the later one stays.
    User.objects.lock_active(user.pk)
    mine = DriverDocument.objects.filter(owner=user, kind=kind)
    # With one that was accepted they have driven, so it is kept for disputes also where it was rejected later.
    mine.filter(status__in=[DocumentStatus.PENDING, DocumentStatus.REJECTED], accepted_at__isnull=True).delete()
    if kind == DocumentKind.PHOTO:
        # One from before passengers saw photos, which nobody has checked.
        mine.filter(status=DocumentStatus.ACCEPTED, accepted_at__isnull=True).delete()
    row = DriverDocument.objects.create(
        owner=user,
        kind=kind,
        content=content,
        expires_on=expires_on,
    )
    publish_papers(user.pk)
    if Driver.objects.filter(user=user).exists():
        address = f"/admin/drivers/driverdocument/{row.pk}/change/"
        notify_staff(CHANGE, lambda: (_("A document to check"), f"{kind.label} · {user.name}"), address)
    return row


def find_document(user: User, document_id: int) -> DriverDocument:
    """Return a document with its picture, to its owner and to staff who may see documents.

    Raises:
        NotFound: document.not_found, also where it is somebody else's
    """
    row = DriverDocument.objects.defer(None).filter(pk=document_id).first()
    if row is None or not (row.owner_id == user.pk or (user.is_staff and user.has_perm(VIEW))):
        raise NotFound("document.not_found", _("There is no such document."))
    looked_at(user, [row.owner_id], DriverDocument._meta.label_lower, row.pk)
    return row


def photo_id_of(user_id: int) -> int | None:
    """Return the id of the photo that a driver's passengers see: one that staff have accepted; None: there is none."""
    photos = DriverDocument.objects.filter(owner=user_id, kind=DocumentKind.PHOTO, status=DocumentStatus.ACCEPTED)
    # What was sent before passengers saw photos counts as accepted, and nobody has looked at it.
    return photos.filter(accepted_at__isnull=False).values_list("pk", flat=True).first()


def portrait_of(document_id: int) -> bytes:
    """Return a photo as passengers see it. The caller has checked that the viewer may (`photo_id_of`).

    Raises:
        NotFound: document.not_found, it was deleted meanwhile
    """
    content = DriverDocument.objects.filter(pk=document_id).values_list("content", flat=True).first()
    if content is None:
        raise NotFound("document.not_found", _("There is no such document."))
    return portrait(bytes(content))


def require_not_own(staff: User, owner_id: int) -> None:
    """Refuse staff who decide about themselves, unless they may do everything anyway.

    Raises:
        NotPermitted: auth.own_decision
    """
    if staff.pk == owner_id and not staff.is_superuser:
        raise NotPermitted("auth.own_decision", _("A colleague has to decide about you."))


def announce(user: User, title: Text, reason: str = "") -> None:
    """Notify somebody of a decision about their application, on their pages and by e-mail."""
    notify(
        user,
        title,
        message=reason,
        audience="driver",
        priority="high",
        category="system",
        action_url="/drivers/apply/",
    )
    send_decision(user, title, reason)


def send_decision(user: User, title: Text, reason: str = "") -> None:
    """Mail somebody a decision, where mails reach anybody and they have an address."""
    if user.email and sending.is_offered():
        context = {"user": user, "title": title, "reason": reason}
        sending.send("driver_decision", user.email, language=user.offered_language, context=context)
