"""`manage.py vapid_key`: prints a new key for VAPID_PRIVATE_KEY, which several processes must share."""

from typing import Any

from django.core.management.base import BaseCommand

from stepper.push_keys import make_vapid_key


class Command(BaseCommand):
    help = "Makes a key that signs pushes, for the environment: VAPID_PRIVATE_KEY. Another key ends all subscriptions."

    def handle(self, **options: Any) -> None:
        self.stdout.write(make_vapid_key())
