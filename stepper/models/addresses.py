"""What was mailed to prove an address: the link of a new one, the code to the present one."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from stepper.models.users import User


class AddressChange(models.Model):
    """A new e-mail address that its owner has yet to confirm; one for a user, the latest."""

    user = models.OneToOneField(User, models.CASCADE, related_name="address_change", verbose_name=_("user"))
    # What it was requested for: another address or password since then makes the link worthless. "": had no address.
    old_email = models.EmailField(_("old e-mail"), blank=True, default="")
    new_email = models.EmailField(_("new e-mail"))
    password_digest = models.CharField(max_length=64)
    token_digest = models.CharField(max_length=64)
    expires_at = models.DateTimeField(_("expires"))

    class Meta:
        verbose_name = _("change of e-mail")
        verbose_name_plural = _("changes of e-mail")

    def __str__(self) -> str:
        return f"{self.user_id}: {self.new_email}"


class AddressCode(models.Model):
    """A code sent to the current address of an account without a password; one for a user, the latest."""

    user = models.OneToOneField(User, models.CASCADE, related_name="address_code", verbose_name=_("user"))
    email = models.EmailField(_("e-mail"))
    code_digest = models.CharField(max_length=64)
    tries = models.PositiveSmallIntegerField(_("tries"), default=0)
    expires_at = models.DateTimeField(_("expires"))

    class Meta:
        verbose_name = _("code by e-mail")
        verbose_name_plural = _("codes by e-mail")

    def __str__(self) -> str:
        return f"{self.user_id}: {self.email}"
