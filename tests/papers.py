"""Documents as tests send them, and somebody who has applied as a driver."""

import datetime as dt
import io
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from PIL import Image

from drivers import document_review, joining
from drivers.models import REQUIRED_KINDS, DocumentStatus, Driver, DriverApplication, DriverDocument
from stepper.models import User
from tests.factories import PassengerFactory, StaffFactory

VEHICLE = {
    "make": "Toyota",
    "model": "Camry",
    "colour": "White",
    "plate": "777 ABK 02",
    "year": 2019,
    "vehicle_class": "sedan",
    "seats": 4,
}


def picture(kind: str = "JPEG", size: tuple[int, int] = (320, 240), **options: Any) -> bytes:
    """The bytes of a picture of that format."""
    file = io.BytesIO()
    Image.new("RGB", size, (180, 40, 30)).save(file, kind, **options)
    return file.getvalue()


def upload(content: bytes | None = None, name: str = "licence.jpg", content_type: str = "image/jpeg") -> Any:
    """A file as the test client sends it."""
    return SimpleUploadedFile(name, picture() if content is None else content, content_type)


def in_days(days: int) -> dt.date:
    return timezone.localdate() + dt.timedelta(days=days)


def document(owner: User, kind: str = "licence", **fields: Any) -> DriverDocument:
    """A row as `send_document` would write it."""
    content = picture()
    values = {"content": content, "expires_on": in_days(200), **fields}
    return DriverDocument.objects.create(owner=owner, kind=kind, **values)


def draft(**fields: Any) -> User:
    """Somebody who has filled in every step and not sent the application."""
    user: User = PassengerFactory.create()
    DriverApplication.objects.create(user=user, licence_number="AB123456", **{**VEHICLE, **fields})
    for kind in REQUIRED_KINDS:
        document(user, kind)
    return user


def applicant(**fields: Any) -> Driver:
    """Somebody whose application waits for staff."""
    return joining.submit(draft(**fields))


def accept_all(owner: User) -> None:
    staff = StaffFactory.create()
    for row in DriverDocument.objects.filter(owner=owner, status=DocumentStatus.PENDING):
        document_review.accept_document(row.pk, staff)
