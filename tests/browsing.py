"""Real Chromium for tests: contexts of signed-in people, and a test that fails when a page does.

On top of pytest-playwright's own fixtures (`page`, `context`, `new_context`).
"""

import os
import shutil
from collections.abc import Callable, Collection, Iterator
from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, ViewportSize, expect

from stepper.models import User
from tests.live import LiveServer
from tests.pages.measuring import run_axe
from tests.signing_in import open_session

PHONE: ViewportSize = {"width": 390, "height": 844}
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
# A page has done its work within this, also while two test processes share two cores.
PATIENCE_MS = 10_000
# Rules of axe that the administration's theme does not keep: its pages have no landmarks.
ADMIN_THEME = frozenset({"landmark-one-main", "region"})

expect.set_options(timeout=PATIENCE_MS)


CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    # Else letters without a window are as wide as whole pixels.
    "--font-render-hinting=none",
]


def chromium() -> str:
    """Return the path of the distribution's Chromium; a machine without one fails the test."""
    path = shutil.which("chromium")
    if path is None:
        pytest.fail("Chromium is missing: `make test` installs it where it may (Debian: apt-get install chromium).")
    return path


def headless_shell() -> str:
    """Return the path of the same Chromium built without its window, where the machine has it.

    A page costs it a quarter of the CPU. What a browser has around its pages, such as installing one, it lacks.
    """
    return shutil.which("chromium-headless-shell") or chromium()


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """What starts the distribution's Chromium."""
    # Playwright's loop stays set in this thread while the test goes on: Django would refuse to query beside it.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    return browser_type_launch_args | {
        "executable_path": headless_shell(),
        "args": CHROMIUM_ARGUMENTS,
    }


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    # A service worker loads thirty files: only for those who test it (service_workers="allow").
    return browser_context_args | {
        "viewport": DESKTOP,
        "locale": "en-GB",
        "timezone_id": "Asia/Almaty",
        "service_workers": "block",
    }


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


# Whether an element is in the viewport as a whole, and nothing lies over its middle or its ends.
_IN_VIEW = """element => {
  const box = element.getBoundingClientRect();
  if (!box.width || box.left < 0 || box.top < 0 || box.right > innerWidth || box.bottom > innerHeight) return false;
  return [box.left + 3, (box.left + box.right) / 2, box.right - 3].every(x => {
    const top = document.elementFromPoint(x, (box.top + box.bottom) / 2);
    return top !== null && (element.contains(top) || top.contains(element));
  });
}"""


def is_in_view(element: Locator) -> bool:
    """Say whether all of an element can be read and pressed without scrolling."""
    return bool(element.evaluate(_IN_VIEW))


def comes_into_view(page: Page, test_id: str) -> None:
    """Wait until an element can be read as `is_in_view` says; a layout that just changed takes a frame or two."""
    page.wait_for_function(f"id => ({_IN_VIEW})(document.querySelector(`[data-testid=${{id}}]`))", arg=test_id)


def assert_accessible(page: Page, *, besides: Collection[str] = ()) -> None:
    """Assert that axe finds nothing wrong with a page. `besides`: its rules that are not ours to keep."""
    # Until its style sheets are there, its colours are the browser's own.
    page.wait_for_load_state()
    # What is just fading has colours of its own.
    is_still = page.evaluate("() => matchMedia('(prefers-reduced-motion: reduce)').matches")
    page.emulate_media(reduced_motion="reduce")
    findings = [one for one in run_axe(page) if one.kind.removeprefix("axe ") not in besides]
    if not is_still:
        page.emulate_media(reduced_motion="no-preference")
    assert not findings, findings


def session_cookie(user: User, url: str) -> Any:
    """The cookie of a session in which `user` is signed in; what a sign-in form would have led to."""
    return {"name": settings.SESSION_COOKIE_NAME, "value": open_session(user).session_key, "url": url}


def is_live(page: Page) -> None:
    """Wait until the page's socket is open."""
    expect(page.get_by_test_id("connection-state")).to_contain_text("Live")


def is_settled(page: Page) -> Page:
    """Wait until the socket's first state is on the page as well: then nothing changes by itself any more.

    The server answers a ping only after it has sent that state.
    """
    is_live(page)
    answer = page.evaluate("async () => (await import('/static/js/connection.js')).ask({ type: 'ping' })")
    assert answer is not None, "the socket was lost"
    return page


# Counts in the tab what is pressed, for `keys_pressed`: an init script.
COUNT_KEYS = """
addEventListener("keydown", (event) => {
  // Words are those keys that write a letter; a key held down with another one counts as well.
  if (!event.isTrusted || (event.key.length === 1 && !event.altKey)) return;
  sessionStorage.keys = Number(sessionStorage.keys ?? 0) + 1;
}, true);
addEventListener("pointerdown", (event) => { if (event.isTrusted) sessionStorage.pointer = "1"; }, true);
"""


def keys_pressed(page: Page) -> int:
    """Return how many keys were pressed besides words since `COUNT_KEYS` runs; the pointer must not have been used."""
    assert page.evaluate("sessionStorage.pointer") is None
    return int(page.evaluate("sessionStorage.keys ?? 0"))
