"""Number plates: one normal form, so that the same plate typed in two ways is found and cannot be entered twice.

Staff type `101 abk-02`, and Cyrillic letters where a keyboard or a Russian or Kyrgyz registration has them; stored is
`101ABK02`. Shown is `101 ABK 02` (`readable_plate`). A plate that a release before had stored twice is kept with a
suffix, `101ABK02#2`, until staff correct it: it is in doubt, and passengers are shown it without the suffix.
"""

import re
import unicodedata
from typing import Any

from django import forms
from django.core.exceptions import EmptyResultSet
from django.db.models.lookups import IContains
from django.utils.translation import gettext_lazy as _

from stepper.texts import PlainTextField

MAX_LENGTH = 16
DOUBT = "#"
# Cyrillic and Greek capitals that look like a Latin one, Kazakh letters among them.
_LATIN = str.maketrans("АВЕКМНОРСТУХІЈЅҮҺӀΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEKMHOPCTYXIJSYHIABEZHIKMNOPTYX")
_SUFFIX = re.compile(rf"{DOUBT}[0-9]{{1,3}}$")
# What stands apart when a plate is read. Uzbek ones of a company have two groups of digits in a row: 01 123 AAA.
_TWO_NUMBERS = re.compile(r"([0-9]{2})([0-9]{3})([A-Z]{3})")
_GROUPS = re.compile(r"[0-9]+|[^\W\d]+")
# As they are shown.
_KAZAKH = re.compile(r"\b(\d{3}) ([A-Z]{2,3}) (\d{2})\b")


def normal_plate(text: str) -> str:
    """Return a plate as it is stored: Latin capitals and digits, without what stands between them, in ASCII if it can.

    Letters that look like no Latin one stay. The suffix of a doubtful plate stays as well.
    """
    text = text.strip()
    suffix = _SUFFIX.search(text)
    plate = unicodedata.normalize("NFKC", text[: suffix.start()] if suffix else text).upper().translate(_LATIN)
    return "".join(letter for letter in plate if letter.isalnum()) + (suffix[0] if suffix else "")


def readable_plate(plate: str) -> str:
    """Return a plate as it is shown: groups of letters and digits with spaces between them, without a suffix."""
    normal = _SUFFIX.sub("", normal_plate(plate))
    company = _TWO_NUMBERS.fullmatch(normal)
    return " ".join(company.groups() if company else _GROUPS.findall(normal))


def keep_on_one_line(text: str) -> str:
    """Return a text with plates of Kazakhstan in which no line ends inside one."""
    return _KAZAKH.sub("\\1\N{NO-BREAK SPACE}\\2\N{NO-BREAK SPACE}\\3", text)


def is_doubtful(plate: str) -> bool:
    """Say whether the plate had been entered twice when plates got one normal form."""
    return _SUFFIX.search(plate) is not None


class PlateInput(forms.CharField):
    """A form's field for a plate, in any spelling; its value is the normal form."""

    def to_python(self, value: Any) -> Any:
        return normal_plate(super().to_python(value) or "")

    def clean(self, value: Any) -> Any:
        """Refuse what has no letter or digit as no plate, not as if nothing had been entered."""
        if isinstance(value, str) and value.strip() and not readable_plate(value):
            validate_plate("")
        return super().clean(value)

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        suffix, readable = _SUFFIX.search(value), readable_plate(value)
        if not readable:
            return value
        return readable + (f" {suffix[0]}" if suffix else "")


def validate_plate(plate: str) -> None:
    """Refuse what is no plate. Raises ValidationError."""
    if len(plate) > MAX_LENGTH or not plate.isalnum():
        raise forms.ValidationError(_("A plate has letters and digits, at most %(most)d.") % {"most": MAX_LENGTH})


class PlateField(PlainTextField):
    """A column for a plate: whatever is saved, or searched by `exact` and `icontains`, is brought into normal form."""

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        return normal_plate(text) if isinstance(text, str) else text

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(**{"form_class": PlateInput, **kwargs})


@PlateField.register_lookup
class _PlateContains(IContains):
    """Find a part of a plate in any spelling. A text without letters and digits is part of none."""

    def get_prep_lookup(self) -> Any:
        return normal_plate(self.rhs) if isinstance(self.rhs, str) else super().get_prep_lookup()

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        if self.rhs == "":
            raise EmptyResultSet
        return super().as_sql(compiler, connection)
