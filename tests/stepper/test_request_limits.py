"""Both real servers against clients that send too much, too slowly or nothing: what is counted is what they take."""

import contextlib
import itertools
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from drivers.models import DriverDocument
from stepper.api.tokens import sign_in
from stepper.models import User
from stepper.server.request_limits import LINGER_BYTES, MAX_BODY_BYTES, largest_body
from tests.live import LiveServer

# The database plays no part, so one suite is enough; the servers of a file are started once.
pytestmark = pytest.mark.embedded_only

MIB = 1 << 20


def _largest_buffer(kind: str) -> int:
    return int(Path(f"/proc/sys/net/ipv4/tcp_{kind}").read_text().split()[2])


# What the kernel may hold of a connection besides what the server has read: the receiver's and the sender's buffer.
BUFFERS = _largest_buffer("rmem") + _largest_buffer("wmem")
# The server's own seconds in these tests; everything is over well before the client stops waiting.
HEAD_S = BODY_SILENCE_S = 1
BODY_S = 3
PATIENCE_S = 20
# A body at the limit, and what is read of a refused one so that its sender gets to read why.
MOST_READ = MAX_BODY_BYTES + LINGER_BYTES + 1 * MIB


class RoomyServer(LiveServer):
    """With a row in the table of larger bodies and a view that reads one."""

    program = ("-m", "tests.stepper.roomy")


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def server(request: Any, django_db_setup: None, tmp_path_factory: Any) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("limits")
    (folder / "tmp").mkdir()
    environ = {
        "REQUEST_HEAD_S": str(HEAD_S),
        "REQUEST_BODY_SILENCE_S": str(BODY_SILENCE_S),
        "REQUEST_BODY_S": str(BODY_S),
        "TMPDIR": str(folder / "tmp"),
    }
    live = RoomyServer(folder / "log", environ)
    live.arguments = ("--server", request.param)
    live.start()
    try:
        yield live
        assert "Traceback" not in live.log_text(), live.log_text()
        live.stop()
    finally:
        if live.process is not None:
            live.kill()


class Raw:
    """A connection as no client library would use it."""

    def __init__(self, server: LiveServer) -> None:
        self.sent = 0
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_error: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> "Raw":
        self.socket.sendall(data)
        self.sent += len(data)
        return self

    def flood(self, block: bytes, total: int) -> None:
        """Sends until `total` or until the server takes no more."""
        self.socket.settimeout(PATIENCE_S)
        with contextlib.suppress(OSError):
            while self.sent < total:
                self.send(block)

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    def pause(self, seconds: float) -> None:
        """Neither reads nor writes: a slow client is what is tested."""
        time.sleep(seconds)

    def rest(self) -> bytes:
        """Everything until the server closes; a connection that stays open fails the test."""
        answer = bytearray()
        with contextlib.suppress(ConnectionError):
            while data := self.socket.recv(1 * MIB):
                answer += data
        return bytes(answer)

    def answer(self) -> bytes:
        """Head and what has come of the body of the first answer."""
        answer = b""
        while b"\r\n\r\n" not in answer:
            data = self.socket.recv(65536)
            if not data:
                break
            answer += data
        return answer


