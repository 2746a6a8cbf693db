"""The catalogues say everything that the code and the templates do, and nothing that people read is outside of them."""

import ast
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from django.template.base import Lexer, TokenType

from tests import catalogues
from tests.catalogues import KEYWORDS, PACKAGES, PLURALS, ROOT, Text

# Files alone, the same on both set-ups.
pytestmark = pytest.mark.embedded_only

TEMPLATES = sorted(path for path in (ROOT / "templates").rglob("*.*"))
SCRIPTS = sorted((ROOT / "static" / "js").glob("*.js"))
MODULES = [
    path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if not {"migrations", "management", "simulator", "backups"} & set(path.parts)
]
# Placeholders and tags: a translation that lost one shows less, one that invents one fails when it is shown.
_PLACES = re.compile(r"%\(\w+\)[\d.]*[a-z]|\{\w+\}|</?\w+>")
# Names, not words.
_NAMES = re.compile(r"StepperGO|GPS|PDF|CSV|XLSX|https?://\S+")
_SEEN_ATTRIBUTES = frozenset({"title", "alt", "placeholder", "aria-label", "aria-description", "label"})


@pytest.fixture(scope="module")
def texts() -> dict[Text, set[str]]:
    return catalogues.extract()


@pytest.fixture(scope="module", params=PLURALS)
def code(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def catalogue(code: str) -> Catalog:
    return catalogues.read(code)


def test_catalogue_has_every_text_and_no_other(code: str, catalogue: Catalog, texts: dict[Text, set[str]]) -> None:
    """`make messages` adds what is missing here."""
    known = {(entry.context, entry.id) for entry in catalogue if entry.id}
    assert known == {(text.context, text.id) for text in catalogues.wanted(code, texts)}


def test_catalogue_translates_every_text(catalogue: Catalog) -> None:
    """Also every form of a plural, and none by a guess (fuzzy)."""
    assert [entry.id for entry in catalogues.untranslated(catalogue)] == []


def test_translation_has_the_places_of_its_text(code: str, catalogue: Catalog) -> None:
    """In the first form of a plural the number may be a word."""
    for entry in catalogue:
        ids, strings = _several(entry.id), _several(entry.string)
        assert len(strings) == (int(PLURALS[code][len("nplurals=")]) if len(ids) == 2 else 1), entry.id
        known = [set(_PLACES.findall(one)) for one in ids]
        assert [one for one in strings if set(_PLACES.findall(one)) not in known] == [], entry.id


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_gettext_has_a_name_that_is_extracted(module: Path) -> None:
    """Texts of a function that has another name here are in no catalogue."""
    imports = [node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.ImportFrom)]
    names = [name for node in imports if node.module == "django.utils.translation" for name in node.names]
    used = {name.asname or name.name for name in names if "gettext" in name.name}
    assert used <= set(KEYWORDS)


def test_no_russian_sentence_ends_with_a_date() -> None:
    """A date ends with a full stop of its own, "2030 г.", and the sentence's would follow."""
    dates = re.compile(r"%\((date|day|month|period)\)s\.")
    strings = [one for entry in catalogues.read("ru") for one in _several(entry.string)]
    assert [one for one in strings if dates.search(one)] == []


def _several(words: object) -> list[str]:
    return [str(one) for one in words] if isinstance(words, list | tuple) else [str(words)]


def _outside_translate(source: str) -> str:
    """Return a template's own text: without what it computes, translates or comments."""
    kept, closing = [], ""
    for token in Lexer(source).tokenize():
        name = token.contents.split(" ")[0] if token.token_type is TokenType.BLOCK else ""
        if closing:
            closing = "" if name == closing else closing
        elif name in {"blocktranslate", "blocktrans", "comment"}:
            closing = f"end{name}"
        elif name == "block" and token.contents.endswith("class"):
            closing = "endblock"
        elif token.token_type is TokenType.TEXT:
            kept.append(token.contents)
    return "".join(kept)


class _Words(HTMLParser):
    """Collects what a page shows or has read out: its text, and attributes that are texts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self._add(data)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in _SEEN_ATTRIBUTES or (name.startswith("data-") and re.search(r"[A-Za-z]+ [a-z]+", value or "")):
                self._add(value or "")

    def _add(self, text: str) -> None:
        if re.search(r"[^\W\d_]{2}", _NAMES.sub("", text)):
            self.found.append(text.strip())


def words_of(source: str) -> list[str]:
    """Return the words of a template that no catalogue can translate."""
    reader = _Words()
    reader.feed(_outside_translate(source))
    reader.close()
    return reader.found


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.relative_to(ROOT / "templates").as_posix())
def test_template_has_no_words_outside_of_translate(template: Path) -> None:
    assert words_of(template.read_text()) == []


def test_words_outside_of_translate_are_found() -> None:
    source = (
        '{% load i18n %}<p title="Two {{ n }} words" data-testid="one-word">{% translate "Fine" %} · {{ name }}'
        "{% if x %}Stray{% endif %}{% blocktranslate %}Fine {{ n }}{% endblocktranslate %}"
        '<b data-note="not fine">12</b>'
    )
    assert words_of(source) == ["Two  words", "· Stray", "not fine"]


# What people read: which argument of a call it is, or which keyword.
_SAID_BY_POSITION = {
    **dict.fromkeys(("InvalidInput", "NotPermitted", "NotFound", "Conflict", "NotSignedIn"), 1),
    **dict.fromkeys(("TooManyRequests", "Unavailable", "notify"), 1),
    **dict.fromkeys(("success", "info", "warning", "error"), 1),
    "ValidationError": 0,
}
_SAID_BY_NAME = frozenset({"label", "help_text", "verbose_name", "title", "description", "empty_label"})


def _said_in_english(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        said = [keyword.value for keyword in node.keywords if keyword.arg in _SAID_BY_NAME]
        of_logger = isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == "logger"
        if name in _SAID_BY_POSITION and not of_logger:
            said += node.args[_SAID_BY_POSITION[name] :][:1]
        for value in said:
            if isinstance(value, ast.Constant | ast.JoinedStr) and " " in ast.unparse(value):
                yield node.lineno, ast.unparse(value)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_module_says_nothing_past_gettext(module: Path) -> None:
    assert list(_said_in_english(module)) == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_has_no_sentences(script: Path) -> None:
    """They are in data attributes of the page; the console is for programmers."""
    code = re.sub(r"//.*|console\..*", "", script.read_text())
    assert re.findall(r"""["'`>][A-Z][a-z]+(?: [a-z]+)+[^"'`]*["'`]""", code) == []
