"""The structure that docs/architecture.md describes: imports without a circle, names in the docs that exist, sizes."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

# No database or Redis plays a part.
pytestmark = pytest.mark.embedded_only

ROOT = Path(__file__).parents[2]
APPS = ("stepper", "realtime", "drivers", "trips")
DOCS = sorted([*ROOT.glob("docs/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
_FILE = re.compile(rf"(?<![\w/])((?:{'|'.join((*APPS, 'tests', 'templates', 'static'))})/[\w/.-]*\w)")
MODULES = sorted(
    path.relative_to(ROOT).as_posix()
    for app in APPS
    for path in ROOT.glob(f"{app}/**/*.py")
    if "migrations" not in path.parts
)
MAX_LINES_OF_A_MODULE, MAX_LINES_OF_A_CLASS, MAX_LINES_OF_A_FUNCTION = 450, 300, 60
# `stepper.v1` is the name of the protocol.
_NAME = re.compile(rf"`(?!stepper\.v1)((?:{'|'.join(APPS)})(?:\.\w+)+)(?:\(\))?`")


def _circles(graph: grimp.ImportGraph) -> Iterator[list[str]]:
    """Find modules that import each other, directly or by way of others (Tarjan's strongly connected components)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []

    def visit(module: str) -> Iterator[list[str]]:
        number[module] = lowest[module] = len(number)
        path.append(module)
        for imported in sorted(graph.find_modules_directly_imported_by(module)):
            if imported not in number:
                yield from visit(imported)
                lowest[module] = min(lowest[module], lowest[imported])
            elif imported in path:
                lowest[module] = min(lowest[module], number[imported])
        if lowest[module] == number[module]:
            circle = path[path.index(module) :]
            del path[path.index(module) :]
            if len(circle) > 1:
                yield circle

    for module in sorted(graph.modules):
        if module not in number:
            yield from visit(module)


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = grimp.build_graph(*APPS, exclude_type_checking_imports=True, cache_dir=None)
    # A package's own modules and the names it passes on are one thing.
    packages = {f"{name}.models" for name in ("trips", "stepper")} | {"trips.admin", "stepper.admin"}
    circles = [one for one in _circles(graph) if not any(set(one) <= _inside(graph, name) for name in packages)]
    assert circles == []


def _inside(graph: grimp.ImportGraph, package: str) -> set[str]:
    return {package} | graph.find_descendants(package)


def _named(pattern: re.Pattern[str]) -> list[tuple[str, str]]:
    found = {(doc.name, one) for doc in DOCS for one in pattern.findall(doc.read_text())}
    return sorted(found)


@pytest.mark.parametrize(("doc", "name"), _named(_FILE))
def test_file_named_in_the_docs_exists(doc: str, name: str) -> None:
    assert list(ROOT.glob(name)), f"{doc} names {name}"


@pytest.mark.parametrize(("doc", "name"), _named(_NAME))
def test_module_or_function_named_in_the_docs_exists(doc: str, name: str) -> None:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return
    raise AssertionError(f"{doc} names {name}")


@pytest.mark.parametrize("module", MODULES)
def test_module_class_and_function_are_not_too_long(module: str) -> None:
    """A function inside another counts for both, docstrings count too."""
    text = (ROOT / module).read_text()
    too_long = [f"{module}: {length} lines"] if (length := len(text.splitlines())) > MAX_LINES_OF_A_MODULE else []
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.ClassDef():
                most = MAX_LINES_OF_A_CLASS
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                most = MAX_LINES_OF_A_FUNCTION
            case _:
                continue
        if node.end_lineno is not None and (length := node.end_lineno - node.lineno + 1) > most:
            too_long.append(f"{module}:{node.lineno} {node.name}: {length} lines")
    assert too_long == []


@pytest.mark.parametrize("module", MODULES)
def test_module_says_what_it_owns(module: str) -> None:
    tree = ast.parse((ROOT / module).read_text())
    assert not tree.body or ast.get_docstring(tree), f"{module} has no docstring"
