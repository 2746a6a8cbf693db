"""A real push service on this machine, over TLS, with a browser that decrypts what arrives (RFC 8291, RFC 8188).

It takes what is signed as RFC 8292 demands, as the services of the browsers do.
"""

import json
import os
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from stepper.push_keys import from_base64, to_base64
from tests.serving import served
from tests.smtp import make_certificate

# Subscribes the account of a page over REST; Chromium without a screen refuses `PushManager.subscribe()`.
SUBSCRIBE = """async (subscription) => {
  const headers = { "Content-Type": "application/json", ...JSON.parse(document.body.getAttribute("hx-headers")) };
  const body = JSON.stringify(subscription);
  return (await fetch("/api/push", { method: "POST", headers, body })).status;
}"""


class Received(NamedTuple):
    path: str
    headers: dict[str, str]
    payload: dict[str, Any]


class Keys(TypedDict):
    p256dh: str
    auth: str


class Browser:
    """The browser's side of a subscription: its keys, and what it reads."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.secret = os.urandom(16)

    @property
    def keys(self) -> Keys:
        point = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return {"p256dh": to_base64(point), "auth": to_base64(self.secret)}

    def decrypt(self, body: bytes) -> bytes:
        salt, record_bytes, length = body[:16], int.from_bytes(body[16:20]), body[20]
        theirs, sealed = body[21 : 21 + length], body[21 + length :]
        assert len(sealed) <= record_bytes
        sender = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), theirs)
        info = b"WebPush: info\0" + from_base64(self.keys["p256dh"]) + theirs
        ikm = HKDF(SHA256(), 32, self.secret, info).derive(self.key.exchange(ec.ECDH(), sender))
        key = HKDF(SHA256(), 16, salt, b"Content-Encoding: aes128gcm\0").derive(ikm)
        nonce = HKDF(SHA256(), 12, salt, b"Content-Encoding: nonce\0").derive(ikm)
        text, _delimiter, padding = AESGCM(key).decrypt(nonce, sealed, None).rpartition(b"\x02")
        assert padding.strip(b"\0") == b""
        return text


def verify(authorization: str, audience: str) -> dict[str, Any]:
    """Check a signature as a push service does, and return what it says."""
    scheme, _space, parameters = authorization.partition(" ")
    given = dict(one.strip().split("=", 1) for one in parameters.split(","))
    assert scheme == "vapid"
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), from_base64(given["k"]))
    claims: dict[str, Any] = jwt.decode(given["t"], key, algorithms=["ES256"], audience=audience)
    assert claims["exp"] - time.time() <= 24 * 3600
    assert claims["sub"].startswith(("mailto:", "https://"))
    return {**claims, "key": given["k"]}


class PushService:
    """What arrived, in `received`; `answer` is the status of the next answers; while `hangs` nothing is answered."""

    def __init__(self, certificate: Path) -> None:
        self.certificate = certificate
        self.received: list[Received] = []
        self.browsers: dict[str, Browser] = {}
        self.answer = 201
        self.headers: dict[str, str] = {}
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.changed = threading.Condition()
        self.port = 0

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    def subscribe(self, name: str = "a") -> dict[str, Any]:
        """What a browser's `PushSubscription.toJSON()` would give."""
        browser = self.browsers.setdefault(f"/{name}", Browser())
        return {"endpoint": f"https://{self.host}/{name}", "keys": browser.keys}

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        verify(headers["Authorization"], f"https://{self.host}")
        assert headers["Content-Encoding"] == "aes128gcm"
        payload = json.loads(self.browsers[path].decrypt(body))
        with self.changed:
            self.received.append(Received(path, headers, payload))
            self.changed.notify_all()

    def wait_for(self, number: int, timeout_s: float = 10) -> list[Received]:
        """Wait until so many pushes have arrived, and return them."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.received) >= number, timeout_s), self.received
            return list(self.received)


@contextmanager
def push_service(directory: Path) -> Iterator[PushService]:
    """A push service at `service.host`, with a certificate in `service.certificate`."""
    certificate, key = make_certificate(directory)
    service = PushService(certificate)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            service.goes_on.wait(20)
            try:
                service.take(self.path, dict(self.headers.items()), body)
                status = service.answer
            except AssertionError:
                status = 400
            self.send_response(status)
            for name, value in service.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    service.port = server.server_port
    with served(server):
        try:
            yield service
        finally:
            service.goes_on.set()
