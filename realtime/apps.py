"""The app of events, sockets and notifications."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RealtimeConfig(AppConfig):
    name = "realtime"
    verbose_name = _("Realtime")

    def ready(self) -> None:
        from realtime.push import offers, subscriptions  # noqa: PLC0415 - models exist only now

        offers.connect()
        subscriptions.connect()
