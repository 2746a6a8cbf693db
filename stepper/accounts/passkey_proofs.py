"""Passkeys as a second factor: what the browser is asked to sign (WebAuthn), and checking what it signed.

allauth and python-fido2 do the cryptography, in allauth's tables; adding and removing is `stepper.accounts.passkeys`,
how often somebody may try `stepper.accounts.sign_in`. A challenge is kept in the session it was made for and is gone
once it was answered. What is signed names the page's host, so a page that looks like ours gets nothing that we take.
"""

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from allauth.core import context
from allauth.mfa import app_settings
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.internal import auth
from django.conf import settings
from django.core.exceptions import ValidationError
from fido2.webauthn import CollectedClientData

from stepper.accounts.codes import authenticators_of
from stepper.db.transactions import in_transaction
from stepper.models import User

# Of what a browser answers with: some 1,500 characters, with an attestation that nobody asks for some thousands.
MOST_CHARACTERS = 16_384
# What the parsers of fido2 and its CBOR raise for what is no answer of an authenticator.
_UNREADABLE = (
    *(ValidationError, ValueError, TypeError, LookupError, AttributeError, AssertionError, ArithmeticError),
    *(struct.error, RecursionError, NotImplementedError),
)


class NotGenuine(Exception):
    """What a browser sent is no answer of an authenticator, or not to the challenge of this session."""


def are_offered() -> bool:
    """Say whether passkeys can be added and used: under HTTPS alone, as browsers have it."""
    return Authenticator.Type.WEBAUTHN in app_settings.SUPPORTED_TYPES


def has_passkey(user: User) -> bool:
    return authenticators_of(user.pk).filter(type=Authenticator.Type.WEBAUTHN).exists()


@contextmanager
def reading() -> Iterator[None]:
    """Raise NotGenuine for whatever the parsers and checks of allauth and fido2 raise."""
    try:
        yield
    except _UNREADABLE as error:
        raise NotGenuine from error


def read_answer(text: str) -> dict[str, Any]:
    """Return what the browser answered. Raises NotGenuine."""
    with reading():
        if len(text) > MOST_CHARACTERS:
            raise ValueError
        answer: dict[str, Any] = dict(json.loads(text))
    return answer


def make_request(user: User) -> str | None:
    """Return what to hand to `navigator.credentials.get`, as JSON; None: no passkey of the account works here.

    The challenge in it is kept in the session of the present request, in place of the one before.
    """
    if not (are_offered() and has_passkey(user)):
        return None
    return json.dumps(auth.begin_authentication(user))


@in_transaction
def use(user: User, text: str) -> bool:
    """Check the browser's answer to `make_request`; False: by no passkey of the account, or it was used before."""
    if not are_offered():
        return False
    # Locked: one that is being removed is not used.
    list(authenticators_of(user.pk).filter(type=Authenticator.Type.WEBAUTHN).select_for_update())
    try:
        answer = read_answer(text)
        with reading():
            require_our_page(auth.parse_authentication_response(answer).response.client_data)
            row = auth.complete_authentication(user, answer)
    except NotGenuine:
        return False
    row.record_usage()
    return True


def require_our_page(signed: CollectedClientData) -> None:
    """Require that the browser was on a page of this very host: python-fido2 also takes those of its subdomains.

    Raises ValueError.
    """
    # Under HTTPS alone are passkeys offered.
    if signed.origin not in (f"https://{context.request.get_host()}", *settings.CSRF_TRUSTED_ORIGINS):
        raise ValueError(signed.origin)
