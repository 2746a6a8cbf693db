"""HTTP requests for the fuzz tests: every route of the project, by every method, as everybody, then damaged.

Routes come from the URL resolver, bodies from the serializers, forms and structs that a view's code names, so a new
endpoint is covered without a word here.
"""

import datetime as dt
import inspect
import json
import re
import sys
from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django import forms
from django.db.models import Model
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.regex_helper import normalize
from msgspec import Struct
from rest_framework import serializers

from realtime.routing import websocket_urlpatterns
from tests.factories import PASSWORD

from .generated import (
    VALID,
    WEIRD_TEXTS,
    World,
    between,
    body,
    damaged,
    described,
    existing,
    instant,
    of_struct,
    text,
    weird,
)

API, ADMIN = "/api/", "/admin/"
WHO = ("nobody", "passenger", "driver", "staff")
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "FOO", "get")

# Routes


class Route(NamedTuple):
    """`path` has %(name)s for each parameter; `inputs` are the kinds of body that the view's code names."""

    path: str
    parameters: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    inputs: tuple[type, ...] = ()
    is_socket: bool = False


def routes() -> list[Route]:
    """All of the project, those of the administration once and the others twice, and addresses that are none."""
    known = [_route(regex, pattern) for regex, pattern in _patterns(get_resolver(), "")]
    others = [one for one in known if not one.path.startswith(ADMIN)]
    nowhere = [Route(path) for path in ("/nowhere/", "/static/css/%%2e%%2e/", "/api/nowhere", "//")]
    sockets = [_route(str(one.pattern.regex.pattern).removeprefix("^"), one) for one in websocket_urlpatterns]
    sockets = [one._replace(methods=("GET",), inputs=(), is_socket=True) for one in sockets]
    return [*others, *known, *nowhere, *sockets, Route("/ws/nowhere/", is_socket=True)]


def _patterns(resolver: URLResolver, before: str) -> Iterator[tuple[str, URLPattern]]:
    for one in resolver.url_patterns:
        regex = before + str(one.pattern.regex.pattern).removeprefix("^")
        if isinstance(one, URLResolver):
            yield from _patterns(one, regex)
        else:
            yield regex, one


def _route(regex: str, pattern: URLPattern) -> Route:
    path, parameters = normalize(regex)[0]
    view = getattr(pattern.callback, "view_class", None) or getattr(pattern.callback, "cls", None)
    methods = [name.upper() for name in ("get", "post", "put", "delete") if hasattr(view, name)] or ["GET", "POST"]
    return Route(f"/{path}", tuple(parameters), tuple(methods), tuple(_inputs(view or pattern.callback)))


def _inputs(view: Any) -> Iterator[type]:
    target = inspect.unwrap(view)
    if target.__module__.partition(".")[2].startswith("admin"):
        return  # which is only read
    if isinstance(form := getattr(target, "form_class", None), type):
        yield form
    if not target.__module__.startswith(("stepper", "trips", "drivers", "realtime")):
        return
    scope = vars(sys.modules[target.__module__])
    for module, name in sorted(set(re.findall(r"\b(?:(\w+)\.)?(_?[A-Z]\w+)\b", inspect.getsource(target)))):
        kind = getattr(scope.get(module), name, None) if module else scope.get(name)
        if isinstance(kind, type) and issubclass(kind, serializers.Serializer | forms.Form | Struct):
            yield kind


# Bodies


def valid_body(random: Random, kind: Any, world: World) -> dict[str, Any]:
    """What a serializer, form or struct takes: every required field and some of the others."""
    if issubclass(kind, Struct):
        return of_struct(random, described(kind), world)
    if issubclass(kind, serializers.Serializer):
        fields: dict[str, Any] = {name: one for name, one in kind().fields.items() if not one.read_only}
    elif "driver" in inspect.signature(kind).parameters:
        fields = kind(world["driver"][0]).fields
    else:
        # Declared ones: some forms need a request to be made.
        fields = kind.base_fields
    chosen = [name for name, one in fields.items() if one.required or random.random() < 0.5]
    return {name: _of_field(random, name, fields[name], world) for name in chosen}


