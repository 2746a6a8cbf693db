"""An authenticator for tests: it makes passkeys and signs with them, worked out beside what the service checks with."""

import hashlib
import html
import json
import re
import secrets
import struct
from typing import Any

from allauth.mfa.models import Authenticator
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from fido2 import cbor
from fido2.cose import ES256
from fido2.utils import websafe_encode

from stepper.models import User

HOST = "testserver"
PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


class SoftKey:
    """One passkey, kept in memory."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = secrets.token_bytes(16)
        self.origin, self.host = f"https://{HOST}", HOST

    def register(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer what was handed to `navigator.credentials.create`."""
        public = dict(ES256.from_cryptography_key(self.key.public_key()))
        attested = bytes(16) + struct.pack(">H", len(self.id)) + self.id + cbor.encode(public)
        data = self._data(PRESENT | VERIFIED | ATTESTED) + attested
        statement = cbor.encode({"fmt": "none", "attStmt": {}, "authData": data})
        client = self._client("webauthn.create", request)
        return self._answer(clientDataJSON=client, attestationObject=statement)

    def sign(self, request: dict[str, Any], *, flags: int = PRESENT | VERIFIED) -> dict[str, Any]:
        """Answer what was handed to `navigator.credentials.get`."""
        data, client = self._data(flags), self._client("webauthn.get", request)
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))
        return self._answer(clientDataJSON=client, authenticatorData=data, signature=signature)

    def _data(self, flags: int) -> bytes:
        return hashlib.sha256(self.host.encode()).digest() + struct.pack(">BI", flags, 0)

    def _client(self, kind: str, request: dict[str, Any]) -> bytes:
        challenge = request["publicKey"]["challenge"]
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin}).encode()

    def _answer(self, **response: bytes) -> dict[str, Any]:
        own = websafe_encode(self.id)
        encoded = {name: websafe_encode(value) for name, value in response.items()}
        return {"id": own, "rawId": own, "type": "public-key", "response": encoded, "clientExtensionResults": {}}


def give_passkey(user: User, name: str = "Phone") -> SoftKey:
    """Give an account a passkey without the rules of the verb, and no recovery codes."""
    made = SoftKey()
    credential = made.register({"publicKey": {"challenge": websafe_encode(bytes(32))}})
    data = {"name": name, "credential": credential}
    Authenticator.objects.create(user=user, type=Authenticator.Type.WEBAUTHN, data=data)
    return made


def request_on(response: Any) -> dict[str, Any]:
    """What a page has for the browser to answer."""
    shown = re.search(r'data-request="([^"]+)"', response.content.decode())
    assert shown is not None
    found: dict[str, Any] = json.loads(html.unescape(shown[1]))
    return found
