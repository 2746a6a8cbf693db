"""Two-step sign-in: setting up an authenticator app, the recovery codes, and taking all of it away.

Passkeys are `stepper.accounts.passkeys`. Whoever sets the first factor up or takes one away is signed out everywhere
else, programs too. So every session of an account with a second factor was opened with one, or is the one that set it
up, and whether staff's rights count is a property of the account (`User.may_act_as_staff`).
"""

import base64
from typing import NamedTuple

from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from allauth.mfa.utils import decrypt, encrypt
from django.contrib.sessions.backends.base import SessionBase
from django.utils.translation import gettext_lazy as _

from stepper import limits, security_log
from stepper.accounts import factor_mails, sessions
from stepper.accounts.codes import LAST_STEP, authenticators_of, find_step, has_app, has_second_factor
from stepper.accounts.confirmation import require_confirmed
from stepper.accounts.factor_adapter import SecretUnreadable
from stepper.db.transactions import in_transaction
from stepper.errors import Conflict, InvalidInput
from stepper.models import SecurityEventCode, User

# In the session, encrypted: the secret that was shown and is not confirmed by a code yet.
PENDING_SECRET = "second_factor_secret"  # noqa: S105 - the name of a key


class Offered(NamedTuple):
    """A secret that counts once a code made from it is entered."""

    secret: str
    # The QR code, as the address of an image.
    image: str

    @property
    def groups(self) -> str:
        """The secret in groups of four, to be typed."""
        return " ".join(self.secret[at : at + 4] for at in range(0, len(self.secret), 4))


def offer_secret(user: User, session: SessionBase) -> Offered:
    """Return the secret that this session sets up; the same until it is confirmed, so that a page can be reloaded.

    Raises:
        ConfirmationRequired, NothingToConfirmWith: as `require_confirmed`.
        Conflict: second_factor.exists.
    """
    require_confirmed(session, user)
    if has_app(user):
        raise _exists()
    secret = _pending_secret(session)
    if secret is None:
        secret = generate_totp_secret()
        session[PENDING_SECRET] = encrypt(secret)
    adapter = get_adapter()
    svg = adapter.build_totp_svg(adapter.build_totp_url(user, secret))
    return Offered(secret, f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}")


def _pending_secret(session: SessionBase) -> str | None:
    stored = session.get(PENDING_SECRET)
    try:
        return decrypt(stored) if stored else None
    except SecretUnreadable:
        return None


def _exists() -> Conflict:
    return Conflict("second_factor.exists", _("An authenticator app is set up already."))


def set_up(user: User, session: SessionBase, code: str) -> list[str]:
    """Add the app with a code made from the secret offered; return the recovery codes if two-step sign-in was off.

    Raises:
        ConfirmationRequired, NothingToConfirmWith: as `require_confirmed`.
        Conflict: second_factor.exists.
        InvalidInput: auth.code_invalid, also where nothing was offered in this session.
        TooManyRequests: rate.limited.
    """
    require_confirmed(session, user)
    limits.count_call("second_factor.set_up", user.pk, setting="changes_per_min")
    if has_app(user):
        raise _exists()
    secret = _pending_secret(session)
    step = find_step(secret, code) if secret is not None else None
    if secret is None or step is None:
        message = _("This code is wrong. Enter the one that the app shows now.")
        raise InvalidInput("auth.code_invalid", message, {"code": [message]})
    recovery_codes = _store(user, session, secret, step)
    del session[PENDING_SECRET]
    return recovery_codes


@in_transaction
def _store(user: User, session: SessionBase, secret: str, step: int) -> list[str]:
    """Store it under the lock of the account; as the first factor with recovery codes, ending the other sessions."""
    User.objects.lock_active(user.pk)
    if has_app(user):
        raise _exists()
    was_on = has_second_factor(user)
    # The code that confirmed it is used up.
    row = TOTP.activate(user, secret).instance
    row.data[LAST_STEP] = step
    row.save(update_fields=["data"])
    factor_mails.tell(user, "app_added")
    return [] if was_on else switch_on(user, session)


def switch_on(user: User, session: SessionBase) -> list[str]:
    """Make the recovery codes that come with the first factor, and end the account's other sessions."""
    recovery_codes = make_recovery_codes(user)
    sessions.end_sessions_of(user.pk, keep=session)
    return recovery_codes


