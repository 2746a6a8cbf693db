"""People add a passkey, sign in with it and remove it: real Chromium with an authenticator of its own, a real server.

The server has HTTPS on, as behind a proxy that ends TLS; for http://localhost browsers make passkeys as for https.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect

from stepper.models import ServiceSettings, User
from tests.browsing import DESKTOP, PATIENCE_MS, PHONE, assert_accessible
from tests.factories import PASSWORD, PassengerFactory, StaffFactory
from tests.live import LiveServer
from tests.passkeys import give_passkey

pytestmark = pytest.mark.browser

# A phone that has just looked at the face of its owner.
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
}
PAGE = "/accounts/two-step/"


@pytest.fixture(scope="module")
def secure(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server of a service with HTTPS. One for all of them: it imports the project anew, with other settings.

    It writes nothing of its own between two tests.
    """
    server = LiveServer(tmp_path_factory.mktemp("secure") / "server.log", {})
    server.launch(HTTPS="1", DISPATCHER="external", CSRF_TRUSTED_ORIGINS=f"http://localhost:{server.port}")
    server.await_answer()
    yield server
    server.stop()


@pytest.fixture
def open_page(
    transactional_db: None, secure: LiveServer, browser: Any, browser_context_args: dict[str, Any]
) -> Iterator[Callable[..., Page]]:
    """`open_page(viewport=PHONE)`: a page of a stranger, by way of the proxy; it must stay free of errors."""
    contexts, faults = [], []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and "Content Security Policy" in message.text:
            faults.append(message.text)

    def opened(*, script: str = "", **options: Any) -> Page:
        base = {"base_url": f"http://localhost:{secure.port}", "extra_http_headers": {"X-Forwarded-Proto": "https"}}
        context = browser.new_context(reduced_motion="reduce", **browser_context_args | base | options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        context.on("weberror", lambda error: faults.append(str(error.error)))
        context.on("console", note)
        if script:
            context.add_init_script(script)
        page: Page = context.new_page()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not faults, "\n".join(faults)


def give_authenticator(page: Page) -> None:
    # It stays with the process of the page, which is another one before the first page of this host.
    page.goto("/help/")
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    session.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})


def enter_password(page: Page, user: User, path: str) -> None:
    page.goto(f"/accounts/login/?next={path}")
    page.locator("[name=login]").fill(str(user.email))
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("[name=password]").press("Enter")


@pytest.mark.parametrize(("viewport", "scheme"), [(PHONE, "dark"), (DESKTOP, "light")], ids=["phone", "desktop"])
def test_staff_add_a_passkey_sign_in_with_it_and_remove_it_by_keyboard(
    open_page: Callable[..., Page], viewport: object, scheme: str
) -> None:
    staff = StaffFactory()
    ServiceSettings.objects.update_or_create(pk=1, defaults={"staff_second_factor": True})
    page = open_page(viewport=viewport, color_scheme=scheme)
    give_authenticator(page)

    enter_password(page, staff, "/ops/")
    expect(page).to_have_url(PAGE)
    assert_accessible(page)
    page.get_by_role("link", name="Add a passkey").press("Enter")
    assert_accessible(page)
    expect(page.get_by_role("button", name="Add the passkey")).to_be_enabled()
    page.get_by_label("Name of the passkey").fill("Work phone")
    page.get_by_label("Name of the passkey").press("Enter")
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    page.get_by_role("link", name="I have kept them").press("Enter")
    assert_accessible(page)
    page.goto("/ops/")
    expect(page).to_have_url("/ops/")

    page.goto("/accounts/logout/")
    page.locator("main form button").first.press("Enter")
    expect(page).not_to_have_url("/accounts/logout/")
    enter_password(page, staff, "/ops/")
    expect(page.get_by_role("heading", name="Second step")).to_be_visible()
    assert_accessible(page)
    page.goto("/ops/")
    expect(page.get_by_role("heading", name="Second step")).to_be_visible()
    page.get_by_role("button", name="Use a passkey").press("Enter")
    expect(page).to_have_url("/ops/")

    page.goto(PAGE)
    page.get_by_test_id("passkeys").press("Enter")
    assert_accessible(page)
    page.get_by_role("link", name="Work phone").press("Enter")
    assert_accessible(page)
    page.get_by_label("Name of the passkey").fill("Old phone")
    page.get_by_label("Name of the passkey").press("Enter")
    page.get_by_role("link", name="Old phone").press("Enter")
    page.get_by_role("button", name="Remove the passkey").press("Enter")
    expect(page.get_by_text("Two-step sign-in is off.")).to_be_visible()
    page.goto("/ops/")
    expect(page).to_have_url(PAGE)


@pytest.mark.embedded_only
def test_passkey_confirms_with_the_password(open_page: Callable[..., Page]) -> None:
    passenger = PassengerFactory()
    page = open_page(viewport=PHONE)
    give_authenticator(page)
    enter_password(page, passenger, f"{PAGE}passkeys/add/")
    page.get_by_role("button", name="Add the passkey").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    page.goto(f"/accounts/confirm/?next={PAGE}")
    page.get_by_role("button", name="Use a passkey").press("Enter")
    # The browser itself asks for the password first.
    expect(page.locator("[name=password]")).to_be_focused()
    page.locator("[name=password]").fill(PASSWORD)
    page.get_by_role("button", name="Use a passkey").press("Enter")
    expect(page).to_have_url(PAGE)


@pytest.mark.embedded_only
def test_passkey_of_this_device_is_not_added_twice(open_page: Callable[..., Page]) -> None:
    page = open_page()
    give_authenticator(page)
    enter_password(page, PassengerFactory(), f"{PAGE}passkeys/add/")
    page.get_by_role("button", name="Add the passkey").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    page.goto(f"{PAGE}passkeys/add/")
    page.get_by_role("button", name="Add the passkey").click()
    expect(page.get_by_role("alert")).to_have_text("This device has a passkey of your account already.")


CANCELS = """
const cancel = () => Promise.reject(new DOMException("It timed out or was not allowed.", "NotAllowedError"));
// The empty page before the first one has none.
if (navigator.credentials) navigator.credentials.get = navigator.credentials.create = cancel;
"""
LACKS = "delete window.PublicKeyCredential;"
INSECURE = 'Object.defineProperty(window, "isSecureContext", { value: false });'


@pytest.mark.embedded_only
@pytest.mark.parametrize(
    ("script", "adding", "using"),
    [
        (CANCELS, "No passkey was made: it was cancelled", "No passkey was used: it was cancelled"),
        (LACKS, "This browser cannot make passkeys.", "This browser cannot use passkeys. Enter a code instead."),
        (INSECURE, "Passkeys work over a secure connection", "Passkeys work over a secure connection"),
    ],
    ids=["cancelled", "unsupported", "insecure"],
)
def test_page_says_what_went_wrong(open_page: Callable[..., Page], script: str, adding: str, using: str) -> None:
    having, lacking = PassengerFactory(), PassengerFactory()
    give_passkey(having)
    for user, path, button, words in (
        (lacking, f"{PAGE}passkeys/add/", "Add the passkey", adding),
        (having, "/", "Use a passkey", using),
    ):
        page = open_page(viewport=PHONE, script=script)
        enter_password(page, user, path)
        if script == CANCELS:
            page.get_by_role("button", name=button).click()
        expect(page.get_by_role("alert")).to_contain_text(words)
        if script != CANCELS:
            expect(page.get_by_role("button", name=button)).to_be_hidden()
        assert_accessible(page)
