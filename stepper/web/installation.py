"""What makes the pages an application that can be installed: manifest, service worker, the page shown offline.

The service worker keeps static files and the offline page, nothing else: pages are somebody's, and an old one would
pass for live. Its text contains the version and the shell, so a browser finds a new release by itself.
"""

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import staticfiles_storage
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.urls import reverse
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

# Together they are the service worker.
WORKERS = tuple(Path(__file__).with_name(name) for name in ("service_worker.js", "push_worker.js"))
OFFLINE_PAGE = "stepper/offline.html"
ICON_SIZES = (192, 512)
# Files of packages that every page or the dashboard loads; our own are found in their folder.
_PACKAGED = (
    "django_htmx/htmx-2.min.js",
    "django_htmx/ext/hx-ws-2.min.js",
    "js_lib_leaflet/leaflet.css",
    "js_lib_leaflet/leaflet.js",
)
_OWN = ("css/*.css", "fonts/*.woff2", "icons/*.svg", "js/*.js")
# The shortcuts of the installed application: words and names of addresses.
PASSENGERS_PAGES = ((gettext_lazy("Book a trip"), "booking:book"), (gettext_lazy("My trips"), "trips:list"))
DRIVERS_PAGES = ((gettext_lazy("Online"), "drivers:dashboard"), (gettext_lazy("Earnings"), "drivers:earnings"))
_OF_STAFF = {"css/admin.css", "js/admin.js"}


def shell_files() -> list[str]:
    """List the static files of the pages, but not of the administration, by their plain names."""
    folder = Path(settings.BASE_DIR) / "static"
    own = {path.relative_to(folder).as_posix() for pattern in _OWN for path in folder.glob(pattern)}
    return [*_PACKAGED, *sorted(own - _OF_STAFF)]


def shell() -> dict[str, object]:
    """Return what the service worker knows of this release; the version changes with any of the files."""
    # Read once: files change with a release, whose servers are started anew.
    return _read_shell() if settings.DEBUG else _kept_shell()


@lru_cache(maxsize=1)
def _kept_shell() -> dict[str, object]:
    return _read_shell()


def _read_shell() -> dict[str, object]:
    hashed = hasattr(staticfiles_storage, "manifest_name")
    names = shell_files()
    addresses = [static(name) for name in names]
    digest = hashlib.sha256(" ".join(addresses).encode())
    # A hashed name says its content already.
    contents = [] if hashed else [Path(str(finders.find(name))) for name in names]
    for path in (*contents, *WORKERS, Path(settings.BASE_DIR) / "templates" / OFFLINE_PAGE):
        digest.update(path.read_bytes())
    return {
        "version": digest.hexdigest()[:12],
        "files": addresses,
        "hashed": hashed,
        "offline": reverse("stepper:offline"),
        "icon": static("icons/icon-192.png"),
    }


@require_safe
@cache_control(max_age=300)
def manifest(request: HttpRequest) -> HttpResponse:
    """Describe the application to the browser that installs it."""
    icons = [
        {"src": static(f"icons/icon-{size}.png"), "sizes": f"{size}x{size}", "type": "image/png", "purpose": "any"}
        for size in ICON_SIZES
    ]
    masked = static("icons/icon-maskable-512.png")
    icons += [{"src": masked, "sizes": "512x512", "type": "image/png", "purpose": "maskable"}]
    shortcut_icons = [{"src": static("icons/icon-192.png"), "sizes": "192x192", "type": "image/png"}]
    # One application: its shortcuts are those of whose pages it was installed from.
    pages = DRIVERS_PAGES if request.GET.get("for") == "driver" else PASSENGERS_PAGES
    content = {
        "id": "/",
        "name": "StepperGO",
        "short_name": "StepperGO",
        "description": _("Trips in the city and between cities"),
        "lang": get_language(),
        "dir": "ltr",
        "start_url": reverse("stepper:home", query={"start": "app"}),
        "scope": "/",
        "display": "standalone",
        "background_color": "#f4f5f2",
        "theme_color": "#0b6b4f",
        "categories": ["travel", "navigation"],
        "icons": icons,
        "shortcuts": [{"name": str(name), "url": reverse(address), "icons": shortcut_icons} for name, address in pages],
    }
    return JsonResponse(content, content_type="application/manifest+json")


@require_safe
@cache_control(no_cache=True)
def service_worker(request: HttpRequest) -> HttpResponse:
    """Return the service worker, with the shell of this release written into it."""
    parts = [f"const SHELL = {json.dumps(shell())};", *(path.read_text() for path in WORKERS)]
    text = "\n\n".join(parts)
    return HttpResponse(text, content_type="text/javascript; charset=utf-8")


@require_safe
def offline(request: HttpRequest) -> HttpResponse:
    """Show what the service worker keeps for when there is no network: the same for everybody."""
    return render(request, OFFLINE_PAGE)
