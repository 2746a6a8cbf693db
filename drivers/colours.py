"""Colours of vehicles in the reader's language: what drivers typed stays in the row, a known colour is translated."""

from django.utils.translation import get_language

from stepper.templatetags.units import in_language

# In English, Russian, Kazakh; Russian for "автомобиль".
_COLOURS = (
    ("White", "Белый", "Ақ"),
    ("Black", "Чёрный", "Қара"),
    ("Grey", "Серый", "Сұр"),
    ("Silver", "Серебристый", "Күміс түсті"),
    ("Red", "Красный", "Қызыл"),
    ("Blue", "Синий", "Көк"),
    ("Light blue", "Голубой", "Көгілдір"),
    ("Green", "Зелёный", "Жасыл"),
    ("Yellow", "Жёлтый", "Сары"),
    ("Orange", "Оранжевый", "Қызғылт сары"),
    ("Brown", "Коричневый", "Қоңыр"),
    ("Beige", "Бежевый", "Бежевый"),
    ("Gold", "Золотистый", "Алтын түсті"),
    ("Purple", "Фиолетовый", "Күлгін"),
    ("Burgundy", "Бордовый", "Күрең қызыл"),
)


def _key(colour: str) -> str:
    return colour.strip().casefold().replace("ё", "е")


_KNOWN = {_key(name): dict(zip(("en", "ru", "kk"), names, strict=True)) for names in _COLOURS for name in names}
# Before a make Russian has the gender of "машина".
_BEFORE_MAKE = {"ый": "ая", "ой": "ая", "ий": "яя"}
_KNOWN["gray"] = _KNOWN["grey"]


def colour_in_words(colour: str) -> str:
    """Return a colour in the active language; as it was typed where nobody knows it."""
    names = _KNOWN.get(_key(colour))
    return in_language(names) if names else colour


def colour_before_make(colour: str) -> str:
    """Return a colour as it stands before the make: `White` Toyota, `Белая` Toyota."""
    words = colour_in_words(colour)
    if _key(words) not in _KNOWN or get_language() != "ru":
        return words
    return words[:-2] + _BEFORE_MAKE.get(words[-2:], words[-2:])
