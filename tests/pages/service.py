"""A scratch service for the commands of the pages: a database, a server on it, Chromium, nothing else running."""

import contextlib
from collections.abc import Iterator

from playwright.sync_api import Browser, sync_playwright

from tests.bench import harness

# How the server of the pages runs, here and in the tests: nothing changes by itself while they are looked at, and files
# are kept by the browser, which loads each of them once.
ENVIRON = {
    "DEBUG": "0",
    "DISPATCHER": "external",
    "TASK_WORKER": "external",
    # Pages offer what needs mails; none is sent.
    "EMAIL_URL": "smtp://localhost:1",
    "SMS_URL": "http://localhost:1/?to={phone}&text={text}",
    "PUBLIC_URL": "https://go.example.test",
}


@contextlib.contextmanager
def running() -> Iterator[tuple[Browser, str]]:
    """Yield a browser, and the address of the server."""
    # Playwright's loop is set in this thread.
    environ = ENVIRON | {"TILE_URL": "", "DJANGO_ALLOW_ASYNC_UNSAFE": "1"}
    with harness.folder() as home, harness.scratch(home, "sqlite", **environ):
        from django.conf import settings
        from django.core.management import call_command

        from tests.browsing import CHROMIUM_ARGUMENTS, headless_shell
        from tests.live import LiveServer

        # Mails to the people who are made here.
        settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
        call_command("collectstatic", verbosity=0, interactive=False)
        server = LiveServer(home / "server.log", {})
        server.start()
        try:
            with sync_playwright() as playwright:
                path, arguments = headless_shell(), CHROMIUM_ARGUMENTS
                yield playwright.chromium.launch(executable_path=path, args=arguments), server.url
        finally:
            server.stop()
            if "Traceback" in server.log_text():
                print(server.log_text()[-4000:])
