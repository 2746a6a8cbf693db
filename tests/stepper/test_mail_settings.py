"""EMAIL_URL and PUBLIC_URL: every documented value does what it says, everything else is refused at start."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from stepper.mail.configuration import USE, read_email_url, read_public_url

ROOT = Path(settings.BASE_DIR)
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
URL = re.compile(r"\b[a-z+]+://[^\s`,)]*")
SMTP = "django.core.mail.backends.smtp.EmailBackend"


def documented():
    """Each value of EMAIL_URL in the document, in the example file and in the message of a refusal."""
    table = re.findall(
        r"^\| `([^`\s]+:\S+)` \| [^|]*\|$", CONFIGURATION.split("\n### Mail\n")[1].split("\n##")[0], re.MULTILINE
    )
    example = re.findall(r"^#?EMAIL_URL=(\S+)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert len(table) == 5
    assert example
    return [*table, *example, *URL.findall(USE)]


@pytest.mark.parametrize("url", documented())
def test_documented_value_does_what_it_says(url):
    found = read_email_url(url, debug=True)
    if url == "console://":
        assert found["EMAIL_BACKEND"].endswith("console.EmailBackend")
        return
    assert found["EMAIL_BACKEND"] == SMTP
    encrypted = found["EMAIL_USE_TLS"], found["EMAIL_USE_SSL"]
    assert encrypted == ("submission" in url or "tls=" in url, "ssl=" in url)
    assert any(encrypted) or found["EMAIL_HOST"] == "localhost"
    assert (found["EMAIL_HOST_USER"] is not None) == ("@" in url)
    assert found["EMAIL_PORT"] == (587 if "submission" in url else 465 if "ssl=" in url else 25)
    assert found["EMAIL_TIMEOUT"] == 10


def test_nothing_configured_sends_nowhere_without_debug():
    assert read_email_url("", debug=False) == {"EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend"}
    assert read_email_url("", debug=True) == {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}


def test_password_is_percent_decoded_and_timeout_read():
    found = read_email_url("submission://a%40b:p%23%3A%40@mail.example.kz:2587?timeout=3", debug=False)
    assert (found["EMAIL_HOST_USER"], found["EMAIL_HOST_PASSWORD"]) == ("a@b", "p#:@")
    assert (found["EMAIL_PORT"], found["EMAIL_TIMEOUT"]) == (2587, 3)


@pytest.mark.parametrize(
    "url",
    [
        # What the documents named before.
        "consolemail://",
        "smtp+tls://user:hidden@mail.example.kz:587",
        # Known to the library, but no encryption by that name, no server, or a log of links.
        "smtps://user:hidden@mail.example.kz",
        "file:///var/mail",
        "memory://",
        "dummy://",
        "console://",
        "mail.example.kz",
        # What the library passes over.
        "submission://",
        "submission://user:hidden@",
        "submission://user@mail.example.kz",
        "smtp://:hidden@localhost",
        "smtp://user:hidden@mail.example.kz",
        "smtp://user:hidden@mail.example.kz?tls=yes!",
        "smtp://user:hidden@mail.example.kz?tls",
        "smtp://user:hidden@mail.example.kz?TLS=True",
        "smtp://user:hidden@mail.example.kz?tls=True&ssl=True",
        "submission://user:hidden@mail.example.kz?tls=False",
        "submission://user:hidden@mail.example.kz?timeout=soon",
        "submission://user:hidden@mail.example.kz?timeout=0",
        "submission://user:hidden@mail.example.kz:port",
        "submission://user:hidden@mail.example.kz:99999",
        "submission://user:hid#den@mail.example.kz",
        "submission://user:hidden@mail.example.kz/inbox",
    ],
)
def test_value_that_would_not_work_is_refused_without_its_password(url):
    with pytest.raises(ImproperlyConfigured, match="EMAIL_URL") as refused:
        read_email_url(url, debug=False)
    assert "hid" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_public_url_is_scheme_and_host():
    assert read_public_url("https://go.example.kz/", required=True, https=True) == "https://go.example.kz"
    assert read_public_url("http://127.0.0.1:8000", required=True, https=False) == "http://127.0.0.1:8000"
    assert read_public_url("", required=False, https=True) == ""


@pytest.mark.parametrize(
    "url",
    [
        "",
        "go.example.kz",
        "ftp://go.example.kz",
        "https://",
        "https://go.example.kz/app",
        "https://go.example.kz?a=1",
        "https://me@go.example.kz",
        "http://go.example.kz",
    ],
)
def test_public_url_that_makes_no_link_is_refused(url):
    with pytest.raises(ImproperlyConfigured, match="PUBLIC_URL"):
        read_public_url(url, required=True, https=True)


def start(**environ):
    """What a process says that loads the settings with this environment: (exit status, last line)."""
    code = (
        "from django.conf import settings as s;"
        "print(s.EMAIL_BACKEND.split('.')[-2], s.MAIL_OFFERED, s.EMAIL_TIMEOUT, s.PUBLIC_URL)"
    )
    clean = {
        **os.environ,
        "DEBUG": "0",
        "EMAIL_URL": "",
        "PUBLIC_URL": "",
        "DJANGO_SETTINGS_MODULE": "stepper.settings",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=clean | environ, capture_output=True, text=True, check=False
    )
    return done.returncode, (done.stdout + done.stderr).strip().splitlines()[-1]


def test_server_without_mail_starts_and_offers_none():
    assert start() == (0, "dummy False None")


def test_server_with_mail_wants_a_public_address():
    status, said = start(EMAIL_URL="submission://user:password@mail.example.kz")
    assert (status, "PUBLIC_URL is missing" in said) == (1, True)


def test_server_with_mail_offers_it():
    url = "submission://user:password@mail.example.kz"
    assert start(EMAIL_URL=url, PUBLIC_URL="https://go.example.kz") == (0, "smtp True 10 https://go.example.kz")


def test_unknown_scheme_is_an_error_at_start():
    status, said = start(EMAIL_URL="smtp+tls://user:password@mail.example.kz:587", PUBLIC_URL="https://go.example.kz")
    assert status == 1
    assert "submission://" in said
    assert "console://" in said
