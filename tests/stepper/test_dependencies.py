"""What is installed: locks with hashes, licences, and the outcomes of `make audit`."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests import licences
from tests.licences import ROOT

pytestmark = pytest.mark.embedded_only

LOCKS = ("requirements", "requirements-dev", "requirements-tools")


def pins(text: str) -> dict[str, str]:
    """The packages that a list of requirements names, with their versions; extras and case left out."""
    found = re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==([\w.]+)", text, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


@pytest.mark.parametrize("name", LOCKS)
def test_lock_pins_each_package_with_hashes_and_names_no_address(name) -> None:
    text = (ROOT / f"{name}.lock").read_text()
    entries = re.sub(r" \\\n +", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    entry = re.compile(r"[a-z0-9-]+==[\w.]+ ; [^#@/-]+( --hash=sha256:[0-9a-f]{64})+")
    assert [one for one in entries if not entry.fullmatch(one)] == []
    assert "//" not in text


@pytest.mark.parametrize("name", LOCKS)
def test_lock_holds_what_is_asked_for(name) -> None:
    wanted = pins((ROOT / f"{name}.txt").read_text())
    locked = pins((ROOT / f"{name}.lock").read_text())
    assert {package: locked.get(package) for package in wanted} == wanted


def test_development_lock_holds_the_application_as_it_runs() -> None:
    locked = pins((ROOT / "requirements.lock").read_text())
    developed = pins((ROOT / "requirements-dev.lock").read_text())
    assert {package: developed.get(package) for package in locked} == locked


def test_each_package_has_an_allowed_licence_in_the_list() -> None:
    assert licences.PAGE.read_text() == licences.write_page(), "run make lock"
    found = {package: licences.licence_of(package) for package in licences.read_lock()}
    found |= {what: licence for what, licence, _package, _place in licences.BUNDLED}
    assert {what: licence for what, licence in found.items() if not licences.is_allowed(licence)} == {}


@pytest.mark.parametrize(("licence", "allowed"), [("MIT OR GPL-3.0", True), ("MIT AND GPL-3.0", False), ("", False)])
def test_a_licence_is_allowed_if_each_part_is(licence, allowed) -> None:
    assert licences.is_allowed(licence) is allowed


def test_files_of_others_inside_packages_are_listed() -> None:
    listed = {place for _what, _licence, _package, place in licences.BUNDLED}
    found = set()
    for package in ("django.contrib.admin", "unfold", "django_htmx", "js_lib_leaflet", "lucide", "rest_framework"):
        spec = find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        folder = Path(spec.origin).parent
        site = folder.parents[package.count(".")]
        found |= {
            str(file.parent.relative_to(site))
            for file in folder.rglob("*")
            if file.name.upper().startswith(("LICENSE", "LICENCE")) and "static" in file.parts
        }
        assert all((site / place).exists() for place in listed if place.startswith(package.split(".")[0] + "/"))
    assert found <= listed


CLEAN = {"name": "django", "version": "5.2.19", "vulns": []}
SKIPPED = {"name": "idna", "skip_reason": "not found"}
WEAK = {"name": "idna", "version": "3.20", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3.21"]}]}


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        ([CLEAN], 0, "1 of 1 packages audited, 0 vulnerabilities"),
        ([CLEAN, WEAK], 1, "idna 3.20: PYSEC-1, mended in 3.21"),
        ([CLEAN, SKIPPED], 1, "Not audited, unknown to the source: idna"),
        ([SKIPPED, SKIPPED], 3, "NOT AUDITED"),
        (None, 3, "NOT AUDITED"),
    ],
)
def test_audit_fails_on_what_is_found_and_on_what_was_skipped(tmp_path, answer, status, words) -> None:
    (tmp_path / "python").symlink_to(sys.executable)
    said = json.dumps({"dependencies": answer}) if answer else ""
    (tmp_path / "pip-audit").write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\nexit 1\n")
    (tmp_path / "pip-audit").chmod(0o755)
    done = subprocess.run(
        [tmp_path / "python", ".ci/audit"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == status, done.stderr
    assert words in done.stdout + done.stderr
