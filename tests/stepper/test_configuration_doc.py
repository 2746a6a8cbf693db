"""docs/configuration.md against the code: every variable and setting, its default and its range."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.migrations.loader import MigrationLoader
from django.db.models import NOT_PROVIDED, Field, PositiveIntegerField
from django.utils.functional import Promise

from stepper.models import ServiceSettings

# No database or Redis plays a part.
pytestmark = pytest.mark.embedded_only

DOCUMENT = Path(settings.BASE_DIR) / "docs" / "configuration.md"
ROW = re.compile(r"^\| `(\w+)` \|(.*)\|$", re.MULTILINE)


def _section(title: str) -> str:
    """The text from a heading of the second level to the next one."""
    return DOCUMENT.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]


def _rows(section: str) -> dict[str, list[str]]:
    """First cell -> the other cells; a name listed twice is an error."""
    found = ROW.findall(section)
    names = [name for name, _cells in found]
    assert sorted(set(names)) == sorted(names)
    return {name: [cell.strip() for cell in cells.split("|")] for name, cells in found}


def _written(value: Any) -> str:
    """A default as somebody writes it into an environment."""
    if isinstance(value, bool):
        return str(int(value))
    return ",".join(value) if isinstance(value, list) else str(value)


def _calls() -> Iterator[tuple[str, ast.expr | None]]:
    """(variable, default) of every call on `env` in the settings."""
    for node in ast.walk(ast.parse((Path(settings.BASE_DIR) / "stepper" / "settings.py").read_text())):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="env"), attr=kind), args=[ast.Constant(value=name), *rest]
            ):
                if kind != "read_env":
                    yield str(name), rest[0] if rest else None


def _defaults() -> dict[str, list[str]]:
    """Variable -> its defaults, one after another: without and with HTTPS, and where it is read twice."""
    found: dict[str, list[str]] = {}
    literals = {name: default.value for name, default in _calls() if isinstance(default, ast.Constant)}
    for name, default in _calls():
        written = found.setdefault(name, [])
        if default is None:
            continue
        code = compile(ast.Expression(default), "settings.py", "eval")
        for https in (False, True):
            # What defaults are computed from: the root of the project, and variables at their own defaults.
            known = {**literals, "BASE_DIR": Path(), "HTTPS": https}
            one = _written(eval(code, {"str": str}, known))  # noqa: S307 - our own settings
            if one and one not in written:
                written.append(one)
    return found


def test_every_environment_variable_is_documented_with_its_default() -> None:
    documented = {name: re.findall(r"`([^`]+)`", cells[0]) for name, cells in _rows(_section("Environment")).items()}
    # Words between the code spans ("with HTTPS") are for people.
    assert documented == _defaults()


def test_variable_without_default_says_empty() -> None:
    empty = {name for name, cells in _rows(_section("Environment")).items() if cells[0] == "empty"}
    assert empty == {name for name, defaults in _defaults().items() if not defaults}


def test_example_file_names_only_what_is_read() -> None:
    named = re.findall(r"^#?([A-Z_]+)=", (Path(settings.BASE_DIR) / ".env.example").read_text(), re.MULTILINE)
    assert named
    assert set(named) <= set(_defaults())


def _fields() -> "dict[str, Field[Any, Any]]":
    return {field.name: field for field in ServiceSettings._meta.fields if field.name not in {"id", "updated_at"}}


def test_every_setting_is_documented() -> None:
    assert list(_rows(_section("Service settings"))) == list(_fields())


@pytest.mark.parametrize("name", _fields())
def test_setting_is_documented_with_its_default_and_range(name: str) -> None:
    field = _fields()[name]
    limits: dict[type, Any] = {type(one): getattr(one, "limit_value", None) for one in field._validators}  # type: ignore[attr-defined]
    low, high = limits.get(MinValueValidator), limits.get(MaxValueValidator)
    default, limit, meaning = _rows(_section("Service settings"))[name]
    assert meaning
    if isinstance(field.default, str):
        assert (default, limit) == (field.default, "")
        assert all(f"`{value}`" in meaning for value, _label in field.choices or [])
        return
    if isinstance(field.default, bool):
        assert (default, limit) == (str(int(field.default)), "0 or 1")
        return
    assert float(default) == field.default
    # A column of whole numbers refuses negative ones by itself, one of fractions does not.
    assert high is not None or isinstance(field, PositiveIntegerField)
    assert limit == ("0 or more" if high is None else f"{low} to {high}")


@pytest.mark.parametrize("name", _fields())
def test_setting_has_a_label(name: str) -> None:
    # The name that Django makes of the column is not translated.
    assert isinstance(_fields()[name].verbose_name, Promise)


def test_newer_setting_has_a_default_in_the_database() -> None:
    """A process of the release before does not know the column: the row it inserts must get the default."""
    older = MigrationLoader(None).project_state(("stepper", "0005_unfilled")).models["stepper", "servicesettings"]
    newer = [field for name, field in _fields().items() if name not in older.fields]
    assert newer
    assert [field.name for field in newer if field.db_default is NOT_PROVIDED] == []
    assert [field.name for field in newer if field.db_default != field.default] == []