def make_recovery_codes(user: User) -> list[str]:
    """Replace the recovery codes of an account, whose row is locked."""
    authenticators_of(user.pk).filter(type=Authenticator.Type.RECOVERY_CODES).delete()
    recovery_codes: list[str] = RecoveryCodes.activate(user).generate_codes()
    return recovery_codes


def count_recovery_codes(user: User) -> int:
    """Return how many recovery codes have not been used; none can be where SECRET_KEY is another one now."""
    row = authenticators_of(user.pk).filter(type=Authenticator.Type.RECOVERY_CODES).first()
    try:
        return len(RecoveryCodes(row).get_unused_codes()) if row is not None else 0
    except SecretUnreadable:
        return 0


def renew_recovery_codes(user: User, session: SessionBase) -> list[str]:
    """Make new recovery codes, with which the old ones end, and return them.

    Raises:
        ConfirmationRequired, NothingToConfirmWith: as `require_confirmed`.
        Conflict: second_factor.missing.
        TooManyRequests: rate.limited.
    """
    require_confirmed(session, user)
    limits.count_call("second_factor.recovery_codes", user.pk, setting="changes_per_min")
    return _renew(user)


@in_transaction
def _renew(user: User) -> list[str]:
    User.objects.lock_active(user.pk)
    if not has_second_factor(user):
        raise _missing()
    recovery_codes = make_recovery_codes(user)
    security_log.record(SecurityEventCode.RECOVERY_CODES_RENEWED, subject_id=user.pk)
    return recovery_codes


def _missing() -> Conflict:
    return Conflict("second_factor.missing", _("Two-step sign-in is off."))


def remove_app(user: User, session: SessionBase) -> None:
    """Remove the authenticator app of an account that goes on with passkeys, and end its other sessions.

    Raises:
        ConfirmationRequired, NothingToConfirmWith: as `require_confirmed`.
        Conflict: second_factor.missing, there is no app; second_factor.only_app, there are no passkeys.
        TooManyRequests: rate.limited.
    """
    require_confirmed(session, user)
    limits.count_call("second_factor.remove_app", user.pk, setting="changes_per_min")
    _remove_app(user, session)


@in_transaction
def _remove_app(user: User, session: SessionBase) -> None:
    User.objects.lock_active(user.pk)
    types = set(authenticators_of(user.pk).values_list("type", flat=True))
    if Authenticator.Type.TOTP not in types:
        raise Conflict("second_factor.missing", _("No authenticator app is set up."))
    if Authenticator.Type.WEBAUTHN not in types:
        raise Conflict("second_factor.only_app", _("You have no passkey. Switch two-step sign-in off instead."))
    authenticators_of(user.pk).filter(type=Authenticator.Type.TOTP).delete()
    sessions.end_sessions_of(user.pk, keep=session)
    factor_mails.tell(user, "app_removed")


def turn_off(user: User, session: SessionBase) -> None:
    """Switch two-step sign-in off: remove app, passkeys and recovery codes, and end the account's other sessions.

    Raises:
        ConfirmationRequired, NothingToConfirmWith: as `require_confirmed`.
        Conflict: second_factor.missing.
        TooManyRequests: rate.limited.
    """
    require_confirmed(session, user)
    limits.count_call("second_factor.turn_off", user.pk, setting="changes_per_min")
    remove(user.pk, keep=session)


def remove_by_staff(user_id: int, staff: User) -> None:
    """Take away app and passkeys of somebody who has lost them and their recovery codes, and end their sessions.

    Raises:
        NotFound: user.not_found.
        NotPermitted: auth.forbidden, the staff may not, or the account is a colleague's who has rights that they lack.
        Conflict: second_factor.missing.
    """
    sessions.require_may_change(user_id, staff)
    remove(user_id)


@in_transaction
def remove(user_id: int, *, keep: SessionBase | None = None) -> None:
    """Delete app, passkeys and recovery codes, and end the account's sessions but the one to keep.

    Raises:
        Conflict: second_factor.missing.
    """
    user = User.objects.select_for_update(no_key=True).get(pk=user_id)
    if not has_second_factor(user):
        raise _missing()
    authenticators_of(user_id).delete()
    sessions.end_sessions_of(user_id, keep=keep)
    factor_mails.tell(user, "off")


def require_own_to_demand(user: User) -> None:
    """Refuse to demand a second factor of all staff on behalf of somebody who has none, whom it would lock out.

    Raises:
        Conflict: second_factor.missing.
    """
    if not has_second_factor(user):
        raise Conflict("second_factor.missing", _("Set up two-step sign-in for yourself first, on your account page."))
