"""Commands of drivers that were applied, by the keys that their clients gave them: sent again, they change nothing."""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class AppliedCommand(models.Model):
    """A step or an answer of a driver that was applied. Only trips.repeats writes it."""

    # No constraint of the database: the last release, running beside, deletes drivers without knowing of this table.
    driver = models.ForeignKey("drivers.Driver", models.CASCADE, related_name="+", db_constraint=False, db_index=False)
    key = models.CharField(_("key"), max_length=64)
    # What was done, as "status 41 en_route": the key is for this alone.
    about = models.CharField(_("command"), max_length=60)
    created_at = models.DateTimeField(_("at"), db_default=Now())

    class Meta:
        verbose_name = _("applied command")
        verbose_name_plural = _("applied commands")
        constraints = [models.UniqueConstraint(fields=["driver", "key"], name="applied_command_once")]

    def __str__(self) -> str:
        return self.about
