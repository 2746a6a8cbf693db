"""The app of events, sockets and notifications."""

from django.apps import AppConfig


class RealtimeConfig(AppConfig):
    name = "realtime"

    def ready(self) -> None:
        from realtime.push import offers, subscriptions  # noqa: PLC0415 - models exist only now

        offers.connect()
        subscriptions.connect()
