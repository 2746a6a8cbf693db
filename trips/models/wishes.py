"""What passengers may wish for beside a vehicle: a child seat, a quiet ride. Staff keep the list."""

from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from stepper.texts import PlainTextField

NAME_LENGTH = 40
CODE_LENGTH = 30


class Wish(models.Model):
    """A wish that the booking form offers while it is active. A trip keeps the wishes chosen for it by itself."""

    code = models.CharField(
        _("code"),
        max_length=CODE_LENGTH,
        unique=True,
        validators=[RegexValidator(r"^[a-z][a-z0-9_]*\Z", _("Small Latin letters, digits and _."))],
        help_text=_("How programs name it, such as child_seat. It stays."),
    )
    name_en = PlainTextField(_("name in English"), max_length=NAME_LENGTH)
    name_ru = PlainTextField(_("name in Russian"), max_length=NAME_LENGTH, blank=True)
    name_kk = PlainTextField(_("name in Kazakh"), max_length=NAME_LENGTH, blank=True)
    is_active = models.BooleanField(
        _("offered"), default=True, help_text=_("Trips that were booked with it keep it, whether it is offered or not.")
    )
    position = models.PositiveSmallIntegerField(
        _("position"), default=100, help_text=_("The smallest comes first in the form.")
    )

    class Meta:
        verbose_name = _("wish")
        verbose_name_plural = _("wishes")
        ordering = ["position", "pk"]

    def __str__(self) -> str:
        return self.name_en

    @property
    def names(self) -> dict[str, str]:
        """Return the names by language; where one is empty, the English one."""
        return {"en": self.name_en, "ru": self.name_ru or self.name_en, "kk": self.name_kk or self.name_en}
