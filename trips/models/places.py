"""Places that people choose by name: cities, airports, sights, in three languages."""

from typing import Any
from uuid import uuid4

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from stepper.texts import PlainTextField

NAME_LENGTH = 120
ADDRESS_LENGTH = 200
ALIASES_LENGTH = 2000


class PlaceKind(models.TextChoices):
    CITY = "city", _("City, town or village")
    AIRPORT = "airport", _("Airport")
    STATION = "station", _("Station")
    SIGHT = "sight", _("Sight")
    OTHER = "other", _("Other")


class PlaceSource(models.TextChoices):
    """Who wrote the row. An import changes the rows of its own source alone."""

    CURATED = "curated", _("Included")
    GEONAMES = "geonames", "GeoNames"
    AIRPORTS = "airports", _("List of airports")
    STAFF = "staff", _("Staff")


class Place(models.Model):
    """A place that search finds by its names and aliases; what is empty in a language is shown in another."""

    slug = models.CharField(_("slug"), max_length=60, unique=True, editable=False)
    source = models.CharField(
        _("source"), max_length=10, choices=PlaceSource, default=PlaceSource.STAFF, editable=False
    )
    kind = models.CharField(_("kind"), max_length=10, choices=PlaceKind, default=PlaceKind.CITY)
    name_en = PlainTextField(_("name in English"), max_length=NAME_LENGTH)
    name_ru = PlainTextField(_("name in Russian"), max_length=NAME_LENGTH, blank=True)
    name_kk = PlainTextField(_("name in Kazakh"), max_length=NAME_LENGTH, blank=True)
    address_en = PlainTextField(
        _("address in English"),
        max_length=ADDRESS_LENGTH,
        blank=True,
        help_text=_("What stands below the name. Empty: region and country."),
    )
    address_ru = PlainTextField(_("address in Russian"), max_length=ADDRESS_LENGTH, blank=True)
    address_kk = PlainTextField(_("address in Kazakh"), max_length=ADDRESS_LENGTH, blank=True)
    country = models.CharField(_("country"), max_length=2, default="KZ", help_text=_("Two letters, such as KZ."))
    region = PlainTextField(_("region"), max_length=20, blank=True)
    lat = models.FloatField(_("latitude"), validators=[MinValueValidator(-90), MaxValueValidator(90)])
    lng = models.FloatField(_("longitude"), validators=[MinValueValidator(-180), MaxValueValidator(180)])
    rank = models.PositiveSmallIntegerField(
        _("rank"),
        default=40,
        validators=[MaxValueValidator(100)],
        help_text=_("Of places that fit equally well, greater ones come first: 63 is Almaty, 40 a town of 10,000."),
    )
    popular = models.PositiveSmallIntegerField(
        _("popular"),
        null=True,
        blank=True,
        help_text=_("Its number in the list that people see before they type. Empty: it is not in it."),
    )
    aliases = PlainTextField(
        _("other names"),
        max_length=ALIASES_LENGTH,
        blank=True,
        help_text=_("By which it is found, too, with semicolons between them: Alma-Ata; Верный"),
    )
    is_shown = models.BooleanField(
        _("found by search"),
        default=True,
        help_text=_("Switch it off rather than delete the place: an import would bring it back."),
    )
    # Counts changes, so that processes notice them (trips.places.index).
    revision = models.PositiveIntegerField(default=0, editable=False)
    changed_at = models.DateTimeField(_("changed at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("place")
        verbose_name_plural = _("places")
        ordering = ["name_en", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(lat__gte=-90, lat__lte=90, lng__gte=-180, lng__lte=180), name="place_in_range"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save, and let every process notice it."""
        self.slug = self.slug or f"staff-{uuid4().hex}"
        self.revision += 1
        self.changed_at = timezone.now()
        if (fields := kwargs.get("update_fields")) is not None:
            kwargs["update_fields"] = {*fields, "slug", "revision", "changed_at"}
        super().save(*args, **kwargs)

    @property
    def name(self) -> str:
        """The name in the active language, else in Russian or English."""
        own = getattr(self, f"name_{(get_language() or 'en')[:2]}", "")
        return own or (get_language() != "en" and self.name_ru) or self.name_en
