"""Phone numbers as people write them ("8 701 …" is Kazakhstan's), in the form in which they are stored (E.164)."""

import phonenumbers
from django.conf import settings

# What fields for a number show while they are empty.
EXAMPLE_PHONE = "+7 701 234 56 78"


def normal_phone(text: str) -> str | None:
    """Write a phone number as it is stored; None: it is not a valid one."""
    number = _parse(text)
    return _write(number) if number is not None and phonenumbers.is_valid_number(number) else None


def normal_phone_prefix(text: str) -> str | None:
    """Write the beginning of a phone number as it is stored, whether more digits follow or not; None: it is none."""
    number = _parse(text)
    return _write(number) if number is not None else None


def _parse(text: str) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(text, settings.PHONENUMBER_DEFAULT_REGION)
    except phonenumbers.NumberParseException:
        return None


def _write(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
