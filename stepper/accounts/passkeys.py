"""The passkeys of an account: adding, renaming and removing them. Each is a second factor like an authenticator app.

As with the app (`stepper.accounts.second_factor`), the first factor ends the account's other sessions and comes with
recovery codes; removing one ends them as well, as the device may be in somebody else's hands.
"""

import json
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.internal import auth
from django.contrib.sessions.backends.base import SessionBase
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _
from fido2.utils import websafe_decode

from stepper import limits
from stepper.accounts import factor_mails, second_factor, sessions
from stepper.accounts.codes import authenticators_of, has_second_factor
from stepper.accounts.confirmation import require_confirmed
from stepper.accounts.passkey_proofs import NotGenuine, are_offered, read_answer, reading, require_our_page
from stepper.db.transactions import in_transaction
from stepper.errors import Conflict, InvalidInput, NotFound
from stepper.models import User
from stepper.texts import clean_line

# All of them are named to the browser at each sign-in.
MOST = 10
NAME_LENGTH = 60


def passkeys_of(user: User) -> QuerySet[Authenticator]:
    return authenticators_of(user.pk).filter(type=Authenticator.Type.WEBAUTHN).order_by("pk")


def find(user: User, passkey_id: int) -> Authenticator:
    """Return a passkey of the account. Raises NotFound: passkey.not_found."""
    row = passkeys_of(user).filter(pk=passkey_id).first()
    if row is None:
        raise NotFound("passkey.not_found", _("This passkey was removed."))
    return row


def offer(user: User, session: SessionBase) -> str:
    """Return what to hand to `navigator.credentials.create`, as JSON; the challenge in it is kept in the session.

    Raises:
        ConfirmationRequired, NothingToConfirmWith: as `require_confirmed`.
        Conflict: passkey.not_offered, passkey.too_many.
    """
    require_confirmed(session, user)
    _require_offered()
    _require_room(user)
    return json.dumps(auth.begin_registration(user, passwordless=False))


def add(user: User, session: SessionBase, *, name: str, answer: str) -> list[str]:
    """Store the passkey that the browser made for `offer`; return the recovery codes if two-step sign-in was off.

    `name` is empty: it is called by its number.

    Raises:
        ConfirmationRequired, NothingToConfirmWith: as `require_confirmed`.
        Conflict: passkey.not_offered, passkey.too_many.
        InvalidInput: passkey.invalid, not an answer to what was offered in this session.
        TooManyRequests: rate.limited.
    """
    require_confirmed(session, user)
    _require_offered()
    limits.count_call("passkey.add", user.pk, setting="changes_per_min")
    try:
        made = read_answer(answer)
        with reading():
            parsed = auth.parse_registration_response(made)
            require_our_page(parsed.response.client_data)
            auth.complete_registration(made)
            # What was read, written anew: what else is in the answer is anybody's.
            kept = {"id": parsed.id, "rawId": parsed.id, "type": "public-key", "response": dict(parsed.response)}
    except NotGenuine as error:
        raise InvalidInput("passkey.invalid", _("The passkey could not be added. Try again.")) from error
    return _store(user, session, _clean_name(name), kept)


@in_transaction
def _store(user: User, session: SessionBase, name: str, credential: dict[str, Any]) -> list[str]:
    """Store it under the lock of the account; as the first factor with recovery codes, ending the other sessions."""
    User.objects.lock_active(user.pk)
    _require_room(user)
    if auth.get_authenticator_by_credential_id(user, websafe_decode(credential["id"])) is not None:
        raise InvalidInput("passkey.invalid", _("The passkey could not be added. Try again."))
    was_on = has_second_factor(user)
    auth.WebAuthn.add(
        user, name or str(_("Passkey %(number)d") % {"number": passkeys_of(user).count() + 1}), credential
    )
    factor_mails.tell(user, "passkey_added")
    return [] if was_on else second_factor.switch_on(user, session)


def rename(user: User, session: SessionBase, passkey_id: int, name: str) -> None:
    """Call a passkey by another name.

    Raises:
        ConfirmationRequired, NothingToConfirmWith: as `require_confirmed`.
        NotFound: passkey.not_found.
        InvalidInput: input.invalid, no name.
    """
    require_confirmed(session, user)
    name = _clean_name(name)
    if not name:
        message = _("Enter a name.")
        raise InvalidInput("input.invalid", message, {"name": [message]})
    _rename(user, passkey_id, name)


@in_transaction
def _rename(user: User, passkey_id: int, name: str) -> None:
    User.objects.lock_active(user.pk)
    row = find(user, passkey_id)
    row.data["name"] = name
    row.save(update_fields=["data"])


def remove(user: User, session: SessionBase, passkey_id: int) -> bool:
    """Remove a passkey and end the account's other sessions; return whether two-step sign-in is off now.

    With the last factor the recovery codes go, too.

    Raises:
        ConfirmationRequired, NothingToConfirmWith: as `require_confirmed`.
        NotFound: passkey.not_found.
        TooManyRequests: rate.limited.
    """
    require_confirmed(session, user)
    limits.count_call("passkey.remove", user.pk, setting="changes_per_min")
    return _remove(user, session, passkey_id)


@in_transaction
def _remove(user: User, session: SessionBase, passkey_id: int) -> bool:
    User.objects.lock_active(user.pk)
    find(user, passkey_id).delete()
    is_off = not has_second_factor(user)
    if is_off:
        authenticators_of(user.pk).delete()
    sessions.end_sessions_of(user.pk, keep=session)
    factor_mails.tell(user, "off" if is_off else "passkey_removed")
    return is_off


def not_offered() -> Conflict:
    return Conflict("passkey.not_offered", _("Passkeys need a secure connection (https), which is not set up here."))


def _require_offered() -> None:
    if not are_offered():
        raise not_offered()


def _require_room(user: User) -> None:
    if passkeys_of(user).count() >= MOST:
        raise Conflict("passkey.too_many", _("You have as many passkeys as can be kept. Remove one first."))


def _clean_name(name: str) -> str:
    return clean_line(name)[:NAME_LENGTH]
