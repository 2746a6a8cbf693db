"""docs/drivers.md: the same in three languages, and what drivers shall press is so called on the pages."""

import re

import pytest
from django.utils.translation import gettext, override

from tests.live import ROOT

# Files alone, the same on both set-ups.
pytestmark = pytest.mark.embedded_only

# The part of each language, by the heading with its name.
PARTS = dict(
    zip(
        ("en", "ru", "kk"),
        re.split(r"^## .*$", (ROOT / "docs" / "drivers.md").read_text(), flags=re.MULTILINE)[1:],
        strict=True,
    )
)


def labels(code: str) -> list[str]:
    """What the part of a language shows in bold, in its order."""
    return re.findall(r"\*\*(.+?)\*\*", PARTS[code])


@pytest.mark.parametrize("code", ["ru", "kk"])
def test_labels_are_those_of_the_pages(code: str) -> None:
    with override(code):
        said = [gettext(text) for text in labels("en")]
    assert len(said) > 10
    assert said == labels(code)


def test_english_labels_are_texts_of_the_pages() -> None:
    with override("ru"):
        assert [text for text in labels("en") if gettext(text) == text] == []


@pytest.mark.parametrize("code", ["ru", "kk"])
def test_parts_have_the_same_headings_lists_and_tables(code: str) -> None:
    def outline(one: str) -> list[str]:
        return re.findall(r"^(?:### |- |\d\. |\| )", PARTS[one], flags=re.MULTILINE)

    assert outline(code) == outline("en")