def post(path: str, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def memory(server: LiveServer) -> int:
    return int(psutil.Process(server.process.pid).memory_info().rss)


def ports(server: LiveServer) -> set[int]:
    """The clients' ports of the connections that the server has."""
    connections = psutil.Process(server.process.pid).net_connections("tcp")
    return {one.raddr.port for one in connections if one.raddr}


def eventually(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def spooled(server: LiveServer) -> list[str]:
    """Files that the process has open in its temporary directory, also those without a name."""
    folder = server.environ["TMPDIR"]
    files = Path(f"/proc/{server.process.pid}/fd")
    targets = []
    for one in files.iterdir():
        with contextlib.suppress(OSError):
            targets.append(os.readlink(one))  # noqa: PTH115
    return [one for one in targets if one.startswith(folder)] + os.listdir(folder)  # noqa: PTH208


# Bodies


@pytest.mark.parametrize("path", ["/api/trips", "/accounts/login/", "/nowhere", "/health/live/"])
def test_declared_body_too_large_is_refused_unread(server: LiveServer, path: str) -> None:
    before = memory(server)
    with Raw(server) as client:
        client.send(post(path, f"Content-Length: {600 * MIB}"))
        answer = client.rest()
    assert status(answer) == 413
    assert b"connection: close" in answer.lower()
    head, _, body = answer.partition(b"\r\n\r\n")
    if path.startswith("/api/"):
        assert msgspec.json.decode(body[body.index(b"{") : body.rindex(b"}") + 1])["code"] == "input.too_large"
    else:
        assert b"content-security-policy" in head.lower()
        assert b"<h1>" in body
    assert memory(server) - before < 8 * MIB


@pytest.mark.parametrize("length", [f"{'0' * 30}{2 * MIB}", "9" * 18, f"{2 * MIB} ", f"{2 * MIB}\t"])
def test_body_length_written_oddly_is_a_length(server: LiveServer, length: str) -> None:
    with Raw(server) as client:
        assert status(client.send(post("/api/trips", f"Content-Length: {length}")).rest()) in {400, 413}


def test_declared_body_too_large_is_refused_while_it_is_sent(server: LiveServer) -> None:
    before = memory(server)
    with Raw(server) as client:
        client.send(post("/api/trips", f"Content-Length: {600 * MIB}"))
        client.flood(b"x" * 65536, 600 * MIB)
        assert client.sent < BUFFERS + MOST_READ
    assert memory(server) - before < 8 * MIB
    assert spooled(server) == []


def test_chunked_body_is_counted_and_refused(server: LiveServer) -> None:
    before = memory(server)
    with Raw(server) as client:
        client.send(post("/api/trips", "Transfer-Encoding: chunked"))
        client.flood(b"10000\r\n" + b"x" * 65536 + b"\r\n", 600 * MIB)
        assert client.sent < BUFFERS + MOST_READ
    assert memory(server) - before < 8 * MIB
    assert spooled(server) == []


def test_body_a_little_too_large_gets_to_read_why(server: LiveServer) -> None:
    with Raw(server) as client:
        client.send(post("/api/trips", "Transfer-Encoding: chunked"))
        client.send(b"180000\r\n" + b"x" * 0x180000 + b"\r\n0\r\n\r\n")
        assert status(client.rest()) == 413


def test_body_at_the_limit_is_read(server: LiveServer) -> None:
    with Raw(server) as client:
        client.send(post("/api/token", f"Content-Length: {MIB}", "Content-Type: application/json"))
        assert status(client.send(b"x" * MIB).answer()) == 400  # not JSON
    with Raw(server) as client:
        client.send(post("/api/token", f"Content-Length: {MIB + 1}", "Content-Type: application/json"))
        assert status(client.answer()) == 413


def test_body_in_many_pieces_arrives_whole(server: LiveServer) -> None:
    body = b'{"email": "nobody@example.test", "password": "' + b"x" * 300 + b'"}'
    pieces = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (body[:1], body[1:200], body[200:])]
    with Raw(server) as client:
        client.send(post("/api/token", "Transfer-Encoding: chunked", "Content-Type: application/json"))
        for piece in pieces:
            client.send(piece)
        answer = client.send(b"0\r\n\r\n").answer()
        assert status(answer) == 401, answer
        # And the connection lives.
        client.send(b"GET /health/live/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b'"ok"' in client.rest()


def test_client_that_waits_to_be_told_is_told(server: LiveServer) -> None:
    expecting = ("Expect: 100-continue", "Content-Type: application/json")
    with Raw(server) as client:
        assert status(client.send(post("/api/token", "Content-Length: 2", *expecting)).answer()) == 100
        assert status(client.send(b"[]").answer()) == 400
    with Raw(server) as client:
        # Without being told to go on.
        assert status(client.send(post("/api/token", f"Content-Length: {2 * MIB}", *expecting)).answer()) == 413


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_row_of_the_table_lets_those_signed_in_send_more(server: LiveServer, framing: str) -> None:
    token = sign_in(User.objects.create_user("aigerim@example.test", "correct-horse-battery", name="Aigerim K"))
    size = 5 * MIB
    how = f"Content-Length: {size}" if framing == "length" else "Transfer-Encoding: chunked"
    body = b"x" * size if framing == "length" else b"%x\r\n%s\r\n0\r\n\r\n" % (size, b"x" * size)
    bearer = f"Authorization: Bearer {token['access']}"
    with Raw(server) as client:
        answer = client.send(post("/upload/", how, bearer, "Connection: close") + body).rest()
        assert status(answer) == 200
        assert answer.endswith(b"5242880")
    for wrong in ("X-Nobody: 1", "Authorization: Bearer x", "Cookie: sessionid=x"):
        with Raw(server) as client:
            client.send(post("/upload/", how, wrong)).flood(body, size)
            assert status(client.rest()) == 413, wrong
    with Raw(server) as client:
        client.send(post("/upload/", f"Content-Length: {6 * MIB + 1}", bearer))
        assert status(client.rest()) == 413
    assert spooled(server) == []


@pytest.mark.django_db(transaction=True)
def test_picture_of_50_mib_is_refused_and_nothing_is_left(server: LiveServer) -> None:
    user = User.objects.create_user("aigerim@example.test", "correct-horse-battery", name="Aigerim K")
    bearer = f"Authorization: Bearer {sign_in(user)['access']}"
    picture = "/drivers/documents/licence/"
    for framing in (f"Content-Length: {50 * MIB}", "Transfer-Encoding: chunked"):
        with Raw(server) as client:
            block = b"%x\r\n%s\r\n" % (MIB, b"x" * MIB) if "chunked" in framing else b"x" * MIB
            client.send(post(picture, framing, "Content-Type: multipart/form-data; boundary=b", bearer))
            client.flood(block, 50 * MIB)
            assert status(client.rest()) == 413, framing
    with Raw(server) as client:
        client.send(post(picture, f"Content-Length: {2 * MIB}", "Connection: close"))
        assert status(client.rest()) == 413, "nobody is signed in"
    assert not DriverDocument.objects.exists()
    assert spooled(server) == []


def test_table_is_read_by_whole_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepper.server.request_limits.LARGER_BODIES", {r"/api/drivers/\d+/photo": 8 * MIB})
    assert largest_body("/api/drivers/7/photo") == 8 * MIB
    for other in ("/api/drivers/7/photos", "/x/api/drivers/7/photo", "/api/drivers/7/photo/", "/"):
        assert largest_body(other) == MAX_BODY_BYTES


# Heads


@pytest.mark.parametrize(
    "head",
    [
        [f"X-Large: {'x' * 9000}"],
        [f"X-{n}: {'x' * 4000}" for n in range(9)],
        [f"X-{n}: 1" for n in range(101)],
        [f"Cookie: {'x' * 40_000}"],
    ],
    ids=["line", "all lines", "lines", "cookie"],
)
@pytest.mark.parametrize("upgrade", [False, True])
def test_head_too_large_is_refused(server: LiveServer, head: list[str], upgrade: bool) -> None:
    if upgrade:
        head = [*_HANDSHAKE, *head]
    with Raw(server) as client:
        client.send(post("/ws/", *head).replace(b"POST", b"GET", 1))
        answer = client.rest()
    assert status(answer) == 431
    assert answer.lower().count(b"x-content-type-options: nosniff\r\n") == 1


def test_request_line_too_long_is_refused(server: LiveServer) -> None:
    with Raw(server) as client:
        client.send(b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert status(client.rest()) == 431


def test_large_head_within_the_limits_is_answered(server: LiveServer) -> None:
    with Raw(server) as client:
        headers = [f"X-{n}: {'x' * 300}" for n in range(95)]
        client.send(post("/health/live/", *headers).replace(b"POST", b"GET"))
        assert status(client.answer()) == 200


@pytest.mark.parametrize("block", [b"x", b"x: y\r\n", b"\r\n"], ids=["one header", "headers", "empty lines"])
def test_head_without_end_is_cut_off(server: LiveServer, block: bytes) -> None:
    before = memory(server)
    with Raw(server) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n" if block != b"\r\n" else b"")
        client.flood(block * (65536 // len(block)), 200 * MIB)
        assert client.sent < BUFFERS + MOST_READ
    assert memory(server) - before < 8 * MIB


@pytest.mark.parametrize("start", [b"0\r\nX: ", b"1;x=", b"0\r\n"], ids=["trailer", "extension", "trailers"])
def test_chunk_framing_without_end_is_cut_off(server: LiveServer, start: bytes) -> None:
    before = memory(server)
    with Raw(server) as client:
        client.send(post("/api/token", "Transfer-Encoding: chunked") + start)
        client.flood(b"x" * 65536 if start != b"0\r\n" else b"x: y\r\n" * 10_000, 200 * MIB)
        assert client.sent < BUFFERS + MOST_READ
    assert memory(server) - before < 8 * MIB


# Time


def _is_dropped(client: Raw, trickle: bytes = b"") -> bool:
    """Whether the server ends the connection, though a byte comes every now and then."""
    until = time.monotonic() + PATIENCE_S
    client.socket.settimeout(0.2)
    pieces = itertools.cycle(trickle) if trickle else None
    with contextlib.suppress(ConnectionError):
        while time.monotonic() < until:
            if pieces is not None:
                client.send(bytes([next(pieces)]))
            with contextlib.suppress(TimeoutError):
                if not client.socket.recv(65536):
                    return True
        return False
    return True


@pytest.mark.parametrize(
    ("start", "trickle"),
    [
        (b"", b""),
        (b"GET /health/live/ HTTP/1.1\r\n", b""),
        (b"GET /health/live/ HTTP/1.1\r\nX: ", b"x"),
        (b"GET /ws/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX: ", b"x"),
        (b"GET /health/live/ HTTP/1.1\r\nHost: localhost\r\n\r\n", b""),
        (b"GET /health/live/ HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\nX: ", b"x"),
    ],
    ids=["silent", "half", "trickle", "handshake", "idle", "second"],
)
def test_head_that_does_not_come_ends_the_connection(server: LiveServer, start: bytes, trickle: bytes) -> None:
    with Raw(server) as client:
        assert _is_dropped(client.send(start), trickle)


@pytest.mark.parametrize("trickle", [b"", b"x"], ids=["stalls", "trickles"])
@pytest.mark.parametrize("framing", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
def test_body_that_does_not_come_ends_the_connection(server: LiveServer, framing: str, trickle: bytes) -> None:
    pieces = b"1\r\nx\r\n" if "chunked" in framing else b"x"
    with Raw(server) as client:
        client.send(post("/api/token", framing) + pieces)
        seen: list[bytes] = []
        stop = threading.Event()

        def drip() -> None:
            with contextlib.suppress(OSError):
                while not stop.wait(0.2):
                    client.send(pieces)

        dripping = threading.Thread(target=drip)
        if trickle:
            dripping.start()
        seen.append(client.rest())
        stop.set()
        if trickle:
            dripping.join()
    assert status(seen[0]) == 408
    assert b"input.too_slow" in seen[0]


def test_client_that_does_not_read_its_answer_is_cut_off(server: LiveServer) -> None:
    with Raw(server) as client:
        client.send(b"GET /large/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        eventually(lambda: client.port in ports(server))
        eventually(lambda: client.port not in ports(server))
        assert len(client.rest()) < 32 * MIB


def test_flood_of_requests_whose_answers_nobody_reads_is_cut_off(server: LiveServer) -> None:
    before = memory(server)
    request = b"GET /large/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with Raw(server) as client:
        # Before it sends anything: the server may be done with it sooner than its connections are listed.
        eventually(lambda: client.port in ports(server))
        sending = threading.Thread(target=client.flood, args=(request * 1000, 200 * MIB))
        sending.start()
        eventually(lambda: client.port not in ports(server))
        sending.join()
        assert client.sent < BUFFERS + MOST_READ
    # One answer of 32 MiB, as Daphne writes it at once, in the copies of it that the view, Twisted and the allocator
    # hold for a while; a million were asked for.
    assert memory(server) - before < 4 * 32 * MIB + 8 * MIB


def test_requests_sent_ahead_are_answered_in_order(server: LiveServer) -> None:
    paths = ["/large/", "/health/live/", "/large/", "/nowhere/"]
    heads = [f"GET {path} HTTP/1.1\r\nHost: localhost\r\n" for path in paths]
    with Raw(server) as client:
        answers = client.send("\r\n".join([*heads[:-1], heads[-1] + "Connection: close\r\n\r\n"]).encode()).rest()
    assert [status(part) for part in answers.split(b"HTTP/1.1")[1:]] == [200, 200, 200, 404]
    assert len(answers) > 64 * MIB


def test_client_that_reads_slowly_gets_its_answer(server: LiveServer) -> None:
    with Raw(server) as client:
        client.send(b"GET /large/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        until = time.monotonic() + 2.5 * HEAD_S
        size = 0
        # A little now and then for longer than somebody who reads nothing is borne, then the rest.
        while data := client.socket.recv(1 * MIB):
            size += len(data)
            if time.monotonic() < until:
                client.pause(0.1)
    assert size > 32 * MIB


def test_hundreds_of_silent_connections_are_gone(server: LiveServer) -> None:
    clients = [Raw(server).send(b"GET / HTTP/1.1\r\n" if n % 2 else b"") for n in range(300)]
    try:
        assert all(_is_dropped(client) for client in clients)
    finally:
        for client in clients:
            client.socket.close()


_HANDSHAKE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


def test_handshake_by_another_method_is_refused(server: LiveServer) -> None:
    with Raw(server) as client:
        assert 400 <= status(client.send(post("/ws/", *_HANDSHAKE)).rest()) < 500


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /ws/\xff HTTP/1.1\r\n",
        b"GET /ws/?\xff HTTP/1.1\r\n",
        b"GET /ws/ HTTP/1.1\r\nSec-WebSocket-Protocol: \xff\r\n",
        b"GET /ws/ HTTP/1.1\r\nContent-Length: 5\r\n",
        b"GET /ws/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
        b"GET /ws/ HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n",
    ],
    ids=["path", "query", "subprotocol", "length", "chunked", "digits"],
)
@pytest.mark.parametrize("upgrade", [False, True])
def test_odd_head_is_refused_or_answered_without_a_traceback(server: LiveServer, raw: bytes, upgrade: bool) -> None:
    lines = "".join(f"{line}\r\n" for line in ("Host: localhost", *(_HANDSHAKE if upgrade else ()))).encode()
    with Raw(server) as client:
        answer = client.send(raw + lines + b"\r\n" + b"hello").rest()
    assert 400 <= status(answer) < 500, answer
    # What the library says of a handshake is no document.
    assert upgrade or answer.lower().count(b"x-content-type-options: nosniff\r\n") == 1


@pytest.mark.parametrize(
    "framing",
    [
        (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
        (b"Content-Length: 5", b"Content-Length: 6"),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
        (b"Transfer-Encoding: xchunked",),
    ],
    ids=["length first", "chunked first", "two lengths", "two encodings", "another encoding"],
)
def test_body_whose_end_can_be_read_two_ways_is_refused_and_nothing_after_it_is_read(
    server: LiveServer, framing: tuple[bytes, ...]
) -> None:
    """Otherwise a proxy in front could take for a body what we take for the next request."""
    head = b"\r\n".join((b"POST /api/token HTTP/1.1", b"Host: localhost", *framing)) + b"\r\n\r\n"
    smuggled = b"0\r\n\r\nGET /health/live/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with Raw(server) as client:
        answer = client.send(head + smuggled).rest()
    assert 400 <= status(answer) < 500, answer
    assert answer.count(b"HTTP/1.1 ") == 1, answer
