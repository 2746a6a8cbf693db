"""Second factors for tests: an account that has one, and the codes that an authenticator app would show."""

import base64
import hashlib
import hmac
import struct
import time

from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP

from stepper.models import User

SECRET = base64.b32encode(b"12345678901234567890").decode()


def code_at(moment: float, secret: str = SECRET) -> str:
    """What an app shows at a moment (RFC 6238), worked out beside the library."""
    digest = hmac.new(base64.b32decode(secret), struct.pack(">Q", int(moment) // 30), hashlib.sha1).digest()
    offset = digest[-1] & 15
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return f"{number % 1_000_000:06}"


def code_now(secret: str = SECRET, steps: int = 0) -> str:
    """The code of now, or so many steps of 30 s later."""
    return code_at(time.time() + 30 * steps, secret)


def give_second_factor(user: User) -> list[str]:
    """Set up `SECRET` without the rules of the verb; return the recovery codes."""
    TOTP.activate(user, SECRET)
    recovery_codes: list[str] = RecoveryCodes.activate(user).generate_codes()
    return recovery_codes
