"""What the application does without: code from text, shells, foreign addresses, uploads; scripts that write HTML."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.db.models import FileField

# No database or Redis plays a part.
pytestmark = pytest.mark.embedded_only

ROOT = Path(settings.BASE_DIR)
APPS = ("stepper", "realtime", "drivers", "trips")
MODULES = sorted(path for app in APPS for path in ROOT.glob(f"{app}/**/*.py") if "migrations" not in path.parts)
# Commands of whoever runs the machine and what only they use; the simulated city is a client of the service.
OPERATORS = ("stepper/simulator/", "stepper/backups/", "stepper/management/")
SCRIPTS = sorted(ROOT.glob("static/js/*.js"))

# Read or run what they are given.
INSECURE = {"pickle", "marshal", "shelve", "dill", "jsonpickle", "yaml", "xml", "lxml", "code", "codeop", "pty"}
PROCESSES = {"subprocess", "pexpect"}
CLIENTS = {"httpx", "requests", "urllib3", "aiohttp", "ftplib", "telnetlib", "xmlrpc", "poplib", "imaplib"}
CLIENT_MODULES = {"urllib.request", "http.client", "websockets.asyncio.client", "websockets.sync.client"}
CALLS = {"eval", "exec", "compile", "__import__"}


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for path in MODULES:
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (one.name for one in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield module
                yield from (f"{module}.{one.name}" for one in names)


def _importing(forbidden: set[str]) -> set[str]:
    """Modules that import one of these packages, or of these dotted modules."""
    return {
        name
        for name, tree in _modules()
        for one in _imported(tree)
        if one in forbidden or one.partition(".")[0] in forbidden
    }


def test_nothing_is_read_by_a_format_that_runs_code() -> None:
    assert _importing(INSECURE) == set()


def test_only_the_operators_commands_start_programs_or_call_other_addresses() -> None:
    """Neither a request nor a socket can make the server call an address or start a program.

    Pushes go to the hosts that the operator allows (`realtime.push.endpoints`), searches to the operator's geocoder,
    codes to the operator's provider of SMS.
    """
    found = _importing(PROCESSES | CLIENTS | CLIENT_MODULES)
    assert found
    others = [name for name in found if not name.startswith(OPERATORS)]
    assert sorted(others) == ["realtime/push/sending.py", "stepper/outbound.py", "stepper/sms/sending.py"]


def test_only_commands_use_what_is_the_operators() -> None:
    packages = {one.rstrip("/").replace("/", ".") for one in OPERATORS}
    found = {
        name
        for name, tree in _modules()
        for one in _imported(tree)
        if any(one == package or one.startswith(f"{package}.") for package in packages)
    }
    assert found
    assert [name for name in found if not name.startswith(OPERATORS)] == []


def test_no_module_makes_code_of_text() -> None:
    called = {
        (name, node.func.id)
        for name, tree in _modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS
    }
    assert called == set()


# What only who was sent it knows, as far as it is stored: a comparison that ends early would say how much was right.
SECRETS = re.compile(r"(?:^|_)(?:digest|hmac|signature)$|^(?:password_mark|boarding_code|password|secret)$")
# What a request asked for, to tell whether it is the same: nothing to guess.
OF_REQUESTS = {
    ("trips/kept_quotes.py", "_digest"),
    ("trips/bookings.py", "_digest"),
    ("trips/bookings.py", "request_digest"),
}


def _name(node: ast.expr) -> str:
    """The last part of a dotted name, of what is called too; empty: it is something else."""
    match node:
        case ast.Call(func=called):
            return _name(called)
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def _looked_up(node: ast.Call) -> Iterator[str]:
    if _name(node) in {"filter", "exclude", "get", "Q"}:
        yield from (one.arg.partition("__")[0] for one in node.keywords if one.arg)


def _operands(node: ast.AST) -> Iterator[ast.expr]:
    match node:
        case ast.Compare(left=left, ops=operators, comparators=others):
            if any(isinstance(one, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for one in operators):
                for one in (left, *others):
                    yield from one.elts if isinstance(one, ast.Tuple | ast.List | ast.Set) else (one,)


def test_secrets_are_compared_in_constant_time() -> None:
    """By `constant_time_compare` or `compare_digest`, or found by the digest of 256 random bits."""
    found, looked_up = set(), set()
    for name, tree in _modules():
        if name.startswith(OPERATORS):
            continue
        for node in ast.walk(tree):
            found |= {(name, secret) for secret in map(_name, _operands(node)) if SECRETS.search(secret)}
            if isinstance(node, ast.Call):
                looked_up |= {(name, field) for field in _looked_up(node) if SECRETS.search(field)}
    assert found == OF_REQUESTS
    assert {(name, field) for name, field in looked_up if field not in {"token_digest", "login_digest"}} == {
        # Used up after the comparison, and unchanged since it was read.
        ("stepper/accounts/addresses.py", "code_digest"),
        ("stepper/accounts/adapter.py", "password"),
        ("stepper/models/users.py", "password"),
    }


def test_no_template_is_made_of_text() -> None:
    names = {"from_string", "Template", "Engine", "mark_safe", "SafeData"}
    made = {
        (name, node.attr if isinstance(node, ast.Attribute) else node.id)
        for name, tree in _modules()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr in names) or (isinstance(node, ast.Name) and node.id in names)
    }
    # Drawings of a package.
    assert made == {("stepper/templatetags/icons.py", "mark_safe")}


def test_no_file_is_kept_on_a_disk_and_two_views_take_one() -> None:
    """Pictures of documents: drivers.pictures encodes them anew, and a row keeps them. Staff's tables are read only."""
    fields = [field for model in apps.get_models() for field in model._meta.get_fields()]
    assert [field for field in fields if isinstance(field, FileField)] == []
    reading = re.compile(r"\b(?:FileField|ImageField|UploadedFile)\b|request\.FILES\b|\bdefault_storage\b")
    taking = {path.relative_to(ROOT).as_posix() for path in MODULES if reading.search(path.read_text())}
    assert taking == {"drivers/joining_forms.py", "drivers/joining_views.py", "trips/admin/places.py"}
    decoding = re.compile(r"^from PIL\b|^import PIL\b", re.MULTILINE)
    assert [path.name for path in MODULES if decoding.search(path.read_text())] == ["pictures.py"]
    assert [one for one in ROOT.glob("templates/**/*.html") if 'type="file"' in one.read_text()] == []


