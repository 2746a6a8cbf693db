"""Whose rows are exported or erased."""

from dataclasses import dataclass

NAME = "–"


@dataclass(frozen=True, slots=True)
class Person:
    """An account, and the driver's row that it may have (None: it does not drive)."""

    user_id: int
    driver_id: int | None
    # In which texts of theirs that stay are written anew.
    language: str
    # What texts about them may name them by: name, short name, phone numbers, e-mail. Never empty texts.
    names: tuple[str, ...] = ()
