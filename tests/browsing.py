"""Real Chromium for tests: contexts of signed-in people, and a test that fails when a page does.

On top of pytest-playwright's own fixtures (`page`, `context`, `new_context`).
"""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, ViewportSize, expect

from stepper.models import User
from tests.live import LiveServer

PHONE: ViewportSize = {"width": 390, "height": 844}
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
# A page has done its work within this, also while two test processes share two cores.
PATIENCE_MS = 10_000

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """The distribution's Chromium; a machine without one fails the test."""
    path = shutil.which("chromium")
    if path is None:
        pytest.fail("Chromium is missing: `make test` installs it where it may (Debian: apt-get install chromium).")
    # Playwright's loop stays set in this thread while the test goes on: Django would refuse to query beside it.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    return browser_type_launch_args | {
        "executable_path": path,
        "args": [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
        ],
    }


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return browser_context_args | {"viewport": DESKTOP, "locale": "en-GB", "timezone_id": "Asia/Almaty"}


@pytest.fixture
def open_as(live: LiveServer, browser: Any, browser_context_args: dict[str, Any]) -> Iterator[Callable[..., Page]]:
    """`open_as(user, "/driver/", viewport=PHONE, color_scheme="dark", at=(lat, lng))`: a page in a context of its own.

    `user` None is a stranger; `at` grants the position. Further arguments are those of `browser.new_context`. After
    the test every page must be free of script errors and of violations of the content security policy.
    """
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and "Content Security Policy" in message.text:
            faults.append(message.text)

    def opened(user: User | None, path: str = "/", at: tuple[float, float] | None = None, **options: Any) -> Page:
        options = browser_context_args | {"base_url": live.url} | options
        if at is not None:
            options |= {"permissions": ["geolocation"], "geolocation": {"latitude": at[0], "longitude": at[1]}}
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        context.on("weberror", lambda error: faults.append(str(error.error)))
        context.on("console", note)
        if user is not None:
            context.add_cookies([session_cookie(user, live.url)])
        page = context.new_page()
        page.goto(path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not faults, "\n".join(faults)


def session_cookie(user: User, url: str) -> Any:
    """The cookie of a session in which `user` is signed in; what a sign-in form would have led to."""
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return {"name": settings.SESSION_COOKIE_NAME, "value": session.session_key, "url": url}
