"""What a task needs, encrypted in its row: a mail may carry a link that sets a password, a push names places.

So neither a copy of the database nor staff's view of it opens anything. The key is made of SECRET_KEY; after another
key the tasks that wait cannot be read, and fail.
"""

import base64
import functools
import json
from collections.abc import Mapping
from typing import Any

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


@functools.lru_cache(maxsize=1)
def _cipher(secret: str) -> Fernet:
    derived = HKDF(SHA256(), length=32, salt=None, info=b"stepper.tasks").derive(secret.encode())
    return Fernet(base64.urlsafe_b64encode(derived))


def seal(data: Mapping[str, Any]) -> str:
    """Encrypt what JSON can hold."""
    return _cipher(settings.SECRET_KEY).encrypt(json.dumps(data).encode()).decode()


def unseal(sealed: str) -> dict[str, Any]:
    """Decrypt what `seal` made. Raises InvalidToken: it was made with another SECRET_KEY."""
    opened: dict[str, Any] = json.loads(_cipher(settings.SECRET_KEY).decrypt(sealed.encode()))
    return opened
