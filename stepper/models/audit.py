"""The audit log: who of the staff looked at whose data, and what staff and the system changed from what to what."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from stepper.models.insert_only import InsertOnly
from stepper.models.users import User


class AuditAction(models.TextChoices):
    """What was done. The codes are stable; the field itself takes any, so that a new one needs no migration."""

    LOOK = "look", pgettext_lazy("audit", "looked at")
    CREATE = "create", pgettext_lazy("audit", "created")
    CHANGE = "change", pgettext_lazy("audit", "changed")
    DELETE = "delete", pgettext_lazy("audit", "deleted")
    EXPORT = "export", pgettext_lazy("audit", "exported")
    ERASE = "erase", pgettext_lazy("audit", "erased")
    PRUNE = "prune", pgettext_lazy("audit", "deleted as too old")


class AuditEntry(InsertOnly):
    """One look or one change. Written by `stepper.audit` alone; the database refuses to change or delete it.

    It names people by their numbers, and of what is personal it says only which field it was, so erasing somebody
    needs no change here. No foreign key is a constraint: the log outlives the accounts it names.
    """

    at = models.DateTimeField(_("time"), default=timezone.now)
    action = models.CharField(_("action"), max_length=20)
    # None: the system, which `via` names.
    actor = models.ForeignKey(
        User,
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        # Part of an index below, as the person is.
        db_index=False,
        related_name="+",
        verbose_name=_("actor"),
    )
    address = models.CharField(_("network address"), max_length=45, default="", blank=True)
    # The name of the page, endpoint or command, or the part of the service.
    via = models.CharField(_("by way of"), max_length=100, default="", blank=True)
    # Whose data it is, where it is one person's.
    person = models.ForeignKey(
        User,
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("person"),
    )
    # The model's label in lower case, and the row's key; empty: many rows, which `fields` counts.
    model = models.CharField(_("kind of row"), max_length=60, default="", blank=True)
    object_id = models.CharField(_("number of the row"), max_length=40, default="", blank=True)
    # Name of a field -> [before, after]; None: only that it changed.
    fields = models.JSONField(_("fields"), default=dict, blank=True)
    # What is one row: looks alike of 15 minutes.
    merge_key = models.CharField(max_length=100, null=True, unique=True, editable=False)

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit log")
        # Nobody can be given the right to add, change or delete one.
        default_permissions = ["view"]
        indexes = [
            models.Index(fields=["-at", "-id"], name="auditentry_at"),
            models.Index(fields=["actor", "-at", "-id"], name="auditentry_actor"),
            models.Index(fields=["person", "-at", "-id"], name="auditentry_person"),
            models.Index(fields=["model", "object_id", "-at", "-id"], name="auditentry_object"),
            # A search by the number alone, whatever kind of row has it.
            models.Index(fields=["object_id", "-at", "-id"], name="auditentry_number"),
            models.Index(fields=["action", "-at", "-id"], name="auditentry_action"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.model} #{self.pk}"


class AuditRetention(models.Model):
    """Before which instant rows of the audit log may be deleted: written and deleted in the transaction that does.

    The triggers let a row go that is older than this and than `LEAST_KEPT`. Others never see a row here.
    """

    before = models.DateTimeField()

    class Meta:
        verbose_name = _("retention of the audit log")
        verbose_name_plural = _("retention of the audit log")
        default_permissions = ()

    def __str__(self) -> str:
        return f"audit log before {self.before}"
