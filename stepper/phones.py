import phonenumbers
from django.conf import settings


def normal_phone(text: str) -> str | None:
    """E.164 of a number as people write it ("8 701 …" is Kazakhstan's); None: not a phone number."""
    try:
        number = phonenumbers.parse(text, settings.PHONENUMBER_DEFAULT_REGION)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
