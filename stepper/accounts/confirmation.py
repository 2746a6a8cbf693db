"""Confirming who it is: what changes how an account is opened needs a recent sign-in, or the password once more.

One rule for pages, REST and the administration: the session keeps when its user last proved themselves with the
password, by signing in or by `confirm`; verbs and pages that need it call `require_confirmed`. Who has no password
proves themselves by a code to their phone, as they sign in (`stepper.accounts.phone_changes.confirm_own`), once the
number is proved to be theirs; staff never do. Who has neither cannot, so nothing is open to them: they set a password
first, by a mail or with the help of staff.
"""

import time

from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from stepper.accounts import codes, sign_in
from stepper.errors import InvalidInput, NotPermitted
from stepper.models import User
from stepper.sms import sending
from stepper.staff_words import OR_ASK, ask_staff

# When the password, or a code to the phone, was last checked in this session, Unix time.
CONFIRMED_AT = "confirmed_at"
CONFIRMED_FOR_S = 15 * 60
PASSKEY_REFUSED = _("The passkey was not accepted. Try again, or enter a code.")
# A form that was opened in time may be sent for so long.
FORM_OPEN_S = 15 * 60


class ConfirmationRequired(NotPermitted):
    """The user has to enter their password; pages lead to the form for it."""

    def __init__(self) -> None:
        super().__init__("auth.confirmation_required", _("Enter your password to confirm that it is you."))


class NothingToConfirmWith(NotPermitted):
    """The user has neither a password nor a phone that gets codes; pages lead to the page that says how to get one."""

    def __init__(self) -> None:
        super().__init__("auth.no_password", _("Your account has no password to confirm with. Set one first."))
        ask_staff(self, OR_ASK)


def confirms_by_code(user: User) -> bool:
    """Say whether a user proves themselves by a code to their phone: they have no password. Staff never do."""
    return (
        not user.has_usable_password()
        and bool(user.phone)
        and not (user.is_staff or user.is_superuser)
        and sending.is_offered()
    )


def note_confirmed(session: SessionBase) -> None:
    """Note that the password, or a code to the phone, was checked in this session just now."""
    session[CONFIRMED_AT] = int(time.time())


def forget_unless_by_code(session: SessionBase, user: User) -> None:
    """Take back what signing in noted where it was a code by SMS alone, and the account has a password to ask for."""
    if user.has_usable_password():
        session.pop(CONFIRMED_AT, None)


def is_confirmed(session: SessionBase, user: User, *, opens_form: bool = False) -> bool:
    """Say whether the user of a session has proved themselves recently.

    `opens_form`: for a form that will be sent later, so within CONFIRMED_FOR_S; what is sent has FORM_OPEN_S more.
    """
    if not (user.has_usable_password() or confirms_by_code(user)):
        return False
    if not user.has_usable_password() and not user.has_verified_phone:
        # The code that confirms will prove the number too; until then nobody knows whose it is.
        return False
    confirmed_at = session.get(CONFIRMED_AT)
    allowed_s = CONFIRMED_FOR_S if opens_form else CONFIRMED_FOR_S + FORM_OPEN_S
    # A time to come is that of a clock which was put right.
    return isinstance(confirmed_at, int) and 0 <= time.time() - confirmed_at <= allowed_s


def require_confirmed(session: SessionBase, user: User, *, opens_form: bool = False) -> None:
    """Refuse unless the user of this session has proved themselves recently.

    Raises:
        ConfirmationRequired: auth.confirmation_required.
        NothingToConfirmWith: auth.no_password.
    """
    if not (user.has_usable_password() or confirms_by_code(user)):
        raise NothingToConfirmWith()
    if not is_confirmed(session, user, opens_form=opens_form):
        raise ConfirmationRequired()


def confirm(
    request: HttpRequest, session: SessionBase, user: User, password: str, code: str = "", passkey: str = ""
) -> None:
    """Check the password of a signed-in user, and the second factor where they have one; note it in their session.

    `passkey`: what the browser answered to `passkey_proofs.make_request`, in place of a code.

    Both are counted like a sign-in. `request` says from which device and address they are tried.

    Raises:
        NothingToConfirmWith: auth.no_password.
        InvalidInput: auth.password_wrong, auth.code_required, auth.code_invalid.
        TooManyRequests: rate.limited, too many wrong passwords or codes.
        RedisError: the counters of sign-ins are away.
    """
    if not user.has_usable_password():
        raise NothingToConfirmWith()
    if not sign_in.check_password(request, user, password):
        message = _("This is not your password.")
        raise InvalidInput("auth.password_wrong", message, {"password": [message]})
    if codes.has_second_factor(user):
        if not (code or passkey):
            message = _("Enter the code of your authenticator app, or a recovery code.")
            raise InvalidInput("auth.code_required", message, {"code": [message]})
        if not sign_in.check_factor(request, user, code=code, passkey=passkey):
            message = PASSKEY_REFUSED if passkey else _("This code is wrong or was used before.")
            raise InvalidInput("auth.code_invalid", message, {"code": [message]})
    note_confirmed(session)
