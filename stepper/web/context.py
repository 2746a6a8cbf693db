"""What every template may use: the map's tiles, the server's clock, the unread count, all computed only when read."""

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from drivers.models import Driver
from realtime.delivery.notifications import unread_count
from stepper.db.clock import database_now
from stepper.mail import sending
from stepper.models import Theme


class Page:
    """`page.…` in templates. The unread count costs its query only on pages that show the bell, once."""

    tile_url = settings.TILE_URL
    tile_attribution = settings.TILE_ATTRIBUTION

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._unread: int | None = None

    @property
    def server_time(self) -> str:
        """By the database's clock, as all deadlines are."""
        return database_now().isoformat()

    @property
    def theme(self) -> str:
        """The colours that were chosen, light or dark; empty: those of the device."""
        user = self._request.user
        return user.theme if user.is_authenticated and user.theme != Theme.SYSTEM else ""

    @property
    def languages(self) -> list[tuple[str, str]]:
        """Those that are offered, each in its own words, which Django's own tag would translate."""
        return list(settings.LANGUAGES)

    @property
    def mail_offered(self) -> bool:
        return sending.is_offered()

    @property
    def sms_offered(self) -> bool:
        return settings.SMS_PROVIDER is not None

    @property
    def unread(self) -> int:
        user = self._request.user
        if not user.is_authenticated:
            return 0
        if self._unread is None:
            self._unread = unread_count(user.pk)
        return self._unread

    @property
    def is_driver(self) -> bool:
        user = self._request.user
        return user.is_authenticated and Driver.objects.filter(user=user).exists()


def page(request: HttpRequest) -> dict[str, object]:
    return {"page": SimpleLazyObject(lambda: Page(request))}
