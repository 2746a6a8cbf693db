"""A real SMS provider on this machine, over HTTP: it checks what it is asked for and keeps what arrived."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from tests.serving import served

SECRET = "p&ss=word"
# Mobizon's request, and what its answer says of one that it took.
FORM = {"body": "recipient={digits}&text={text}&apiKey={secret}", "success": "code=0"}


class Received(NamedTuple):
    recipient: str
    text: str

    @property
    def code(self) -> str:
        [code] = re.findall(r"\b\d{6}\b", self.text)
        return str(code)


class SmsService:
    """What arrived, in `received`. `status`, `answer`, `headers`: of the next answers. While `hangs` nothing is."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.refused: list[str] = []
        self.calls = 0
        self.status = 200
        self.answer: Any = {"code": 0, "data": {"messageId": "1"}, "message": ""}
        self.headers: dict[str, str] = {}
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.changed = threading.Condition()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/service/message/sendsmsmessage?output=json"

    @property
    def environ(self) -> dict[str, str]:
        """What a server is configured with."""
        return {
            "SMS_URL": self.url,
            "SMS_BODY": FORM["body"],
            "SMS_SECRET": SECRET,
            "SMS_SUCCESS": FORM["success"],
        }

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        """Check a request as Mobizon does."""
        parts = urlsplit(path)
        assert (parts.path, parts.query) == ("/service/message/sendsmsmessage", "output=json")
        assert headers["Content-Type"] == "application/x-www-form-urlencoded"
        form = parse_qs(body.decode(), strict_parsing=True)
        assert form.keys() == {"recipient", "text", "apiKey"}
        assert form["apiKey"] == [SECRET]
        assert re.fullmatch(r"\d{11,12}", form["recipient"][0])
        with self.changed:
            self.received.append(Received(form["recipient"][0], form["text"][0]))
            self.changed.notify_all()

    def wait_for(self, number: int, timeout_s: float = 10) -> list[Received]:
        """Wait until so many SMS have arrived, and return them."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.received) >= number, timeout_s), self.received
            return list(self.received)


@contextmanager
def sms_service() -> Iterator[SmsService]:
    service = SmsService()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            service.calls += 1
            service.goes_on.wait(20)
            status = service.status
            if status == 200:
                try:
                    service.take(self.path, dict(self.headers.items()), body)
                except (AssertionError, KeyError, ValueError) as error:
                    service.refused.append(repr(error))
                    status = 400
            answer = service.answer if isinstance(service.answer, bytes) else json.dumps(service.answer).encode()
            self.send_response(status)
            for name, value in service.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.port = server.server_port
    with served(server):
        try:
            yield service
        finally:
            service.goes_on.set()