def _of_field(random: Random, name: str, field: Any, world: World) -> Any:
    if "password" in name:
        return random.choice((PASSWORD, PASSWORD, text(random, 30)))
    if (known := existing(random, world, name)) is not None:
        # Of a row its key.
        return str(known.pk) if isinstance(known, Model) else known
    match field:
        case serializers.BaseSerializer():
            return valid_body(random, type(field), world)
        case serializers.BooleanField() | forms.BooleanField():
            return random.random() < 0.5
        case serializers.IntegerField() | forms.IntegerField():
            # A form's number with a fraction is an integer's subclass.
            whole = not isinstance(field, forms.FloatField)
            return between(random, *_bounds(field), whole=whole)
        case serializers.FloatField():
            return between(random, *_bounds(field), whole=False)
        case serializers.DateTimeField() | forms.DateTimeField():
            return instant(random)
        case forms.DateField():
            return instant(random)[:10]
        case forms.TimeField():
            return f"{dt.time(random.randrange(24), random.randrange(60)):%H:%M}"
        case forms.MultipleChoiceField():
            return [str(key) for key in _choices(field) if random.random() < 0.5]
        case serializers.ChoiceField() | forms.ChoiceField():
            choices = _choices(field)
            return str(random.choice(choices)) if choices else ""
        case _:
            return text(random, min(getattr(field, "max_length", None) or 20, 40))


def _choices(field: Any) -> list[Any]:
    """Keys: a serializer's field has a dictionary of them, a form's an iterable of pairs."""
    return list(field.choices if isinstance(field.choices, dict) else dict(field.choices))


def _bounds(field: Any) -> tuple[float, float]:
    low = 0 if field.min_value is None else field.min_value
    return low, low + 100 if field.max_value is None else field.max_value


def _form_body(random: Random, made: dict[str, Any]) -> bytes:
    valid: Any = made if random.randrange(10) < VALID else damaged(random, made)
    if not isinstance(valid, dict):
        return str(valid).encode()
    pairs = {name: one if isinstance(one, list | str) else json.dumps(one) for name, one in valid.items()}
    written = urlencode(pairs, doseq=True, errors="surrogatepass").encode()
    if random.random() < 0.1:
        at = random.randint(0, len(written))
        written = written[:at] + random.choice((b"\xff", b"\x00", b"%", b"%ff", b"%00", b"&&=&", b";")) + written[at:]
    return written


def _multipart(random: Random, valid: dict[str, Any]) -> tuple[bytes, bytes]:
    """Content type and body, sometimes with a boundary that is not there or a file where none is wanted."""
    boundary = random.choice((b"b", b"b" * 70, b"\xff", b'"', b""))
    parts = [
        b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
        % (name.encode(), random.choice((b"", b"", b'; filename="a/../b\x00.txt"')), str(one).encode())
        for name, one in valid.items()
    ]
    end = random.choice((b"--b--\r\n", b"--b", b""))
    return b"multipart/form-data; boundary=" + boundary, b"".join(parts) + end


# Requests


class Request(NamedTuple):
    """`who` signs it, by a bearer token or with a session and its CSRF token; the sender adds that."""

    who: str
    by_token: bool
    method: str
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    is_socket: bool = False

    @property
    def path(self) -> str:
        return self.target.partition(b"?")[0].decode("latin-1")

    @property
    def is_malformed(self) -> bool:
        """Whether it is no HTTP request at all: then the server may hang up after any 4xx."""
        tchar = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
        names = [name.lower() for name, _value in self.headers]
        return (
            not self.target.startswith(b"/")
            or bool(re.search(rb"[\x00-\x20\x7f-\xff]", self.target))
            or any(
                not tchar.match(name) or re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value) for name, value in self.headers
            )
            or sum(map(len, (part for header in self.headers for part in header))) > 16_000
            or len(self.target) > 8_000
            or names.count(b"host") > 0
            or bool({b"content-length", b"transfer-encoding"} & set(names))
            # Twisted looks into it before Daphne does.
            or any(b"multipart" in value and not value.endswith(b"=b") for _name, value in self.headers)
            or self.method in ("FOO", "get")
        )


