"""Folding: one spelling for all ways in which people write the same name.

Stored names and queries pass the same function, so it need not be right as a transliteration, only the same for all
spellings of a sound: Алматы, Almaty and almaty are `almati`; Ақтау, Актау, Aqtau and Aktau are `aktau`.
"""

import functools
import re
import unicodedata

# Cyrillic letters, as they are after NFKD and in lower case (й is и, ё is е), and Latin letters that NFKD leaves alone
# or would take too much of.
_LETTERS = str.maketrans(
    {
        **dict(zip("абвгдезиклмнопрстуфхцыэ", "abvgdeziklmnoprstufhcie", strict=True)),
        "ж": "j",
        "ч": "ch",
        "ш": "sh",
        "щ": "sh",
        "ъ": "",
        "ь": "",
        "ю": "iu",
        "я": "ia",
        # Kazakh, Kyrgyz and Uzbek letters, as they are typed on a Russian keyboard.
        "ә": "a",
        "ғ": "g",
        "і": "i",
        "қ": "k",
        "ң": "n",
        "ө": "o",
        "ұ": "u",
        "ү": "u",
        "һ": "h",
        "ҳ": "h",
        "җ": "j",
        "є": "e",
        "ı": "i",
        "ə": "a",
        "ß": "ss",
        "ø": "o",
        "æ": "a",
    }
)
# What a name in Latin letters may have for one Cyrillic letter, the longest first.
_SOUNDS = (
    ("shch", "sh"),
    ("sch", "sh"),
    ("dzh", "j"),
    ("dj", "j"),
    ("zh", "j"),
    ("kh", "h"),
    ("ts", "c"),
    ("ph", "f"),
    ("ck", "k"),
    ("x", "h"),
    ("q", "k"),
    ("w", "v"),
    ("y", "i"),
    # Есик, Yesik and Esik.
    ("ie", "e"),
)
# A Latin c that is neither in ch nor from ц: sc, ca, co.
_HARD_C = re.compile(r"c(?=[aou])")
_DOUBLED = re.compile(r"([a-z])\1+")
_APOSTROPHES = re.compile("['`´ʻʼʹ‘’′]")
_BETWEEN_WORDS = re.compile(r"[^0-9a-z]+")
_IN_DIGITS = re.compile(r"(?<=[0-9])(?=[a-z])|(?<=[a-z])(?=[0-9])")


def fold(text: str) -> str:
    """Return a text in the letters a-z and digits, words between single spaces; empty where it has neither."""
    folded = _APOSTROPHES.sub("", text.lower()).replace("ç", "ch").replace("ş", "sh")  # NFKD would take the cedilla
    folded = "".join(one for one in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(one))
    folded = folded.translate(_LETTERS)
    for spelling, sound in _SOUNDS:
        folded = folded.replace(spelling, sound)
    folded = _HARD_C.sub("k", folded)
    folded = _DOUBLED.sub(r"\1", folded)
    folded = _IN_DIGITS.sub(" ", folded)
    return _BETWEEN_WORDS.sub(" ", folded).strip()


@functools.lru_cache(maxsize=50_000)
def words(text: str) -> tuple[str, ...]:
    """Return the folded words of a text."""
    return tuple(fold(text).split())
