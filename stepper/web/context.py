"""What every template may use: the map's tiles, the server's clock, the unread count, all computed only when read."""

from functools import cached_property

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from drivers.models import Driver
from realtime.delivery.notifications import unread_count
from stepper.accounts.confirmation import confirms_by_code
from stepper.db.clock import database_now
from stepper.db.prepared import PreparedQuery
from stepper.mail import sending
from stepper.models import ServiceSettings, Theme
from stepper.models.company_settings import Support
from stepper.ops.sections import Section, sections_of

_driver_of = PreparedQuery(lambda user_id: Driver.objects.filter(user=user_id).values_list("pk", flat=True))


class Page:
    """`page.…` in templates. The unread count costs its query only on pages that show the bell, once."""

    tile_url = settings.TILE_URL
    tile_attribution = settings.TILE_ATTRIBUTION

    # Seconds without activity after which staff are signed out.
    staff_idle_s = settings.STAFF_SESSION_IDLE_S

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

    @cached_property
    def support(self) -> Support:
        """How staff are reached; false where they have entered no contact, and no page sends people to them."""
        return self._service.support

    @cached_property
    def _service(self) -> ServiceSettings:
        return ServiceSettings.current()

    @property
    def terms_url(self) -> str:
        """Where the terms of use are; empty: there are none."""
        return self._service.terms_url

    @property
    def privacy_url(self) -> str:
        return self._service.privacy_url or reverse("stepper:privacy")

    @property
    def password_page(self) -> str:
        """What the page of the password does: change; set, where there is none yet; empty: it leads nowhere."""
        user = self._request.user
        if not user.is_authenticated:
            return ""
        if user.has_usable_password():
            return "change"
        return "set" if confirms_by_code(user) or (user.email and self.mail_offered) else ""

    @cached_property
    def ops_sections(self) -> list[Section]:
        """The sections of the operations room that the user may open."""
        return sections_of(self._request.user)

    @cached_property
    def is_driver(self) -> bool:
        user = self._request.user
        return user.is_authenticated and _driver_of.first(user.pk) is not None


def page(request: HttpRequest) -> dict[str, object]:
    return {"page": SimpleLazyObject(lambda: Page(request))}
