"""The mail that tells somebody that the second factor of their account changed, whoever changed it."""

from typing import Literal

from stepper.mail import sending
from stepper.models import User

Change = Literal["app_added", "app_removed", "passkey_added", "passkey_removed", "off"]


def tell(user: User, change: Change) -> None:
    """Mail the owner once this commits, where the account has an address and there is a mail server."""
    if user.email and sending.is_offered():
        context = {"user": user, "change": change}
        sending.send("factor_changed", user.email, language=user.offered_language, context=context)
