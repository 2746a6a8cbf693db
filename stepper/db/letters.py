"""Texts compared without case, in every alphabet, on both databases.

SQLite folds ASCII letters only, so "АЙДАНА" would not be found by "айдана". Here `icontains`, `istartswith` and
`iendswith` compare what `fold_case` makes of both sides; on PostgreSQL its UPPER does the same with the letters of the
database's LC_CTYPE. Ё is written Е by most, so both are one letter. `iexact` stays each database's own: by it accounts
are found, and there two letters must not become one.
"""

LOOKUPS = frozenset({"icontains", "istartswith", "iendswith"})


def fold_case(text: object) -> str | None:
    """Return a value of a column as it is compared: its text in capitals."""
    return None if text is None else str(text).upper().replace("Ё", "Е")