# What a page of a driver keeps while it is offline, and how its tabs tell each other (a BroadcastChannel: one origin),
# as those of staff do that somebody is there; how loud this device is; which part of the map staff look at;
# who turned pushes on here; what a page tells its
# own service worker.
MAY_KEEP = {
    # Its own socket's.
    "connection.js": {'"message"'},
    "queue.js": {"indexedDB", "postMessage", '"message"'},
    "signed-out.js": {"localStorage"},
    "preferences.js": {"localStorage"},
    "ops-room.js": {"localStorage"},
    "install.js": {"postMessage"},
    "staff-session.js": {"postMessage", '"message"'},
}


# Calls that a member of staff has not booked yet, in this tab, under their account; signing out clears it.
DRAFTS = {"STORED, JSON.stringify({ open, seen: seen.slice(-MOST_SEEN), front: current()?.key })"}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_makes_no_code_of_text_and_keeps_nothing(script: Path) -> None:
    """Neither code nor pages from text, no messages of other windows; kept: times, the sheet's height, MAY_KEEP."""
    text = script.read_text()
    assert re.findall(r"\beval\(|new Function|document\.write|setTimeout\(\s*[\"'`]|insertAdjacentHTML", text) == []
    keeping = r"postMessage|onmessage|[\"']message[\"']|document\.cookie|localStorage|indexedDB|caches\."
    assert set(re.findall(keeping, text)) <= MAY_KEEP.get(script.name, set())
    assert re.findall(r"__proto__|\.prototype\b|for \([^)]* in ", text) == []
    for stored in re.findall(r"sessionStorage\.setItem\(([^;]*)\)", text):
        assert stored in {"key, String(Date.now())", "KEPT, name", *DRAFTS}


OPS_ROOM_SWAPS = (
    'htmx.ajax("GET", box.dataset[kind].replace("/0/", `/${id}/`), { target: "#ops-card", swap: "innerHTML" });',
    (
        "htmx.ajax("
        '"GET", `/ops/in-view/?${new URLSearchParams({ south, west, north, east })}`, '
        '{ target: "#ops-list", swap: "innerHTML" });'
    ),
)
SWAPS_QUEUE = (
    'await htmx.ajax("GET", "/ops/queue/", { target: "#ops-queue", swap: "outerHTML" }).catch(() => (shown = null));'
)


def test_html_is_written_only_where_it_is_the_servers_or_constant() -> None:
    found = {(path.name, line.strip()) for path in SCRIPTS for line in path.read_text().splitlines() if "HTML" in line}
    assert {(name, line) for name, line in found if not line.startswith(("//", "*", "/*"))} == {
        # Fragments of our own server, on their way to htmx.
        ("htmx-config.js", "template.innerHTML = text;"),
        ("htmx-config.js", "return needless.length ? template.innerHTML : text;"),
        # The same, looked through before htmx puts it in.
        ("call.js", "drawn.innerHTML = event.detail.serverResponse;"),
        # How htmx puts it in.
        *(("ops-room.js", line) for line in OPS_ROOM_SWAPS),
        ("ops-queue.js", SWAPS_QUEUE),
        # The grid under the map, a constant.
        ("map.js", "box.innerHTML ="),
    }


def test_no_page_leaves_sending_to_the_queue_of_htmx() -> None:
    """`ws-send` would keep a form in memory while offline, and send it as whoever is signed in when it is back."""
    pages = ROOT.glob("templates/**/*.html")
    assert [path for path in pages if re.search(r"\bws-send\b", path.read_text())] == []
