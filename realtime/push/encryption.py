"""Encrypting a push for one browser (RFC 8291, aes128gcm) and signing for its service who sends it (RFC 8292).

Made of cryptography's and PyJWT's parts: pywebpush needs http-ece, which is published without a wheel, and the locks
name nothing that has to be built.
"""

import functools
import os
import struct
import time
from typing import Final
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings

from stepper.push_keys import from_base64, to_base64

# Push services take no more; a record of this size holds the whole message (RFC 8291, section 4).
RECORD_BYTES: Final = 4096
# What header, key, delimiter and tag leave of it.
MOST_BYTES: Final = RECORD_BYTES - 86 - 17
AUTH_BYTES: Final = 16
SIGNED_FOR_S: Final = 12 * 3600


def read_public_key(p256dh: str) -> ec.EllipticCurvePublicKey:
    """Read a browser's key. Raises ValueError: it is no point of the curve P-256."""
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), from_base64(p256dh))


def encrypt(
    text: bytes,
    *,
    p256dh: str,
    auth: str,
    private_key: ec.EllipticCurvePrivateKey | None = None,
    salt: bytes | None = None,
) -> bytes:
    """Encrypt for the browser whose keys these are; `private_key` and `salt` are fresh ones unless given.

    Raises:
        ValueError: the text is longer than MOST_BYTES, or a key is none.
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"a push holds {MOST_BYTES} bytes")
    private_key = private_key or ec.generate_private_key(ec.SECP256R1())
    salt = salt or os.urandom(16)
    browser = read_public_key(p256dh)
    theirs, ours = _point(browser), _point(private_key.public_key())
    shared = private_key.exchange(ec.ECDH(), browser)
    secret = _derive(shared, salt=from_base64(auth), info=b"WebPush: info\x00" + theirs + ours, length=32)
    key = _derive(secret, salt=salt, info=b"Content-Encoding: aes128gcm\x00", length=16)
    nonce = _derive(secret, salt=salt, info=b"Content-Encoding: nonce\x00", length=12)
    # One record, so its delimiter is that of the last one (RFC 8188, section 2).
    sealed = AESGCM(key).encrypt(nonce, text + b"\x02", None)
    return salt + struct.pack("!LB", RECORD_BYTES, len(ours)) + ours + sealed


def _derive(secret: bytes, *, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length=length, salt=salt, info=info).derive(secret)


def _point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


# Who sends it


@functools.lru_cache(maxsize=1)
def _vapid_key(private: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(from_base64(private)), ec.SECP256R1())


def vapid_public_key() -> str:
    """Return the key that a browser subscribes with (`applicationServerKey`)."""
    return to_base64(_point(_vapid_key(settings.VAPID_PRIVATE_KEY).public_key()))


def sign(endpoint: str) -> str:
    """Return the header `Authorization` for an endpoint: this service sends, and whom to ask about it."""
    parts = urlsplit(endpoint)
    claims = {
        "aud": f"{parts.scheme}://{parts.netloc}",
        "exp": int(time.time()) + SIGNED_FOR_S,
        "sub": settings.VAPID_SUBJECT,
    }
    token = jwt.encode(claims, _vapid_key(settings.VAPID_PRIVATE_KEY), algorithm="ES256")
    return f"vapid t={token}, k={vapid_public_key()}"
