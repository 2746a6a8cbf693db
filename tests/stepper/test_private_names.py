"""What the servers use of their packages without a promise is there in what is installed, and behind one switch."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets import Subprotocol
from websockets.sync.client import connect

from stepper.api.tokens import sign_in
from stepper.server import private_names, uvicorn, uvicorn_private
from stepper.server.private_names import PrivateNames, missing_names
from tests.factories import ALMATY, DriverFactory
from tests.live import LiveServer

# No database or Redis plays a part.
pytestmark = pytest.mark.embedded_only

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


class Plain(LiveServer):
    program = ("-m", "tests.stepper.plain")


@pytest.mark.parametrize("name", ["daphne", "uvicorn"])
@pytest.mark.usefixtures("transactional_db")
def test_sockets_are_served_without_private_names(tmp_path: Path, name: str) -> None:
    server = Plain(tmp_path / "server.log", {})
    server.arguments = ("--server", name)
    server.start()
    access = sign_in(DriverFactory.create(at=ALMATY).user)["access"]
    here = [{"lat": ALMATY[0], "lng": ALMATY[1]}]
    protocols = [Subprotocol("stepper.v1"), Subprotocol(f"bearer.{access}")]
    with connect(f"{server.ws_url}/ws/", subprotocols=protocols) as socket:
        for ref in ("first", "second"):
            socket.send(json.dumps({"type": "driver.location.update", "points": here}))
            socket.send(json.dumps({"type": "driver.location.update", "points": here, "ref": ref}))
            while (frame := json.loads(socket.recv(timeout=10))).get("ref") != ref:
                pass
            assert frame["accepted"] == 1
    server.stop()
    assert "Traceback" not in server.log_text()


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
