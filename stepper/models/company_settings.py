"""Settings that say who the company is and how people reach its staff."""

from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _
from msgspec import Struct
from phonenumber_field.modelfields import PhoneNumberField

from stepper.texts import PlainTextField


class Support(Struct, frozen=True):
    """How staff are reached. Empty strings: not in this way. `phone_text` is `phone` as people write it."""

    phone: str = ""
    phone_text: str = ""
    whatsapp_url: str = ""
    telegram_url: str = ""
    hours: str = ""

    def __bool__(self) -> bool:
        return bool(self.phone or self.whatsapp_url or self.telegram_url)


class SupportSettings(models.Model):
    """The contact that pages show wherever they send people to staff."""

    class Meta:
        abstract = True

    support_phone = PhoneNumberField(
        _("phone of support"),
        blank=True,
        default="",
        db_default="",
        help_text=_("Shown wherever a page sends people to staff, with what else is filled in here."),
    )
    support_whatsapp = PhoneNumberField(_("WhatsApp of support"), blank=True, default="", db_default="")
    support_telegram = models.CharField(
        _("Telegram of support"),
        max_length=32,
        blank=True,
        default="",
        db_default="",
        validators=[RegexValidator(r"^[A-Za-z][A-Za-z0-9_]{4,31}\Z", _("The user name, without @."))],
        help_text=_("The user name, without @."),
    )
    support_hours = PlainTextField(
        _("hours of support"),
        max_length=60,
        blank=True,
        default="",
        db_default="",
        help_text=_("As people read it in any language, for example 08:00–22:00."),
    )

    @property
    def support(self) -> Support:
        phone, whatsapp = self.support_phone, self.support_whatsapp
        return Support(
            phone=phone.as_e164 if phone else "",
            phone_text=phone.as_international if phone else "",
            whatsapp_url=f"https://wa.me/{whatsapp.as_e164.lstrip('+')}" if whatsapp else "",
            telegram_url=f"https://t.me/{self.support_telegram}" if self.support_telegram else "",
            hours=self.support_hours,
        )


class CompanySettings(models.Model):
    """Who issues receipts."""

    class Meta:
        abstract = True

    company_name = PlainTextField(
        _("name of the company"),
        max_length=120,
        blank=True,
        default="",
        db_default="",
        help_text=_("Stands on receipts, with what else is filled in here."),
    )
    company_number = PlainTextField(
        _("company's tax number (BIN, IIN)"), max_length=30, blank=True, default="", db_default=""
    )
    company_address = PlainTextField(_("address of the company"), max_length=200, blank=True, default="", db_default="")
