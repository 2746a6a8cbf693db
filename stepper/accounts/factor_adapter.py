"""allauth's adapter for second factors: secrets are encrypted in the database, and named so that people find them."""

import base64

from allauth.mfa import app_settings
from allauth.mfa.adapter import DefaultMFAAdapter
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

_PURPOSE = b"stepper.accounts.factor_adapter"


class SecretUnreadable(Exception):
    """A stored secret was encrypted with another SECRET_KEY, or changed."""


class FactorAdapter(DefaultMFAAdapter):
    """Encrypts with a key that is derived from SECRET_KEY: a copy of the database alone makes no codes."""

    def encrypt(self, text: str) -> str:
        return _fernet().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Decrypt what `encrypt` made. Raises SecretUnreadable."""
        try:
            return _fernet().decrypt(encrypted_text.encode()).decode()
        except InvalidToken as error:
            raise SecretUnreadable from error

    def _get_site_name(self) -> str:
        """Name the service to who makes a passkey, whatever name it is reached by."""
        return str(app_settings.TOTP_ISSUER)

    def _get_user_identifier(self, user: object) -> str:
        """Name the account in the authenticator app, and to who chooses a passkey, by what its user signs in with."""
        return str(getattr(user, "email", None) or getattr(user, "phone", None) or user)


def _fernet() -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(settings.SECRET_KEY.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
