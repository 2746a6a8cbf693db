"""The security log: who signed in or failed to, and who changed what about accounts, rights and settings."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from stepper.models.insert_only import InsertOnly
from stepper.models.users import User
from stepper.texts import PlainTextField


class SecurityEventCode(models.TextChoices):
    """What happened. The codes are stable; the field itself takes any, so that a new one needs no migration."""

    SIGNED_IN = "sign_in.succeeded", _("signed in")
    SIGN_IN_FAILED = "sign_in.failed", _("sign-in failed")
    SIGN_IN_REFUSED = "sign_in.refused", _("sign-in refused by a limit")
    SIGN_IN_LOCKED = "sign_in.locked", _("locked after failures")
    SIGNED_OUT = "sign_out", _("signed out")
    SESSION_ENDED = "session.ended", _("session ended from elsewhere")
    SESSIONS_ENDED = "sessions.ended", _("all or all other sessions ended")
    SECOND_FACTOR_SET_UP = "second_factor.set_up", _("two-step sign-in set up")
    SECOND_FACTOR_REMOVED = "second_factor.removed", _("two-step sign-in removed")
    PASSKEY_ADDED = "passkey.added", _("passkey added")
    PASSKEY_REMOVED = "passkey.removed", _("passkey removed")
    RECOVERY_CODE_USED = "recovery_code.used", _("recovery code used")
    RECOVERY_CODES_RENEWED = "recovery_codes.renewed", _("recovery codes renewed")
    TOKEN_REFRESHED = "token.refreshed", _("token refreshed")
    TOKEN_REUSED = "token.reused", _("used-up refresh token presented")
    PASSWORD_RESET_REQUESTED = "password.reset_requested", _("password reset requested")
    PASSWORD_RESET = "password.reset", _("password reset")
    PASSWORD_CHANGED = "password.changed", _("password changed")
    EMAIL_CHANGE_REQUESTED = "email.change_requested", _("change of e-mail requested")
    EMAIL_CHANGED = "email.changed", _("e-mail changed")
    PHONE_CODE_SENT = "phone.code_sent", _("code sent by SMS")
    PHONE_VERIFIED = "phone.verified", _("phone verified")
    CONFIRMED_BY_SMS = "phone.confirmed", _("confirmed by a code by SMS")
    PHONE_CHANGED = "phone.changed", _("phone changed")
    ACCOUNT_CREATED = "account.created", _("account created")
    ACCOUNT_DELETED = "account.deleted", _("account deleted")
    DATA_EXPORTED = "data.exported", _("own data exported")
    ACCOUNT_DEACTIVATED = "account.deactivated", _("account deactivated")
    ACCOUNT_ACTIVATED = "account.activated", _("account activated")
    RIGHTS_CHANGED = "rights.changed", _("staff or superuser changed")
    GROUPS_CHANGED = "groups.changed", _("groups changed")
    PERMISSIONS_CHANGED = "permissions.changed", _("permissions changed")
    GROUP_CHANGED = "group.changed", _("permissions of a group changed")
    GROUP_DELETED = "group.deleted", _("group deleted")
    LIMIT_CHANGED = "limit.changed", _("limit of an account changed")
    SETTINGS_CHANGED = "settings.changed", _("settings changed")
    DRIVER_DECIDED = "driver.decided", _("approval of a driver changed")
    DATABASE_RESTORED = "database.restored", _("database restored")
    PERMISSION_REFUSED = "permission.refused", _("page of the administration refused")


class SecurityTransport(models.TextChoices):
    PAGE = "page", _("page")
    REST = "rest", _("REST")
    ADMIN = "admin", _("administration")
    # A command, the dispatcher or a socket.
    SERVER = "server", _("server")


class SecurityEvent(InsertOnly):
    """One event, or several alike of one minute. Written by `stepper.security_log` alone, pruned by age.

    Neither foreign key is a constraint: the log outlives the accounts it names, and their deletion does not write here.
    """

    # Indexed for pruning and the administration's filter by time.
    at = models.DateTimeField(_("time"), default=timezone.now, db_index=True)
    event = models.CharField(_("event"), max_length=40)
    actor = models.ForeignKey(
        User,
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        related_name="+",
        verbose_name=_("actor"),
        help_text=_("Who did it, as far as they had signed in."),
    )
    subject = models.ForeignKey(
        User,
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        # Part of an index below.
        db_index=False,
        related_name="+",
        verbose_name=_("account"),
        help_text=_("Whose account it is about."),
    )
    # Of what was typed where no account has it. Not the text: people type their password into the wrong field.
    login_digest = models.CharField(_("digest of the login"), max_length=32, default="", blank=True)
    address = models.CharField(_("network address"), max_length=45, default="", blank=True)
    transport = models.CharField(
        _("by way of"), max_length=10, choices=SecurityTransport, default=SecurityTransport.SERVER
    )
    count = models.PositiveIntegerField(_("times"), default=1, help_text=_("Alike within a minute of the first."))
    details = PlainTextField(_("details"), max_length=500, default="", blank=True)

    class Meta:
        verbose_name = _("security event")
        verbose_name_plural = _("security log")
        # Nobody can be given the right to add, change or delete one.
        default_permissions = ["view"]
        indexes = [
            models.Index(fields=["subject", "-id"], name="securityevent_subject"),
            models.Index(fields=["address", "-id"], name="securityevent_address"),
        ]

    def __str__(self) -> str:
        return f"{self.event} #{self.pk}"
