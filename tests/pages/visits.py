"""Opening the pages of the table, each in a combination of language, colours and width."""

from collections.abc import Iterator
from itertools import product
from typing import Any, Literal, NamedTuple

from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.utils import translation
from playwright.sync_api import Browser, Page, Route, expect

from stepper.accounts.confirmation import CONFIRMED_AT
from stepper.languages import NAMES
from stepper.models import User
from tests.browsing import PATIENCE_MS, session_cookie
from tests.pages.cast import Person
from tests.pages.people import People
from tests.pages.table import Row

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
# The narrowest phone that is supported, a usual one, a desktop.
HEIGHTS = {320: 640, 390: 844, 1280: 800}
_CLOSE_SOCKET = "document.getElementById('socket') && htmx.remove(document.getElementById('socket'))"


class Combination(NamedTuple):
    language: str
    scheme: Scheme
    width: int

    def __str__(self) -> str:
        return f"{self.language} {self.scheme} {self.width}"


COMBINATIONS = [Combination(*one) for one in product(NAMES, SCHEMES, HEIGHTS)]


class Visits:
    """One browser context and one page for everybody: files are loaded once, and a new context costs half a second."""

    def __init__(self, browser: Browser, url: str, people: People, options: dict[str, Any]) -> None:
        self._url = url
        self._people = people
        self._cookies: dict[str, Any] = {}
        self._context = browser.new_context(**options | {"base_url": url, "service_workers": "block"})
        self._context.set_default_timeout(PATIENCE_MS)
        self._open_page()
        self._faults: list[str] = []
        # Something was done on the open page, or its answer was made here.
        self._is_acted = False
        self._context.on("weberror", lambda error: self._faults.append(str(error.error)))

    def __enter__(self) -> "Visits":
        return self

    def __exit__(self, *_error: object) -> None:
        self._context.close()

    def open(self, row: Row, combination: Combination) -> Page:
        """Open a page as its person, bring it to its state, and return it when that is shown."""
        person = self._people.person(row.who) if row.who else None
        named = self._people.person(row.needs) if row.needs else person
        self._forget()
        page = self._page
        self._is_acted = row.act is not None or row.answer is not None
        self._become(row.who, person)
        page.set_viewport_size({"width": combination.width, "height": HEIGHTS[combination.width]})
        page.emulate_media(color_scheme=combination.scheme, reduced_motion="reduce")
        self._speak(combination.language, person)
        if row.before is not None and person is not None:
            row.before(person)
        if row.answer is not None:
            self._answer(page, row, combination.language, person)
        page.goto(row.path.format(**(named.ids if named else {})))
        # Chromium lets no page that was made here open a socket to the server.
        if row.answer is None and page.locator("#socket").count():
            expect(page.get_by_test_id("connection-state")).to_have_attribute("data-state", "live")
        if row.act is not None:
            with translation.override(combination.language):
                row.act(page)
        expect(page.locator(row.shows).first).to_be_visible()
        page.evaluate("document.fonts.ready")
        return page

    def _forget(self) -> None:
        """Drop what the last page kept, or what it kept without a network is sent now.

        Only a page on which something was done is closed: another one costs a new process of the browser.
        """
        if self._page.url.startswith(self._url):
            self._page.evaluate("sessionStorage.clear()")
        if self._is_acted:
            # A page that is left without a network does not say goodbye: the server would count its socket for a while.
            self._page.evaluate(_CLOSE_SOCKET)
            # First: what was held back would be sent when nothing holds it any more, also by a page that is left.
            self._context.set_offline(True)
            # Leaving it ends what is held; closing it alone would let it through.
            self._page.goto("about:blank")
            self._page.unroute_all(behavior="ignoreErrors")
            self._page.close()
            # A page that was offline may stay so in its next process, whatever it is told.
            self._context.set_offline(False)
            self._open_page()
        kept = {"origin": self._url, "storageTypes": "indexeddb,local_storage"}
        self._devtools.send("Storage.clearDataForOrigin", kept)
        self._is_acted = False

    def _open_page(self) -> None:
        self._page = self._context.new_page()
        self._devtools = self._context.new_cdp_session(self._page)

    def recolour(self, scheme: Scheme) -> Page:
        """Show the open page in other colours."""
        self._page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        return self._page

    def take_faults(self) -> list[str]:
        """Return the script errors since it was last called."""
        faults, self._faults = self._faults, []
        return faults

    def _become(self, who: str, person: Person | None) -> None:
        """Be signed in as this person, on a device that gives its position or does not."""
        self._context.clear_cookies()
        self._context.clear_permissions()
        if person is None:
            return
        if person.at is not None:
            self._context.grant_permissions(["geolocation"])
            self._context.set_geolocation({"latitude": person.at[0], "longitude": person.at[1]})
        if who not in self._cookies:
            self._cookies[who] = session_cookie(person.user, self._url)
            if not person.is_confirmed:
                session = SessionStore(self._cookies[who]["value"])
                del session[CONFIRMED_AT]
                session.save()
        self._context.add_cookies([self._cookies[who]])

    def _speak(self, language: str, person: Person | None) -> None:
        """Choose the language: an account has its own, anybody else has a cookie."""
        if person is not None:
            person.user.language = language
            User.objects.filter(pk=person.user.pk).update(language=language)
        self._context.add_cookies([{"name": settings.LANGUAGE_COOKIE_NAME, "value": language, "url": self._url}])

    @staticmethod
    def _answer(page: Page, row: Row, language: str, person: Person | None) -> None:
        """Have the browser get the answer that was made here; its files are the server's."""
        assert row.answer is not None
        with translation.override(language):
            body = row.answer(row.request(person.user if person else None)).content.decode()

        def fulfil(route: Route) -> None:
            route.fulfill(status=200, content_type="text/html; charset=utf-8", body=body)

        page.route(f"**{row.path}", fulfil)


def rotated(rows: list[Row]) -> Iterator[tuple[Row, Combination]]:
    """Each page in one of the combinations, by its place in the table, so that together they are covered evenly."""
    for number, row in enumerate(rows):
        yield row, COMBINATIONS[number % len(COMBINATIONS)]
