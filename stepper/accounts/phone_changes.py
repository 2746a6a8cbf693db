"""A signed-in user's own number: proving it, proving oneself by it, and changing it.

Changing it takes three things: a proof of who asks (the password and second factor; without a password a fresh code to
the present number), a code sent to the new number, and a note to the old one. Staff change anybody's number in the
administration; it is unverified then.
"""

from django.contrib.sessions.backends.base import SessionBase
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from stepper import security_log
from stepper.accounts import codes, phone_codes, phone_proofs, sign_in
from stepper.accounts.confirmation import PASSKEY_REFUSED, confirms_by_code, note_confirmed, require_confirmed
from stepper.accounts.phone_codes import Sent
from stepper.db.transactions import in_transaction
from stepper.errors import InvalidInput, NotPermitted, Text
from stepper.models import PhonePurpose, SecurityEventCode, User


def send_own_code(request: HttpRequest, user: User, session: SessionBase) -> Sent:
    """Send a code to the account's present number.

    Raises:
        NotPermitted: phone.missing, the account has none.
        ConfirmationRequired, NothingToConfirmWith: as `require_confirmed`, where there is a password.
        Conflict, InvalidInput, TooManyRequests, Unavailable: as `phone_codes.send`.
    """
    if not user.phone:
        raise NotPermitted("phone.missing", _("Your account has no phone number yet."))
    if not confirms_by_code(user):
        require_confirmed(session, user)
    return phone_codes.send(request, user.phone.as_e164, PhonePurpose.OWN, user)


def needs_second_code(user: User) -> bool:
    """Say whether a code by SMS is not enough to confirm: two-step sign-in is on, for a number that is proved."""
    return confirms_by_code(user) and user.has_verified_phone and codes.has_second_factor(user)


def confirm_own(
    request: HttpRequest,
    user: User,
    session: SessionBase,
    token: str,
    code: str,
    *,
    second_code: str = "",
    passkey: str = "",
) -> None:
    """Take the code sent to the account's number: the number is verified, and the user of this session confirmed.

    Where the number was not verified and nobody proved a password, what was from before is removed; this session stays.
    `second_code`: of the authenticator app, where `needs_second_code`, or `passkey`, what the browser answered to
    `passkey_proofs.make_request`; whoever has the SIM card alone confirms nothing.

    Raises:
        ConfirmationRequired, NothingToConfirmWith: as `require_confirmed`, where there is a password.
        InvalidInput: auth.code_required, auth.code_invalid, the second code; as `phone_codes.check`.
        TooManyRequests: as `phone_codes.check` and `sign_in.check_code`.
        NotPermitted: account.inactive.
    """
    by_code = confirms_by_code(user)
    if not by_code:
        require_confirmed(session, user)
    if needs_second_code(user):
        if not (second_code or passkey):
            raise _second_code_refused("auth.code_required", _("Enter the code of your authenticator app."))
        phone = phone_codes.check(token, code, PhonePurpose.OWN, user, uses_up=False)
        if not sign_in.check_factor(request, user, code=second_code, passkey=passkey):
            message = PASSKEY_REFUSED if passkey else _("This code is wrong or was used before.")
            raise _second_code_refused("auth.code_invalid", message)
        phone_codes.use_up(token)
    else:
        phone = phone_codes.check(token, code, PhonePurpose.OWN, user)
    phone_proofs.prove(user.pk, phone, keep=session, has_password=not by_code)
    if not by_code:
        return
    # Staff may have given the account another number since the code was sent.
    if not User.objects.filter(pk=user.pk, phone=phone, phone_verified_at__isnull=False).exists():
        raise phone_codes.code_ended()
    note_confirmed(session)
    security_log.record(SecurityEventCode.CONFIRMED_BY_SMS, subject_id=user.pk)


def _second_code_refused(code: str, message: Text) -> InvalidInput:
    return InvalidInput(code, message, {"second_code": [message]})


def request_change(request: HttpRequest, user: User, session: SessionBase, text: str) -> Sent:
    """Send a code to the number that the account is to have.

    Whether it belongs to another account is not said before its owner has entered the code.

    Raises:
        ConfirmationRequired, NothingToConfirmWith: as `require_confirmed`.
        InvalidInput: input.invalid, no number or the present one; phone.country_refused.
        Conflict, TooManyRequests, Unavailable: as `phone_codes.send`.
    """
    require_confirmed(session, user)
    phone = phone_codes.read_phone(text)
    if user.phone and user.phone.as_e164 == phone:
        raise phone_codes.invalid_phone(_("This is your number already."))
    return phone_codes.send(request, phone, PhonePurpose.NEW, user)


def confirm_change(user: User, session: SessionBase, token: str, code: str) -> None:
    """Give the account the number whose code this is, and tell the old one.

    Raises:
        ConfirmationRequired, NothingToConfirmWith: as `require_confirmed`.
        InvalidInput: phone.taken, another account has the number; as `phone_codes.check`.
        TooManyRequests: as `phone_codes.check`.
        NotPermitted: account.inactive.
    """
    require_confirmed(session, user)
    _change(user.pk, phone_codes.check(token, code, PhonePurpose.NEW, user))


@in_transaction
def _change(user_id: int, phone: str) -> None:
    """Store the number, and have the one before told."""
    user = User.objects.lock_active(user_id)
    # A number that nobody has proved may be anybody's.
    old = user.phone.as_e164 if user.phone and user.has_verified_phone else ""
    user.phone, user.phone_verified_at = phone, timezone.now()
    try:
        with transaction.atomic():
            user.save(update_fields=["phone", "phone_verified_at"])
    except IntegrityError as error:
        message = _("Another account has this number. Sign in with it instead.")
        raise InvalidInput("phone.taken", message, {"code": [message]}) from error
    security_log.record(SecurityEventCode.PHONE_VERIFIED, subject_id=user.pk)
    if old:
        text = _("StepperGO: your account has another phone number now.")
        phone_codes.tell(old, text, language=user.offered_language, to_staff=phone_codes.NOT_YOU)
