"""What the servers use of their packages without a promise is there in what is installed, and behind one switch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from stepper.server import private_names, uvicorn, uvicorn_private
from stepper.server.private_names import PrivateNames, missing_names

SERVER = Path(private_names.__file__).parent


def test_uvicorn_has_the_private_names_that_its_protocols_rely_on() -> None:
    missing = missing_names(uvicorn_private.PRIVATE_NAMES)
    assert not missing, f"stepper/server/uvicorn_private.py relies on {missing}, which the installed packages lack"


def test_daphne_has_the_private_names_that_its_protocols_rely_on() -> None:
    # In a process of its own: importing Daphne installs Twisted's event loop.
    code = (
        "from stepper.server.daphne_private import PRIVATE_NAMES\n"
        "from stepper.server.private_names import missing_names\n"
        "print(*missing_names(PRIVATE_NAMES))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    missing = done.stdout.split()
    assert not missing, f"stepper/server/daphne_private.py relies on {missing}, which the installed packages lack"


def test_name_that_is_gone_is_named() -> None:
    relied_on: PrivateNames = {HttpToolsProtocol: ("_get_upgrade", "_get_upgrades", "pipeline")}
    assert missing_names(relied_on) == ["uvicorn.protocols.http.httptools_impl.HttpToolsProtocol._get_upgrades"]


def test_switch_leaves_uvicorn_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_names, "USES_PRIVATE_NAMES", False)
    assert uvicorn.protocols() == (HttpToolsProtocol, WebSocketsSansIOProtocol)


@pytest.mark.parametrize("name", ["uvicorn", "uvicorn_http", "daphne", "daphne_http"])
def test_only_the_modules_with_the_lists_use_private_names(name: str) -> None:
    """Elsewhere an underscore is the module's own: it is assigned or defined there."""
    tree = ast.parse((SERVER / f"{name}.py").read_text())
    used: set[str] = set()
    own = {"_put", "_get"}  # asyncio.Queue documents these for its subclasses
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            (own if isinstance(node.ctx, ast.Store) else used).add(node.attr)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            own.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            own.add(node.target.id)
    assert used <= own, f"stepper/server/{name}.py uses {sorted(used - own)}"
