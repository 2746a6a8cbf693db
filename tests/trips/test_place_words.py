"""A built-in place is read in the reader's language, in whichever it was chosen."""

import pytest
from django.utils import translation

from trips.places.curated import in_readers_language


@pytest.mark.parametrize(
    ("language", "text", "read"),
    [
        ("ru", "Abay Square", "Площадь Абая"),
        ("kk", "Площадь Абая", "Абай алаңы"),
        ("en", "Площадь Абая", "Abay Square"),
        ("ru", "Almaty-2 station", "Вокзал Алматы-2"),
        ("ru", "Dostyk Avenue 56, Almaty", "Проспект Достык 56, Алматы"),
        ("ru", "My aunt's house", "My aunt's house"),
        ("ru", "", ""),
    ],
)
def test_built_in_places_are_in_the_readers_language(language: str, text: str, read: str) -> None:
    with translation.override(language):
        assert in_readers_language(text) == read
