"""What an address may filter a list of the administration by: what a page of ours links to, and nothing else.

Django allows every lookup of a list's own columns and of the key behind a foreign key. With `startswith` somebody who
may see a list would read a column that no page shows, such as the key of a session, letter by letter; and a regular
expression of theirs would run in the database.
"""

from collections.abc import Collection, Iterable
from typing import Any, Final

from django.contrib.admin import ListFilter

# What filters, date hierarchies and links compare with: whole values, sides of a value, parts of a date, emptiness.
COMPARISONS: Final = frozenset(
    {"exact", "id__exact", "in", "gt", "gte", "lt", "lte", "isnull", "isempty", "date", "year", "month", "day"}
)
# Columns that open something; also where somebody adds one to a list's filters.
_SECRETS: Final = frozenset({"auth", "auth_hash", "data", "endpoint", "key", "p256dh", "password", "token"})


def is_secret(lookup: str) -> bool:
    """Say whether a lookup or the path of a field goes through a column that opens something."""
    return any(
        part in _SECRETS or part.startswith("session") or part.endswith("_digest") for part in lookup.split("__")
    )


def is_offered(lookup: str, *, filters: Iterable[Any], date_hierarchy: str | None, links: Collection[str]) -> bool:
    """Say whether a list's filters (`list_filter`), its dates or a link of another page ask for this lookup."""
    if lookup in links:
        return True
    fields = [] if date_hierarchy is None else [date_hierarchy]
    for one in filters:
        if isinstance(one, type) and issubclass(one, ListFilter):
            if lookup == getattr(one, "parameter_name", None):
                return True
        else:
            fields.append(one[0] if isinstance(one, list | tuple) else str(one))
    if is_secret(lookup):
        return False
    return any(
        lookup == field or (lookup.startswith(f"{field}__") and lookup.removeprefix(f"{field}__") in COMPARISONS)
        for field in fields
    )
