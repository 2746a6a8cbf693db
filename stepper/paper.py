"""Documents for paper: A4 pages as PDF, in the reader's language.

Set in Inter, which has the Kazakh letters and ₸, from the files that the admin package brings along. Only the letters
that occur go into the PDF. Importing this takes half a second, so only import it where a document is made.
"""

import datetime as dt
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path

from django.utils.translation import get_language
from fontTools.ttLib import TTFont
from fpdf import FPDF
from fpdf.enums import XPos, YPos

FONT = "Inter"
INK, QUIET, LINE = (20, 32, 27), (85, 98, 91), (223, 226, 218)


def _font_file(weight: str) -> Path:
    return Path(str(files("unfold") / "static/unfold/fonts/inter" / f"Inter-{weight}.woff2"))


@cache
def _letters() -> frozenset[int]:
    """Return the code points that the font has."""
    with TTFont(_font_file("Regular"), lazy=True) as font:
        return frozenset(font.getBestCmap())


def printable(text: str) -> str:
    """Return the text with a question mark for each letter that the font lacks, such as Chinese ones."""
    letters = _letters()
    return "".join(letter if ord(letter) in letters else "?" for letter in text)


class Paper(FPDF):
    """An A4 page with the number of the page at its foot."""

    def __init__(self, title: str, foot: str, made_at: dt.datetime) -> None:
        super().__init__(format="A4")
        self.set_title(title)
        self.set_lang(get_language() or "en")
        self.set_creation_date(made_at)
        self._foot = foot
        self.add_font(FONT, "", _font_file("Regular"))
        self.add_font(FONT, "B", _font_file("Bold"))
        self.set_margin(15)
        self.set_auto_page_break(auto=True, margin=18)
        self.add_page()

    def footer(self) -> None:
        self.set_y(-13)
        self.set_font(FONT, size=8)
        self.set_text_color(*QUIET)
        self.cell(0, 5, self._foot, new_x=XPos.LMARGIN, new_y=YPos.TOP)
        self.cell(0, 5, f"{self.page_no()} / {{nb}}", align="R")

    def line_of_text(self, text: str, *, size: float, style: str = "", quiet: bool = False) -> None:
        self.set_font(FONT, style, size)
        self.set_text_color(*(QUIET if quiet else INK))
        self.multi_cell(0, size * 0.5, text, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def rows(self, rows: Iterable[tuple[str, str]], *, label_mm: float = 60, value_mm: float = 40) -> None:
        """Write a line for each label and its value, which is at the right."""
        for label, value in rows:
            self.set_font(FONT, size=10)
            self.set_text_color(*QUIET)
            self.cell(label_mm, 6, label)
            self.set_font(FONT, "B", 10)
            self.set_text_color(*INK)
            self.cell(value_mm, 6, value, align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
