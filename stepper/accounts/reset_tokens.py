"""Tokens of links that set a password: Django's, which also end when a backup is restored."""

from typing import Any

from django.contrib.auth.tokens import PasswordResetTokenGenerator

from stepper.models import Restore


class ResetTokenGenerator(PasswordResetTokenGenerator):
    """A link that was used after the backup would work again: the restored password is the one it was made for."""

    def _make_hash_value(self, user: Any, timestamp: int) -> str:
        return super()._make_hash_value(user, timestamp) + Restore.current_generation()


reset_tokens = ResetTokenGenerator()
