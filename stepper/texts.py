"""Texts that people type and others read: without invisible, bidirectional and control characters, in NFC.

Such characters make one name look like another, reverse what stands behind them or fill a required field with
nothing. Every column that keeps such a text is a `PlainTextField`, so every way in passes `clean_text`: pages, REST,
sockets, the administration and commands. `PlainTextInput` and `stepper.api.base.StringField` clean before a form or a
serializer checks whether a required text is empty.

Kept, where they show, are the joiners, tags and selectors of `_KEPT`. Between letters of other scripts (Latin,
Cyrillic) a joiner is drawn as nothing.
"""

import re
import unicodedata
from typing import TYPE_CHECKING, Any

from django import forms
from django.db import models

# Symbols and pictures, which a joiner or a variation selector may follow.
_PICTURE = "\u2190-\u27ff\u2900-\u2bff\U0001f000-\U0001faff"
# Letters of the Arabic script that join the next one, all that join the one before, and vowel marks.
_JOINS_NEXT = (
    "\u0620\u0626\u0628\u062a-\u062e\u0633-\u063f\u0641-\u0647\u0649\u064a\u066e\u066f\u0678-\u0687\u069a-\u06bf"
    "\u06c1\u06c2\u06cc\u06ce\u06d0\u06d1\u06fa-\u06fc\u06ff\u0750-\u0758\u075c-\u076a\u076d-\u0770\u0772\u0775-\u0777\u077a-\u077f"
)
_JOINS = (
    "\u0620\u0622-\u063f\u0641-\u064a\u066e\u066f\u0671-\u0673\u0675-\u06d3\u06d5"
    "\u06ee\u06ef\u06fa-\u06fc\u06ff\u0750-\u077f"
)
_VOWEL_MARK = "\u064b-\u065f\u0670"
# Letters and signs of the scripts from Devanagari to Sinhala, without marks that NFC puts behind a virama; viramas,
# and nuktas, which stand between a letter and its virama.
_INDIC = "\u0904-\u0950\u0955-\u09fd\u09ff-\u0c54\u0c57-\u0dff"
_VIRAMA = "\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d4d\u0dca"
_NUKTA = "\u093c\u09bc\u0a3c\u0abc\u0b3c\u0c3c\u0cbc"
_BEHIND_VIRAMA = (
    rf"(?:(?<=[{_INDIC}][{_VIRAMA}])(?<![{_VIRAMA}{_NUKTA}][{_VIRAMA}])"
    rf"|(?<=[{_INDIC}][{_NUKTA}][{_VIRAMA}])(?<![{_VIRAMA}{_NUKTA}][{_NUKTA}][{_VIRAMA}]))"
)
_FLAGS = ["".join(chr(0xE0000 + ord(letter)) for letter in f"gb{part}\x7f") for part in ("eng", "sct", "wls")]
_KEPT = "|".join(
    (
        # The joiner between two pictures ("family"), and the selector that asks for the picture in colour.
        rf"(?:(?<=[{_PICTURE}])|(?<=[{_PICTURE}]\ufe0f))\u200d(?=[{_PICTURE}])",
        rf"(?<=[{_PICTURE}])\ufe0f|(?<=[0-9#*])\ufe0f(?=\u20e3)",
        # The tags of the flags of England, Scotland and Wales. No other flag with tags is drawn, so others could hide
        # a text.
        rf"(?<=\U0001f3f4)(?:{'|'.join(_FLAGS)})",
        # As RFC 5892, A.1, has it: the non-joiner between Arabic letters that would join (Persian names and verbs).
        rf"(?:(?<=[{_JOINS_NEXT}])|(?<=[{_JOINS_NEXT}][{_VOWEL_MARK}]))\u200c(?=[{_JOINS}])",
        # A.1 and A.2: behind a virama, the joiner (Sinhala "Sri"), and the non-joiner if the word goes on.
        rf"{_BEHIND_VIRAMA}(?:\u200d|\u200c(?=[{_INDIC}]))",
        # Bengali ra before ya-phalaa, which the RFC does not have.
        "(?<=\u09b0)\u200d(?=\u09cd\u09af)",
    )
)
_INVISIBLE = re.compile(
    rf"(?P<kept>{_KEPT})"
    "|["
    # Control characters, but for the tab, the line feed, and U+0000, which every way in refuses.
    "\x01-\x08\x0b-\x1f\x7f-\x9f"
    "\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff0-\ufffc"  # formatting
    "\ufe00-\ufe0f\U000e0000-\U000e0fff"  # variation selectors and tags
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"  # formatting of shorthand and of music
    "\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"  # letters and a pattern that are drawn as nothing
    "\ue000-\uf8ff\ufffe\uffff\U000f0000-\U0010ffff\ud800-\udfff"  # private, no characters, halves of characters
    "]"
)
_LINE_END = re.compile("\r\n?|\u2028|\u2029")
_LINE_BREAKS = re.compile(r"\s*\n\s*")


def clean_line(text: str) -> str:
    """Return a text as `clean_text` does, with one space between its words: a name."""
    return " ".join(clean_text(text).split())


def clean_text(text: str, *, multiline: bool = False) -> str:
    """Return a text without what nobody can see, in NFC, without white space around it; it never gets longer.

    A line break becomes a space unless `multiline`. Repeating it changes nothing.
    """
    if not (text.isascii() and text.isprintable()):
        text = _LINE_END.sub("\n", text).replace("\t", " ")
        text = _INVISIBLE.sub(lambda found: found["kept"] or "", text)
        composed = unicodedata.normalize("NFC", text)
        # A few characters are composed of two in NFC: such a text could become too long for its column.
        text = composed if len(composed) <= len(text) else text
        if not multiline:
            text = _LINE_BREAKS.sub(" ", text)
    return text.strip()


# The class takes parameters in its types only.
if TYPE_CHECKING:
    _CharField = models.CharField[Any, Any]
else:
    _CharField = models.CharField


class PlainTextInput(forms.CharField):
    """A form's field for a text that others read; a text of invisible characters only counts as empty."""

    def __init__(self, *args: Any, multiline: bool | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._multiline = isinstance(self.widget, forms.Textarea) if multiline is None else multiline

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        return clean_text(text, multiline=self._multiline) if isinstance(text, str) else text


class PlainTextField(_CharField):
    """A column for a text that others read: cleaned when it is validated, stored, and assigned by a save.

    To migrations it is a CharField.
    """

    def __init__(self, *args: Any, multiline: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._multiline = multiline

    def deconstruct(self) -> Any:
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.CharField", args, kwargs

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        return clean_text(text, multiline=self._multiline) if isinstance(text, str) else text

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = super().pre_save(model_instance, add)
        if isinstance(value, str):
            value = self.to_python(value)
            setattr(model_instance, self.attname, value)
        return value

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(**{"form_class": PlainTextInput, **kwargs})
