"""What is known of the sessions in which people are signed in: whose, where, since when, and when last seen."""

from django.contrib.sessions.models import Session
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from stepper.models.users import User
from stepper.texts import PlainTextField


class AccountSessionQuerySet(models.QuerySet["AccountSession"]):
    def living_of(self, user: User) -> "AccountSessionQuerySet":
        """Find the sessions that still open this account, the one last seen first."""
        living = self.filter(user=user, auth_hash=user.get_session_auth_hash(), session__expire_date__gt=timezone.now())
        return living.order_by("-last_seen_at", "-pk")


class AccountSession(models.Model):
    """One session of an account; what it holds is Django's own row.

    Written by `stepper.accounts.sessions`. A session without such a row, opened by an earlier release, gets one when it
    is next used.
    """

    # Without constraints: servers of an earlier release delete sessions and accounts and know nothing of this table.
    session = models.OneToOneField(
        Session, models.CASCADE, related_name="account_session", db_constraint=False, editable=False
    )
    user = models.ForeignKey(
        User, models.CASCADE, related_name="account_sessions", db_constraint=False, verbose_name=_("user")
    )
    # What the session is bound to (`User.get_session_auth_hash`); after a new password this is another one.
    auth_hash = models.CharField(max_length=64, editable=False)
    is_program = models.BooleanField(_("program"), default=False, db_default=False)
    address = models.CharField(_("address"), max_length=45, default="", db_default="", blank=True)
    user_agent = PlainTextField(_("program or browser"), max_length=300, default="", db_default="", blank=True)
    # None: before this was kept.
    signed_in_at = models.DateTimeField(_("signed in"), null=True, blank=True)
    last_seen_at = models.DateTimeField(_("last seen"))

    objects = AccountSessionQuerySet.as_manager()

    class Meta:
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
        indexes = [
            # The sessions of an account, and those of staff's list.
            models.Index(fields=["user", "-last_seen_at"], name="account_session_of_user"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.user_agent or '–'}"
