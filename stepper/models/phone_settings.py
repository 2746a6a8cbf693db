"""What staff tune of SMS: how many are sent, to which countries, and whether booking needs a proven phone."""

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from .dispatch_settings import between


def parse_country_codes(text: str) -> frozenset[int]:
    """Parse calling codes such as "7, 996".

    Raises:
        ValueError: none, or not numbers of one to three digits
    """
    codes = frozenset(int(part) for part in text.replace("+", "").split(","))
    if any(not 1 <= code <= 999 for code in codes):
        raise ValueError(text)
    return codes


def validate_country_codes(text: str) -> None:
    try:
        parse_country_codes(text)
    except ValueError:
        raise ValidationError(_("Write calling codes with commas between, like “7, 996”.")) from None


class PhoneSettings(models.Model):
    """SMS, each of which costs money; limits of a day hold over all processes and restarts.

    A number can get `sms_per_number_day` of each of four kinds, so that none keeps another from coming: codes, links to
    trips, news of trips, notes of security (at least five).
    """

    class Meta:
        abstract = True

    phones_verified_to_book = models.BooleanField(
        _("phones must be verified to book"),
        default=False,
        db_default=False,
        help_text=_("By a code that we send there. Without an SMS provider this changes nothing."),
    )
    sms_country_codes = models.CharField(
        _("codes are sent to numbers of these calling codes"),
        max_length=100,
        default="7, 996, 998",
        db_default="7, 996, 998",
        validators=[validate_country_codes],
        help_text=_("Kazakhstan 7, Kyrgyzstan 996, Uzbekistan 998. Others are refused: SMS abroad are dear."),
    )
    sms_per_number_day = models.PositiveIntegerField(
        _("codes a day to one number"),
        default=5,
        db_default=5,
        validators=between(1, 100),
        help_text=_(
            "As many links to trips, news of trips and, but at least five, notes of security, each counted by itself."
        ),
    )
    sms_per_network_day = models.PositiveIntegerField(
        _("codes a day for one network address"),
        default=20,
        db_default=20,
        validators=between(1, 100_000),
        help_text=_("Customers of a mobile carrier may share one. As many links to trips for one account."),
    )
    sms_per_day = models.PositiveIntegerField(
        _("SMS a day in all"),
        default=2000,
        db_default=2000,
        validators=between(1, 10_000_000),
        help_text=_(
            "Bounds what an attack can cost: links and news stop at half of it, codes at all of it, until a day has "
            "passed. Only notes of security go on, to the owners of accounts that were changed."
        ),
    )
    wrong_codes_per_day = models.PositiveIntegerField(
        _("wrong codes a day for one number"), default=10, db_default=10, validators=between(1, 100)
    )
