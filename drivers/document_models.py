"""Applications to drive, and the documents of drivers and applicants.

Their tables belong to the people, not to `Driver` rows: who applies has documents before they are a driver.
"""

from typing import Self

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from drivers.plates import PlateField, readable_plate
from stepper.texts import PlainTextField
from trips.states import VehicleClass


class DocumentKind(models.TextChoices):
    LICENCE = "licence", _("Driving licence")
    INSURANCE = "insurance", _("Insurance")
    INSPECTION = "inspection", _("Technical inspection")
    TAXI_LICENCE = "taxi_licence", _("Licence for taxi work")
    PHOTO = "photo", _("Photo of you")


class DocumentStatus(models.TextChoices):
    PENDING = "pending", _("Being checked")
    ACCEPTED = "accepted", _("Accepted")
    REJECTED = "rejected", _("Rejected")
    # It was accepted once, and a newer one is.
    REPLACED = "replaced", _("Replaced")


# What staff must have accepted before they can approve somebody who applied; a photo is as they like.
REQUIRED_KINDS = (
    DocumentKind.LICENCE,
    DocumentKind.INSURANCE,
    DocumentKind.INSPECTION,
    DocumentKind.TAXI_LICENCE,
)


class DocumentManager(models.Manager["DriverDocument"]):
    def get_queryset(self) -> models.QuerySet["DriverDocument"]:
        """Leave the picture in the database until somebody reads it: lists need it never."""
        return super().get_queryset().defer("content")


class DriverDocument(models.Model):
    """A picture of one document, as drivers.pictures encoded it: a JPEG. Only drivers.documents writes them.

    Of one kind somebody has at most one that is accepted and one that is newer.
    """

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="driver_documents",
        db_constraint=False,
        # Part of an index below.
        db_index=False,
        verbose_name=_("owner"),
    )
    kind = models.CharField(_("kind"), max_length=16, choices=DocumentKind.choices)
    status = models.CharField(
        _("status"), max_length=10, choices=DocumentStatus.choices, default=DocumentStatus.PENDING
    )
    # Why it was rejected, as its owner reads it.
    reason = PlainTextField(_("reason"), max_length=200, default="", blank=True)
    # The last day on which it is valid; None: it does not expire.
    expires_on = models.DateField(_("valid until"), null=True, blank=True)
    content = models.BinaryField()
    uploaded_at = models.DateTimeField(_("sent"), db_default=Now())
    reviewed_at = models.DateTimeField(_("checked"), null=True, blank=True)
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        db_constraint=False,
        db_index=False,
        verbose_name=_("checked by"),
    )
    # When staff accepted it, also if they rejected it later; None: never.
    accepted_at = models.DateTimeField(_("accepted"), null=True, blank=True)
    # When it was rejected or replaced: it is deleted so long after it (stepper.server.pruning).
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    objects = DocumentManager()

    class Meta:
        verbose_name = _("document")
        verbose_name_plural = _("documents")
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "kind"], condition=Q(status=DocumentStatus.PENDING), name="document_one_pending"
            ),
            models.UniqueConstraint(
                fields=["owner", "kind"], condition=Q(status=DocumentStatus.ACCEPTED), name="document_one_accepted"
            ),
        ]
        indexes = [
            # The documents of a person.
            models.Index(fields=["owner", "kind"], name="document_of_owner"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} · {self.owner}"

    @property
    def is_expired(self) -> bool:
        return self.expires_on is not None and self.expires_on < timezone.localdate()


class DriverApplication(models.Model):
    """What somebody who wants to drive has entered so far. Only drivers.joining writes it.

    With `submitted_at` there is a `Driver`, whose approval says how it stands.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        primary_key=True,
        related_name="driver_application",
        db_constraint=False,
    )
    # As on their licence; it becomes the account's with the approval.
    name = PlainTextField(_("name"), max_length=80, default="", db_default="", blank=True)
    licence_number = PlainTextField(_("licence number"), max_length=32, default="", blank=True)
    make = PlainTextField(_("make"), max_length=40, default="", blank=True)
    model = PlainTextField(_("model"), max_length=40, default="", blank=True)
    colour = PlainTextField(_("colour"), max_length=30, default="", blank=True)
    plate = PlateField(_("plate"), max_length=20, default="", blank=True)
    year = models.PositiveSmallIntegerField(_("year"), null=True, blank=True)
    vehicle_class = models.CharField(_("class"), max_length=8, choices=VehicleClass.choices, default=VehicleClass.SEDAN)
    seats = models.PositiveSmallIntegerField(
        _("passenger seats"), default=4, validators=[MinValueValidator(1), MaxValueValidator(60)]
    )
    # When they agreed that their documents are checked and kept.
    consent_at = models.DateTimeField(_("agreed"), null=True, blank=True)
    # When it was sent to staff, the last time; None: not yet.
    submitted_at = models.DateTimeField(_("sent"), null=True, blank=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("application")
        verbose_name_plural = _("applications")

    def __str__(self) -> str:
        return str(self.user)

    @property
    def plate_text(self) -> str:
        return readable_plate(self.plate)

    @classmethod
    def of(cls, user_id: int) -> Self:
        """Return somebody's application, or an empty one that is not stored."""
        return cls.objects.filter(pk=user_id).first() or cls(user_id=user_id)
