"""Which backups were restored, and the generation of the database that each began."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Restore(models.Model):
    """One restore of the database. What was given out before it (cursors, links that set a password) is not valid."""

    # Random: what was restored since the backup is not known, so a number could have been given out before.
    generation = models.CharField(_("generation"), max_length=8)
    backup_made_at = models.DateTimeField(_("backup of"), null=True)
    restored_at = models.DateTimeField(_("at"), auto_now_add=True)

    class Meta:
        verbose_name = _("restore")
        verbose_name_plural = _("restores")
        # Of no model's rows: it opens /ops/system/.
        permissions = [("view_system", _("Can see the state of the system"))]

    def __str__(self) -> str:
        return self.generation

    @classmethod
    def current_generation(cls) -> str:
        """Return the generation of this database; "": it was never restored."""
        return cls.objects.order_by("-pk").values_list("generation", flat=True).first() or ""