_NAMES = ("page", "page_size", "cursor", "status", "before", "next", "q", "o", "p", "all", "e", "_popup", "lang", "id")
_ADMIN_NAMES = (
    *(
        "id__exact",
        "created_at__gte",
        "created_at__day",
        "status__exact",
        "attention",
        "user__email__startswith",
        "pk__in",
    ),
    *(
        "driver__id__exact",
        "trip__id__exact",
        "user__id__exact",
        "driver",
        "term",
        "app_label",
        "model_name",
        "field_name",
    ),
)
_VALUES = (
    *WEIRD_TEXTS,
    *("0", "-5", "2", "1.2.-3", "9" * 30, "last", "offered", "//evil.test/", "https://evil.test/", "javascript:1"),
    *("cD0xMA==", "cj0xJnA9MQ==", "bz05OTk5OTk5", "cD14", "=", "%", "on", "2030-13-45"),
)
# Names, each with values that mean something and values that do not.
_HEADERS: tuple[tuple[bytes, tuple[bytes, ...]], ...] = (
    (b"Accept", (b"text/html", b"application/xml", b"*/*;q=x", b"\xff", b",", b"application/json; indent=99")),
    (b"Accept-Language", (b"kk", b"ru-RU;q=0.9, *;q=x", b"\xe9", b"-" * 600, b"zz-" + b"a" * 100)),
    (b"Accept-Encoding", (b"gzip, br", b"identity;q=0", b"\xff")),
    (
        b"Cookie",
        (b"sessionid=\xff", b"sessionid=;;;=", b"csrftoken=x", b"sessionid=" + b"a" * 3000, b"a[]=\x01", b"=;"),
    ),
    (b"Cookie", (b"django_language=\xff", b"django_language=xx", b"messages=x", b'sessionid="a\\054b"')),
    (
        b"Authorization",
        (b"Bearer", b"Bearer  ", b"Bearer a.b.c", b"Bearer \xff", b"Basic Zm9v", b"Bearer a b", b"Token"),
    ),
    (
        b"Authorization",
        (b"Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.", b"Bearer eyJhbGciOiJIUzI1NiJ9.W10.eA", b"\x00"),
    ),
    (b"Host", (b"evil.test", b"127.0.0.1:99999", b"[::1", b"", b"a b", b"\xff", b"127.0.0.1, evil.test", b"localhost")),
    (b"Origin", (b"null", b"http://[", b"\xff", b"https://evil.test")),
    (b"Referer", (b"http://[", b"\xff", b"https://evil.test/", b"/")),
    (b"HX-Request", (b"true", b"true", b"true", b"\xff")),
    (b"HX-Current-URL", (b"http://[", b"%ff", b"\xff", b"http://127.0.0.1/x")),
    (b"HX-Target", (b"trip-panel", b"\xff", b'"')),
    (b"HX-Current-URL-URI-AutoEncoded", (b"true",)),
    (b"X-Forwarded-For", (b"1.2.3.4", b"not an address", b"\xff", b"," * 300, b"::1%eth0")),
    (b"X-Forwarded-Proto", (b"https", b"\xff", b"https, http")),
    (b"X-Forwarded-Host", (b"evil.test", b"\xff")),
    (b"Daphne-Root-Path", (b"/x", b"/api", b"\xe9", b"%ff", b"")),
    (b"Idempotency-Key", (b"", b" ", b"a b", b"\xff", b"x" * 65, b"x" * 5000, b"\xd0\x90", b"ok", b"a\x01")),
    (b"If-Modified-Since", (b"x", b"Thu, 99 Foo 9999 25:61:61 GMT", b"Thu, 01 Jan 0001 00:00:00 GMT")),
    (b"If-None-Match", (b"*", b'"', b"\xff")),
    (b"Range", (b"bytes=0-", b"bytes=5-1", b"bytes=-", b"bytes=0-0,1-1", b"x")),
    (
        b"Content-Type",
        (b"text/plain", b"", b"application/json; charset=utf-16", b"application/json;", b"\xff", b"a/b/c"),
    ),
    (b"Content-Type", (b"application/json; charset=nope", b"application/x-www-form-urlencoded; charset=nope", b"*/*")),
    (b"Content-Encoding", (b"gzip", b"\xff")),
    (b"X-CSRFToken", (b"", b"\xff", b"x" * 64)),
    (b"X-HTTP-Method-Override", (b"DELETE", b"\xff")),
    (b"Expect", (b"100-continue", b"x")),
    (b"Connection", (b"close", b"Upgrade", b"\xff")),
    (b"Content-Length", (b"abc", b"-1", b"", b"1", b"0x1", b"1,1")),
    (b"X-Long", (b"x" * 7000, b"x" * 20_000)),
    (b"", (b"nameless",)),
    (b"A B", (b"1",)),
    (b"\xff", (b"1",)),
    (b"X-Nul", (b"a\x00b",)),
)
_UPGRADE = (
    (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Key", b"c3RlcHBlci1mdXp6ZWQtMQ=="),
)
_SOCKET_HEADERS: tuple[tuple[bytes, tuple[bytes, ...]], ...] = (
    (b"Sec-WebSocket-Protocol", (b"", b"bearer.", b"stepper.v2", b"bearer.a.b.c, stepper.v1", b"bearer.\xff", b",,,")),
    (b"Sec-WebSocket-Protocol", (b"stepper.v1, " * 300, b"bearer.eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.", b"a b")),
    (b"Sec-WebSocket-Extensions", (b"permessage-deflate", b"permessage-deflate; server_max_window_bits=99", b"x;;")),
    (b"Sec-WebSocket-Version", (b"8", b"x", b"")),
    (b"Sec-WebSocket-Key", (b"", b"x", b"\xff" * 16)),
)


def request(random: Random, route: Route, world: World) -> Request:
    """One for this route. The administration is only read."""
    if route.is_socket:
        return _handshake(random, route, world)
    is_admin = route.path.startswith(ADMIN)
    method = random.choice(route.methods) if route.methods and random.random() < 0.75 else random.choice(METHODS)
    if is_admin and method not in ("HEAD", "OPTIONS"):
        method = "GET"
    who = "staff" if is_admin and random.random() < 0.9 else random.choice(WHO)
    content_type, sent = _content(random, route, world) if method not in ("GET", "HEAD", "get") else (b"", b"")
    headers = [(b"Content-Type", content_type)] if content_type else []
    for _ in range(random.choice((0, 0, 1, 1, 2))):
        name, values = random.choice(_HEADERS)
        headers.append((name, random.choice(values)))
    if not sent:
        # It would be waited for.
        headers = [header for header in headers if header[0] != b"Content-Length"]
    return Request(who, random.random() < 0.5, method, _target(random, route, world), tuple(headers), sent)


def _handshake(random: Random, route: Route, world: World) -> Request:
    headers = dict(_UPGRADE)
    for _ in range(random.choice((0, 1, 2))):
        name, values = random.choice((*_SOCKET_HEADERS, *_SOCKET_HEADERS, *_HEADERS))
        headers[name] = random.choice(values)
    target = _target(random, route, world)
    return Request(random.choice(WHO), random.random() < 0.5, "GET", target, tuple(headers.items()), b"", True)


def _target(random: Random, route: Route, world: World) -> bytes:
    values = {name: _parameter(random, name, world) for name in route.parameters}
    target = (route.path % values).encode(errors="surrogatepass")
    names = _NAMES + _ADMIN_NAMES if route.path.startswith(ADMIN) else _NAMES
    pairs = [(random.choice(names), random.choice(_VALUES)) for _ in range(random.choice((0, 0, 1, 2)))]
    if pairs:
        target += b"?" + urlencode(pairs, errors="surrogatepass").encode()
    if random.random() < 0.08:
        odd = (
            b"?%",
            b"?%ff=%fe",
            b"?%00",
            b"?&&&",
            b"?=",
            b"?a" * 999,
            b"?" + b"x" * 9000,
            b"/../",
            b"%2f",
            b"\xff",
            b"#a",
        )
        target += random.choice(odd)
    return target


def _parameter(random: Random, name: str, world: World) -> str:
    if random.random() < 0.75:
        known = existing(random, world, name)
        return str(1 if known is None else known)
    return random.choice(
        ("0", "9" * 18, "9" * 30, "1" * 4400, "-1", "x", "%D9%A3", "1%00", "1%0a", "%ff", "..", "1.5", "1;a")
    )


def _content(random: Random, route: Route, world: World) -> tuple[bytes, bytes]:
    """Content type and body, mostly those that the view reads."""
    kind = random.choice(route.inputs) if route.inputs and random.random() < 0.9 else None
    valid = valid_body(random, kind, world) if kind is not None else {"a": weird(random)}
    as_json = route.path.startswith(API)
    if random.random() < 0.1:
        as_json = not as_json
    if as_json:
        return b"application/json", body(random, valid)
    if random.random() < 0.1:
        return _multipart(random, valid)
    return b"application/x-www-form-urlencoded", _form_body(random, valid)
