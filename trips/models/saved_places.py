"""Places that somebody keeps under a name of their own: home, work, and others."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from stepper.texts import PlainTextField

from .places import ADDRESS_LENGTH, NAME_LENGTH

LABEL_LENGTH = 40


class SavedPlaceKind(models.TextChoices):
    HOME = "home", pgettext_lazy("saved place", "Home")
    WORK = "work", pgettext_lazy("saved place", "Work")
    OTHER = "other", _("Other place")


class SavedPlaceQuerySet(models.QuerySet["SavedPlace"]):
    def list_of(self, user_id: int) -> "list[SavedPlace]":
        """Return somebody's places: home, work, then the others in the order in which they were saved."""
        order = [SavedPlaceKind.HOME, SavedPlaceKind.WORK, SavedPlaceKind.OTHER]
        return sorted(self.filter(user=user_id).order_by("pk"), key=lambda row: order.index(SavedPlaceKind(row.kind)))


class SavedPlace(models.Model):
    """A place of one account, which nobody else sees. Only trips.saved_places writes it."""

    # No constraint of the database: the last release, running beside, deletes accounts without knowing of this table.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="saved_places",
        db_constraint=False,
        # Part of an index below.
        db_index=False,
        verbose_name=_("user"),
    )
    kind = models.CharField(_("kind"), max_length=5, choices=SavedPlaceKind.choices)
    # What its owner calls it; empty for home and work.
    label = PlainTextField(_("name"), max_length=LABEL_LENGTH, blank=True)
    place_name = PlainTextField(_("place"), max_length=NAME_LENGTH)
    address = PlainTextField(_("address"), max_length=ADDRESS_LENGTH, blank=True)
    lat = models.FloatField(_("latitude"), validators=[MinValueValidator(-90), MaxValueValidator(90)])
    lng = models.FloatField(_("longitude"), validators=[MinValueValidator(-180), MaxValueValidator(180)])
    created_at = models.DateTimeField(_("saved"), db_default=Now())

    objects = SavedPlaceQuerySet.as_manager()

    class Meta:
        verbose_name = _("saved place")
        verbose_name_plural = _("saved places")
        constraints = [
            models.UniqueConstraint(
                fields=["user", "kind"], condition=~Q(kind=SavedPlaceKind.OTHER), name="saved_place_one_home_and_work"
            ),
            models.CheckConstraint(
                condition=Q(lat__gte=-90, lat__lte=90, lng__gte=-180, lng__lte=180), name="saved_place_in_range"
            ),
        ]
        indexes = [
            # The places of a person.
            models.Index(fields=["user", "kind"], name="saved_place_of_user"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.get_kind_display()}"

    @property
    def title(self) -> str:
        """What its owner reads: the name that they gave it, else home or work."""
        return self.label or str(self.get_kind_display())
