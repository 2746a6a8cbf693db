"""The administration of people and settings, and what every page of it shares (`base`); Django finds it here."""

from . import people, proofs, restores, security_log, service_settings

__all__ = ["people", "proofs", "restores", "security_log", "service_settings"]
