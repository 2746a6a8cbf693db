"""Colours of vehicles in the reader's language: what drivers typed stays in the row, a known colour is translated."""

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
_KNOWN["gray"] = _KNOWN["grey"]


def colour_in_words(colour: str) -> str:
    """Return a colour in the active language; as it was typed where nobody knows it."""
    names = _KNOWN.get(_key(colour))
    return in_language(names) if names else colour
