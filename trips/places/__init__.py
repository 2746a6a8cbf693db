"""Places by name: the table and what comes with it, search, geocoders, imports."""

from .lookup import FoundPlace, describe_point, named, search

__all__ = ["FoundPlace", "describe_point", "named", "search"]
