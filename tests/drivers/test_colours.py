"""A vehicle's colour is read in the reader's language, whoever typed it in which."""

import pytest
from django.utils import translation

from drivers.models import Vehicle


@pytest.mark.parametrize(
    ("language", "typed", "read"),
    [
        ("en", "Red", "Red"),
        ("ru", "Red", "Красная"),
        ("ru", "blue", "Синяя"),
        ("kk", "red ", "Қызыл"),
        ("en", "черный", "Black"),
        ("ru", "gray", "Серая"),
        ("ru", "Moonlight", "Moonlight"),
    ],
)
def test_known_colours_are_in_the_readers_language(language: str, typed: str, read: str) -> None:
    with translation.override(language):
        assert Vehicle(colour=typed, make="Kia", model="K5").label == f"{read} Kia K5"
