"""What headers may say about the client: nothing unless TRUSTED_PROXIES does, on both real servers and over sockets."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import msgspec
import pytest
from django.core.management import CommandError, call_command
from websockets.sync.client import connect

from stepper.server.proxies import without_proxies
from tests.live import LiveServer

# The database plays no part, so one suite is enough; the servers of a file are started once.
pytestmark = pytest.mark.embedded_only

# What a client may try.
CLAIMS = {
    "Daphne-Root-Path": ["/evil", "/%C3%A9", "é"],
    "X-Forwarded-For": ["6.6.6.6", "6.6.6.6, 7.7.7.7", "nobody", "::1, [2001:db8::1]:443", ""],
    "X-Forwarded-Host": ["evil.example", "é"],
    "X-Forwarded-Proto": ["https", "http, https", "gopher", ""],
    "X-Forwarded-Port": ["666", "x"],
    "X-Forwarded-Prefix": ["/evil"],
    "X-Forwarded-Scheme": ["https"],
    "X-Forwarded-Ssl": ["on"],
    "X-Forwarded-Server": ["evil.example"],
    "X-Forwarded": ["for=6.6.6.6"],
    "Forwarded": ["for=6.6.6.6;proto=https;host=evil.example"],
    "X-Real-IP": ["6.6.6.6"],
    "X-Client-IP": ["6.6.6.6"],
    "X-Script-Name": ["/evil"],
    "Script-Name": ["/evil"],
    "X-Original-URL": ["/evil"],
    "X-Rewrite-URL": ["/evil"],
    "Front-End-Https": ["on"],
    "X-Scheme": ["https"],
}
# Each is the same key of META.
SPELLINGS: list[Callable[[str], str]] = [
    lambda name: name,
    lambda name: name.upper(),
    lambda name: name.replace("-", "_"),
    lambda name: name.replace("-", "_", 1),
]


class EchoServer(LiveServer):
    program = ("-m", "tests.stepper.echo")


@pytest.fixture(scope="module", params=list(itertools.product(["daphne", "uvicorn"], [0, 1, 2])), ids=str)
def server(request: Any, django_db_setup: None, tmp_path_factory: Any) -> Iterator[tuple[LiveServer, int]]:
    kind, trusted = request.param
    live = EchoServer(tmp_path_factory.mktemp("proxies") / "log", {"TRUSTED_PROXIES": str(trusted)})
    live.arguments = ("--server", kind)
    live.start()
    try:
        yield live, trusted
        assert "Traceback" not in live.log_text(), live.log_text()
        live.stop()
    finally:
        if live.process is not None:
            live.kill()


CLIENT = httpx.Client(trust_env=False, timeout=10)
Headers = list[tuple[bytes, bytes]]


def seen(server: LiveServer, headers: Headers, path: str = "/echo/") -> dict[str, Any]:
    """What the application makes of a request."""
    answer = CLIENT.get(f"{server.url}{path}", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def seen_by_socket(server: LiveServer, headers: Headers) -> dict[str, Any]:
    with connect(
        f"{server.ws_url}/ws/echo/",
        additional_headers=[(name.decode(), value.decode("latin-1")) for name, value in headers],
        proxy=None,
        compression=None,
    ) as client:
        frame: dict[str, Any] = msgspec.json.decode(client.recv())
    return frame


def claims() -> Iterator[tuple[bytes, bytes]]:
    for (name, values), spell in itertools.product(CLAIMS.items(), SPELLINGS):
        yield from ((spell(name).encode(), value.encode("latin-1")) for value in values)


HERE = {"client": "127.0.0.1", "path": "/echo/", "root_path": "", "host": "localhost", "proxied": []}
HTTP = HERE | {
    "scheme": "http",
    "secure": False,
    "addresses": ["127.0.0.1", "127.0.0.1"],
    "url": "http://localhost/echo/",
}


def test_no_header_but_the_trusted_proxies_says_anything(server: tuple[LiveServer, int]) -> None:
    live, trusted = server
    for name, value in claims():
        if not (trusted and name.lower() in {b"x-forwarded-for", b"x-forwarded-proto"}):
            assert seen(live, [(b"Host", b"localhost"), (name, value)]) == HTTP, (name, value)


def test_no_header_says_anything_to_a_socket(server: tuple[LiveServer, int]) -> None:
    live, trusted = server
    for name, values in CLAIMS.items():
        if not (trusted and name in {"X-Forwarded-For", "X-Forwarded-Proto"}):
            for value in values:
                got = seen_by_socket(live, [(name.encode(), value.encode("latin-1"))])
                assert (got["client"], got["scheme"], got["root_path"], got["proxied"]) == ("127.0.0.1", "ws", "", [])


@pytest.mark.parametrize("transport", ["http", "socket"])
@pytest.mark.parametrize(
    ("lines", "clients"),
    [
        # By the number of trusted proxies: none, one, two.
        (["6.6.6.6"], ["127.0.0.1", "6.6.6.6", "127.0.0.1"]),
        (["6.6.6.6, 7.7.7.7"], ["127.0.0.1", "7.7.7.7", "6.6.6.6"]),
        (["6.6.6.6", "7.7.7.7"], ["127.0.0.1", "7.7.7.7", "6.6.6.6"]),
        (["5.5.5.5", "6.6.6.6,7.7.7.7"], ["127.0.0.1", "7.7.7.7", "6.6.6.6"]),
        (["5.5.5.5, [2001:DB8::1]:443, 7.7.7.7:80"], ["127.0.0.1", "7.7.7.7", "2001:db8::1"]),
        (["2001:db8::2"], ["127.0.0.1", "2001:db8::2", "127.0.0.1"]),
        (["unknown, nobody"], ["127.0.0.1"] * 3),
        (["1.2.3.4.5, 6.6.6.6x"], ["127.0.0.1"] * 3),
        ([""], ["127.0.0.1"] * 3),
    ],
)
def test_client_is_whom_the_outermost_trusted_proxy_saw(
    server: tuple[LiveServer, int], transport: str, lines: list[str], clients: list[str]
) -> None:
    live, trusted = server
    headers = [(b"X-Forwarded-For", line.encode()) for line in lines]
    if transport == "socket":
        assert seen_by_socket(live, headers)["client"] == clients[trusted]
    else:
        got = seen(live, [(b"Host", b"localhost"), *headers])
        assert (got["client"], got["proxied"]) == (clients[trusted], [])
        # What allauth and the REST framework count by.
        assert got["addresses"] == [clients[trusted]] * 2


@pytest.mark.parametrize(
    ("lines", "secure"),
    [
        (["https"], True),
        (["HTTPS"], True),
        (["http"], False),
        (["http, https"], True),
        (["https, http"], False),
        (["https", "http"], False),
        (["http", "https"], True),
        (["gopher"], False),
    ],
)
def test_scheme_is_the_last_proxys_word(server: tuple[LiveServer, int], lines: list[str], secure: bool) -> None:
    live, trusted = server
    headers = [(b"X-Forwarded-Proto", line.encode()) for line in lines]
    got = seen(live, [(b"Host", b"localhost"), *headers])
    expected = secure and trusted > 0
    assert (got["secure"], got["scheme"]) == (expected, "https" if expected else "http")
    assert seen_by_socket(live, headers)["scheme"] == ("wss" if expected else "ws")


def test_scope_of_the_server_is_not_changed() -> None:
    scope = {"type": "http", "headers": [(b"x-forwarded-for", b"6.6.6.6")], "client": ["1.1.1.1", 1], "scheme": "http"}
    before = {**scope, "headers": list(scope["headers"])}
    inside = without_proxies(scope, 1)
    assert inside["client"] == ["6.6.6.6", 0]
    assert scope == before


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
def test_https_redirects_pages_and_believes_the_proxy(start_server: Any, monkeypatch: Any, kind: str) -> None:
    monkeypatch.setattr(LiveServer, "arguments", ("--server", kind))
    server = start_server(HTTPS="1")
    answers = [
        httpx.get(f"{server.url}{path}", headers=headers, trust_env=False)
        for path, headers in [
            ("/health/live/", {}),
            ("/accounts/login/", {}),
            ("/accounts/login/", {"X-Forwarded-Proto": "https"}),
            ("/accounts/login/", {"X-Forwarded-Ssl": "on", "X_Forwarded_Proto": "https"}),
            ("/api/me", {"X-Forwarded-Proto": "https"}),
            ("/api/me", {}),
            ("/api/me/", {"Authorization": "Bearer a.b.c"}),
        ]
    ]
    assert [answer.status_code for answer in answers] == [200, 301, 200, 301, 401, 403, 403]
    assert {answer.json()["code"] for answer in answers[-2:]} == {"https.required"}
    assert _first_frame(server, {})["code"] == "https.required"
    assert _first_frame(server, {"X-Forwarded-Proto": "https"})["code"] == "auth.required"


def _first_frame(server: LiveServer, headers: dict[str, str]) -> dict[str, Any]:
    with connect(f"{server.ws_url}/ws/", additional_headers=headers, proxy=None) as socket:
        frame: dict[str, Any] = msgspec.json.decode(socket.recv())
    return frame


def test_https_without_a_trusted_proxy_is_refused_at_start(settings: Any) -> None:
    settings.HTTPS, settings.TRUSTED_PROXIES = True, 0
    with pytest.raises(CommandError, match="TRUSTED_PROXIES"):
        call_command("serve", port=0)
