"""The SMS provider from the environment: what cannot work as written is an error at start.

A provider is called by one HTTP request that is made from a template. `{phone}` is the number with its plus sign,
`{digits}` without it, `{text}` the message, `{secret}` is `SMS_SECRET`. Each is escaped for the place where it stands:
the path or query of the address, a form, a JSON text. No message here repeats a part of a value that may be secret.
"""

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from django.core.exceptions import ImproperlyConfigured

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
METHODS = {"GET", "POST", "PUT"}
PLACEHOLDERS = {"phone", "digits", "text", "secret"}
CONSOLE = "console://"
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")


@dataclasses.dataclass(frozen=True)
class Request:
    """One HTTP request, ready to be sent."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


@dataclasses.dataclass(frozen=True)
class Provider:
    """How an SMS is sent. `url` is CONSOLE: it is printed. Not shown in logs: it holds the secret."""

    url: str
    method: str = "POST"
    # None: the request has no body; a list of pairs is a form, anything else is JSON.
    body: Any = dataclasses.field(default=None, repr=False)
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    secret: str = dataclasses.field(default="", repr=False)
    # The names that lead to a value of the JSON answer, and what it must be; none: the status alone decides.
    success_path: tuple[str, ...] = ()
    success_value: str = ""

    @property
    def is_console(self) -> bool:
        return self.url == CONSOLE

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    def request(self, phone: str, text: str) -> Request:
        """Fill in the template for a number (E.164) and a message."""
        values = {"phone": phone, "digits": phone.lstrip("+"), "text": text, "secret": self.secret}
        headers = {name: _fill(value, values) for name, value in self.headers.items()}
        body = b""
        if isinstance(self.body, list):
            body = urlencode([(name, _fill(value, values)) for name, value in self.body]).encode()
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        elif self.body is not None:
            body = json.dumps(_fill_json(self.body, values), ensure_ascii=False).encode()
            headers.setdefault("Content-Type", "application/json")
        escaped = {name: quote(value, safe="") for name, value in values.items()}
        return Request(self.method, _fill(self.url, escaped), headers, body)

    def is_success(self, answer: Any) -> bool:
        """Say whether the JSON of an answer is what it must be."""
        for name in self.success_path:
            if isinstance(answer, list) and name.isdecimal() and int(name) < len(answer):
                answer = answer[int(name)]
            elif isinstance(answer, dict) and name in answer:
                answer = answer[name]
            else:
                return False
        written = answer if isinstance(answer, str) else json.dumps(answer)
        return written == self.success_value


def _fill(template: str, values: Mapping[str, str]) -> str:
    """Put values in place of the placeholders, in one pass: a text that contains one stays as it is."""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), template)


def _fill_json(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _fill(value, values)
    if isinstance(value, list):
        return [_fill_json(one, values) for one in value]
    if isinstance(value, dict):
        return {name: _fill_json(one, values) for name, one in value.items()}
    return value


def read_sms(
    *,
    url: str,
    method: str = "POST",
    body: str = "",
    headers: str = "",
    secret: str = "",
    success: str = "",
    debug: bool,
) -> Provider | None:
    """Return the provider that the environment describes; None: no SMS is sent. Without a URL DEBUG prints them.

    `body`: a JSON text where it begins with a brace or bracket, else a form (`name=value&…`). `headers`: a JSON object.
    `success`: `path.to.field=value` of a JSON answer.

    Raises:
        ImproperlyConfigured: the values would not do what they say.
    """
    if not url:
        if body or headers or secret or success:
            raise ImproperlyConfigured("SMS_URL is missing: the other settings of SMS do nothing without it.")
        return Provider(CONSOLE) if debug else None
    if url == CONSOLE:
        if not debug:
            raise ImproperlyConfigured("SMS_URL=console:// prints codes that sign in; it is for DEBUG.")
        return Provider(CONSOLE)
    method = method.upper()
    if method not in METHODS:
        raise ImproperlyConfigured("SMS_METHOD is GET, POST or PUT.")
    if method == "GET" and body:
        raise ImproperlyConfigured("SMS_BODY needs SMS_METHOD=POST or PUT.")
    _check_url(url)
    path, value = _read_success(success)
    made = Provider(
        url=url,
        method=method,
        body=_read_body(body),
        headers=_read_headers(headers),
        secret=secret,
        success_path=path,
        success_value=value,
    )
    _check_placeholders(made, f"{url}{body}{headers}")
    return made


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.fragment:
        raise ImproperlyConfigured("SMS_URL is an https address without user and fragment, or console:// with DEBUG.")
    if _PLACEHOLDER.search(parts.netloc):
        raise ImproperlyConfigured("SMS_URL has no placeholder in its host.")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ImproperlyConfigured("SMS_URL would send codes unencrypted: use https.")


def _read_body(body: str) -> Any:
    if not body:
        return None
    if body.lstrip()[:1] not in {"{", "["}:
        try:
            return parse_qsl(body, keep_blank_values=True, strict_parsing=True)
        except ValueError:
            raise ImproperlyConfigured("SMS_BODY is a form (name=value&…) or a JSON text.") from None
    try:
        return json.loads(body)
    except ValueError:
        raise ImproperlyConfigured("SMS_BODY begins like JSON and cannot be read as such.") from None


def _read_headers(headers: str) -> dict[str, str]:
    try:
        found = json.loads(headers or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict) or any(
        not _HEADER_NAME.fullmatch(name) or not isinstance(value, str) or not value.isprintable() or not value.isascii()
        for name, value in found.items()
    ):
        raise ImproperlyConfigured('SMS_HEADERS is a JSON object, such as {"Authorization": "Bearer {secret}"}.')
    if any({"phone", "digits", "text"} & set(_PLACEHOLDER.findall(value)) for value in found.values()):
        raise ImproperlyConfigured("SMS_HEADERS has no other placeholder than {secret}.")
    return found


def _read_success(success: str) -> tuple[tuple[str, ...], str]:
    if not success:
        return (), ""
    path, equals, value = success.partition("=")
    if not equals or not all(path.split(".")):
        raise ImproperlyConfigured("SMS_SUCCESS is a field of the JSON answer and its value, such as code=0.")
    return tuple(path.split(".")), value


def _check_placeholders(made: Provider, written: str) -> None:
    names = set(_PLACEHOLDER.findall(written))
    if unknown := names - PLACEHOLDERS:
        raise ImproperlyConfigured(f"The template of SMS has the unknown placeholder {min(unknown)!r}.")
    if not names & {"phone", "digits"} or "text" not in names:
        raise ImproperlyConfigured("The template of SMS has {phone} or {digits}, and {text}.")
    if ("secret" in names) != bool(made.secret):
        raise ImproperlyConfigured("SMS_SECRET and {secret} in the template of SMS need each other.")
    if not made.secret.isprintable() or not made.secret.isascii():
        raise ImproperlyConfigured("SMS_SECRET has characters that no header can have.")
