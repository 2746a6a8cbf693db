"""Settings that say who the company is, how people reach its staff and who gets its figures."""

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator, URLValidator, validate_email
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

    @property
    def lines(self) -> list[str]:
        """All of it as text, for mails."""
        return [one for one in (self.phone_text, self.whatsapp_url, self.telegram_url, self.hours) if one]

    @property
    def in_short(self) -> str:
        """Return one way to reach them, and when, for what has little room."""
        way = self.phone_text or self.whatsapp_url or self.telegram_url
        return f"{way} ({self.hours})" if way and self.hours else way


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
    emergency_number = models.CharField(
        _("emergency number"),
        max_length=16,
        default="112",
        db_default="112",
        validators=[RegexValidator(r"^[+]?[0-9]{2,15}\Z", _("Digits only."))],
        help_text=_("Called from the safety button of a trip."),
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


# Mails of a night; more people are better reached by an address of their own mail system.
MOST_ADDRESSES = 20


def split_addresses(text: str) -> list[str]:
    return [address for address in (part.strip() for part in text.replace(";", ",").split(",")) if address]


def validate_addresses(text: str) -> None:
    """Refuse what is not a list of e-mail addresses. Raises ValidationError."""
    addresses = split_addresses(text)
    for address in addresses:
        validate_email(address)
    if len(addresses) > MOST_ADDRESSES:
        raise ValidationError(_("At most %(most)d addresses.") % {"most": MOST_ADDRESSES})


class CompanySettings(models.Model):
    """Who issues receipts, under which terms, and who gets the figures of each day."""

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
    terms_url = models.CharField(
        _("address of the terms of use"),
        max_length=200,
        blank=True,
        default="",
        db_default="",
        validators=[URLValidator(schemes=["https"])],
        help_text=_("Linked where people sign up; empty: no terms are mentioned."),
    )
    privacy_url = models.CharField(
        _("address of the privacy page"),
        max_length=200,
        blank=True,
        default="",
        db_default="",
        validators=[URLValidator(schemes=["https"])],
        help_text=_("Empty: the built-in page, which says what is kept and for how long by these settings."),
    )
    report_recipients = PlainTextField(
        _("report of the day goes to"),
        max_length=500,
        blank=True,
        default="",
        db_default="",
        validators=[validate_addresses],
        help_text=_("E-mail addresses with commas between them; each morning they get the figures of the day before."),
    )

    @property
    def report_addresses(self) -> list[str]:
        return split_addresses(self.report_recipients)
