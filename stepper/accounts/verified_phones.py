"""Whether booking needs a number that a code has proved."""

from django.utils.translation import gettext_lazy as _

from stepper.errors import NotPermitted
from stepper.models import ServiceSettings, User
from stepper.sms import sending


class PhoneUnverified(NotPermitted):
    """The user's number has to be proved by a code; pages lead to the page for it."""

    def __init__(self) -> None:
        super().__init__("phone.unverified", _("Confirm your phone number first: we send a code to it."))


def require_verified(user: User, settings: ServiceSettings) -> None:
    """Refuse somebody whose number is not verified, where staff ask for it and SMS can be sent.

    Raises:
        PhoneUnverified: phone.unverified.
    """
    if settings.phones_verified_to_book and sending.is_offered() and not user.has_verified_phone:
        raise PhoneUnverified()
