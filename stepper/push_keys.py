"""The key that signs pushes (VAPID, RFC 8292): a number of the curve P-256, as base64url."""

import base64
import secrets
from typing import Final

from django.core.exceptions import ImproperlyConfigured

_BYTES: Final = 32
# The order of the curve (FIPS 186-4): private keys are less.
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def from_base64(text: str) -> bytes:
    """Decode base64url without its padding. Raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def to_base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def make_vapid_key() -> str:
    """Make a private key."""
    number = secrets.randbelow(_ORDER - 1) + 1
    return to_base64(number.to_bytes(_BYTES))


def read_vapid_key(text: str) -> str:
    """Return the key as it is written; "" for none.

    Raises:
        ImproperlyConfigured: it is no such key. It is not repeated.
    """
    if not text:
        return ""
    try:
        raw = from_base64(text)
    except ValueError:
        raw = b""
    if len(raw) != _BYTES or not 0 < int.from_bytes(raw) < _ORDER:
        raise ImproperlyConfigured("VAPID_PRIVATE_KEY is no key: make one with `manage.py vapid_key`.")
    return text
