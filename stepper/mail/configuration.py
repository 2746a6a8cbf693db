"""The mail server and the public address from the environment: what cannot work as written is an error at start.

The library behind `EMAIL_URL` (dj-email-url) passes over what it does not know: an unknown scheme, a misspelt `tls` or
a lost password would all mean mails that are not sent, or sent unencrypted. No message here repeats a part of the value
that may be secret.
"""

from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

import dj_email_url
from django.core.exceptions import ImproperlyConfigured

TIMEOUT_S = 10
SSL_PORT = 465
SERVERS = {"smtp", "submission"}
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
USE = (
    "Use submission://user:password@host (STARTTLS, port 587), smtp://user:password@host:465?ssl=True, "
    "smtp://user:password@host:25?tls=True (STARTTLS), smtp://localhost (a relay on this machine) "
    "or, with DEBUG only, console:// (mails are printed)."
)
_CONSOLE = "django.core.mail.backends.console.EmailBackend"
_NOWHERE = "django.core.mail.backends.dummy.EmailBackend"


def read_email_url(url: str, *, debug: bool) -> dict[str, Any]:
    """Return Django's EMAIL_… settings for `EMAIL_URL`; empty: the console with DEBUG, else nowhere.

    Raises:
        ImproperlyConfigured: the value would not do what it says.
    """
    if not url:
        return {"EMAIL_BACKEND": _CONSOLE if debug else _NOWHERE}
    try:
        parts = urlsplit(url)
        if parts.scheme == "console":
            if not debug:
                raise ImproperlyConfigured(
                    f"EMAIL_URL=console:// prints links that set passwords; it is for DEBUG. {USE}"
                )
            return {"EMAIL_BACKEND": _CONSOLE}
        options = _checked_options(parts)
        found: dict[str, Any] = dj_email_url.parse(url)
    except ValueError:
        # The message of the cause would quote the value with its password.
        raise ImproperlyConfigured(
            f"EMAIL_URL cannot be read; special characters of a password are percent-encoded (%40 for @). {USE}"
        ) from None
    if found["EMAIL_USE_SSL"] and parts.port is None:
        found["EMAIL_PORT"] = SSL_PORT
    found["EMAIL_TIMEOUT"] = int(options.get("timeout", TIMEOUT_S))
    if found["EMAIL_TIMEOUT"] < 1:
        raise ImproperlyConfigured("The timeout of EMAIL_URL is a number of seconds, 1 or more.")
    return found


def _checked_options(parts: SplitResult) -> dict[str, str]:
    """Return what follows the question mark, where scheme, host, credentials and options make sense together."""
    if parts.scheme not in SERVERS:
        raise ImproperlyConfigured(f"EMAIL_URL begins with {parts.scheme!r}, which is no way to send mail here. {USE}")
    if not parts.hostname or parts.path.strip("/") or parts.fragment:
        raise ImproperlyConfigured(f"EMAIL_URL names a host, and after it at most a port and options. {USE}")
    if bool(parts.username) != bool(parts.password):
        raise ImproperlyConfigured(f"EMAIL_URL has a user and a password, or neither. {USE}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := options.keys() - {"tls", "ssl", "timeout"}:
        raise ImproperlyConfigured(f"EMAIL_URL knows the options tls, ssl and timeout, not {', '.join(unknown)}. {USE}")
    if any(options[name] not in dj_email_url.TRUTHY for name in {"tls", "ssl"} & options.keys()):
        raise ImproperlyConfigured(f"tls and ssl in EMAIL_URL are True or left out. {USE}")
    if {"tls", "ssl"} <= options.keys():
        raise ImproperlyConfigured(f"EMAIL_URL has tls (STARTTLS) or ssl (TLS from the first byte), not both. {USE}")
    encrypted = parts.scheme == "submission" or {"tls", "ssl"} & options.keys()
    if parts.password and not encrypted and parts.hostname not in LOOPBACK:
        raise ImproperlyConfigured(f"EMAIL_URL would send its password unencrypted. {USE}")
    return options


def read_public_url(url: str, *, required: bool, https: bool) -> str:
    """Return the address that links in mails begin with, without a slash at its end; "": none is configured.

    Raises:
        ImproperlyConfigured: it is required and missing, or people could not open a link made with it.
    """
    if not url:
        if required:
            raise ImproperlyConfigured(
                "PUBLIC_URL is missing: links in mails begin with it, for example https://go.example.kz."
            )
        return ""
    parts = urlsplit(url)
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or parts.path.strip("/")
        or parts.query
        or parts.fragment
        or parts.username
    ):
        raise ImproperlyConfigured(f"PUBLIC_URL is scheme and host, for example https://go.example.kz, not {url!r}.")
    if https and parts.scheme != "https":
        raise ImproperlyConfigured(f"PUBLIC_URL begins with https:// where HTTPS is on, not {url!r}.")
    return f"{parts.scheme}://{parts.netloc}"
