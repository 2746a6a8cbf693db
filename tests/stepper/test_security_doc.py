"""docs/security.md: what its claims name exists, and every requirement of ASVS 5.0.0, level 1 and 2, has an answer."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from django.conf import settings

from stepper.models import ServiceSettings

# No database or Redis plays a part.
pytestmark = pytest.mark.embedded_only

ROOT = Path(settings.BASE_DIR)
DOCUMENT = ROOT / "docs" / "security.md"
# Section -> requirements of that level; those of level 3 are left out.
LEVEL_1 = (
    "1.2:1-5 1.3:1-2 1.5:1 2.1:1 2.2:1-2 2.3:1 3.2:1-2 3.3:1 3.4:1-2 3.5:1-3 4.1:1 4.4:1 5.2:1-2 5.3:1-2 6.1:1 6.2:1-8 "
    "6.3:1-2 6.4:1-2 7.2:1-4 7.4:1-2 8.1:1 8.2:1-2 8.3:1 9.1:1-3 9.2:1 10.4:1-5 11.3:1-2 11.4:1 12.1:1 12.2:1-2 13.4:1 "
    "14.2:1 14.3:1 15.1:1 15.2:1 15.3:1"
)
LEVEL_2 = (
    "1.1:1-2 1.2:6-9 1.3:3-11 1.4:1-3 1.5:2 2.1:2-3 2.2:3 2.3:2-4 2.4:1 3.3:2-4 3.4:3-6 3.5:4-5 3.7:1-2 4.1:2-3 4.2:1 "
    "4.3:1-2 4.4:2-4 5.1:1 5.2:3 5.4:1-3 6.1:2-3 6.2:9-12 6.3:3-4 6.4:3-4 6.5:1-5 6.6:1-3 6.8:1-4 7.1:1-3 7.3:1-2 "
    "7.4:3-5 7.5:1-2 7.6:1-2 8.1:2 8.2:3 8.4:1 9.2:2-4 10.1:1-2 10.2:1-2 10.3:1-4 10.4:6-11 10.5:1-5 10.6:1-2 10.7:1-3 "
    "11.1:1-2 11.2:1-3 11.3:3 11.4:2-4 11.5:1 11.6:1 12.1:2-3 12.3:1-4 13.1:1 13.2:1-5 13.3:1-2 13.4:2-5 14.1:1-2 "
    "14.2:2-4 14.3:2-3 15.1:2-3 15.2:2-3 15.3:2-7 16.1:1 16.2:1-5 16.3:1-4 16.4:1-3 16.5:1-3 17.1:1 17.2:1-4 17.3:1-2"
)
ANSWERS = {"met", "partly", "not met", "not applicable"}
_ROW = re.compile(r"^\| (\d+\.\d+\.\d+) \|(.*)\|$", re.MULTILINE)
_TEST = re.compile(r"tests/[\w/]+\.py::\w+")
_FILE = re.compile(r"[\w.-]+(?:/[\w.-]+)+\.(?:py|html|md|js|css)")
_SETTING = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*")
_SERVICE_SETTING = re.compile(r"[a-z]+(?:_[a-z0-9]+)+")
# Written alike, but no settings.
_NO_SETTINGS = {"POST", "EVAL", "SSL_CERT_FILE"}


class Row(NamedTuple):
    level: str
    asked: str
    answer: str
    grounds: str


def _rows() -> list[tuple[str, Row]]:
    """Id -> the row, in the document's order."""
    found = []
    for name, cells in _ROW.findall(DOCUMENT.read_text().split("\n## OWASP ASVS")[1]):
        level, asked, answer, grounds = (cell.strip() for cell in cells.split("|"))
        found.append((name, Row(level, asked, answer, grounds)))
    return found


def _expand(sections: str) -> list[str]:
    names = []
    for one in sections.split():
        section, _colon, numbers = one.partition(":")
        first, _dash, last = numbers.partition("-")
        names += [f"{section}.{number}" for number in range(int(first), int(last or first) + 1)]
    return names


def _code_spans() -> list[str]:
    """What the document has between backticks, outside of blocks."""
    return sorted(set(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", DOCUMENT.read_text(), flags=re.DOTALL))))


@cache
def _tests_of(file: str) -> set[str]:
    path = ROOT / file
    if not path.is_file():
        return set()
    return {
        one.name for one in ast.parse(path.read_text()).body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def _is_setting(name: str) -> bool:
    if _SETTING.fullmatch(name):
        return hasattr(settings, name) or f'"{name}"' in (ROOT / "stepper" / "settings.py").read_text()
    return name in {field.name for field in ServiceSettings._meta.fields}


def test_every_requirement_is_answered_once_with_its_level() -> None:
    levels = [(name, "1") for name in _expand(LEVEL_1)] + [(name, "2") for name in _expand(LEVEL_2)]
    assert (len(_expand(LEVEL_1)), len(_expand(LEVEL_2))) == (70, 183)
    in_order = sorted(levels, key=lambda one: [int(part) for part in one[0].split(".")])
    assert [(name, row.level) for name, row in _rows()] == in_order


def test_every_answer_has_a_test_a_setting_or_a_reason() -> None:
    assert {row.answer for _name, row in _rows()} <= ANSWERS
    assert [name for name, row in _rows() if not row.asked] == []
    assert [name for name, row in _rows() if not _has_grounds(row)] == []


def _has_grounds(row: Row) -> bool:
    spans = re.findall(r"`([^`]+)`", row.grounds)
    words = re.findall(r"[^\W\d_]{2,}", re.sub(r"`[^`]*`|\[[^\]]*\]\([^)]*\)", "", row.grounds))
    if row.answer != "met":
        return len(words) >= 2
    named = any(_TEST.fullmatch(one) or _is_setting(one) or _FILE.fullmatch(one) for one in spans)
    return named or "](" in row.grounds or len(words) >= 4


def test_every_test_and_file_named_exists() -> None:
    spans = _code_spans()
    tests = [one for one in spans if "::" in one]
    assert len(tests) > 100
    assert [one for one in tests if not _TEST.fullmatch(one) or not _is_test(one)] == []
    assert [one for one in spans if _FILE.fullmatch(one) and not (ROOT / one).is_file()] == []


def _is_test(name: str) -> bool:
    file, _colons, function = name.partition("::")
    return function.startswith("test_") and function in _tests_of(file)


def test_every_setting_named_exists() -> None:
    named = {one for one in _code_spans() if _SETTING.fullmatch(one) or _SERVICE_SETTING.fullmatch(one)}
    assert len(named) > 20
    assert [one for one in sorted(named - _NO_SETTINGS) if not _is_setting(one)] == []


@pytest.mark.parametrize("name", ["docs/security.md", "SECURITY.md"])
def test_every_link_leads_somewhere(name: str) -> None:
    text = (ROOT / name).read_text()
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _hash, heading = target.partition("#")
        path = (ROOT / name).parent / file if file else ROOT / name
        if not path.is_file() or (heading and heading not in _headings(path.resolve())):
            broken.append(target)
    assert broken == []


@cache
def _headings(path: Path) -> set[str]:
    """The anchors that a page of this file has."""
    titles = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
