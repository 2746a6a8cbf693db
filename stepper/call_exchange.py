"""What the environment says of a telephone exchange that announces calls."""

import re

from django.core.exceptions import ImproperlyConfigured


def read_token_digest(text: str) -> str:
    """Return the token's SHA-256 in lower case; "" for none.

    Raises:
        ImproperlyConfigured: it is no such digest. It is not repeated: it may be the token itself.
    """
    digest = text.strip().lower()
    if digest and not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ImproperlyConfigured("CALL_TOKEN_SHA256 is the SHA-256 of the token: 64 hexadecimal digits.")
    return digest


def read_extensions(text: str) -> dict[str, str]:
    """Return the operators' e-mails by extension. Raises ImproperlyConfigured."""
    found: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        extension, equals, email = (part.strip() for part in pair.partition("="))
        if not extension or not equals or "@" not in email or extension in found:
            raise ImproperlyConfigured("CALL_EXTENSIONS is like 101=asem@example.kz,102=dana@example.kz.")
        found[extension] = email.lower()
    return found
