"""Settings that a process refuses to start with."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# No database or Redis plays a part.
pytestmark = pytest.mark.embedded_only

ROOT = Path(__file__).parents[2]


def _start(**environment: str) -> tuple[int, str]:
    """Load the settings in a process of its own: (exit status, last line)."""
    code = "from django.conf import settings; print(len(settings.SECRET_KEY))"
    clean = {**os.environ, "DEBUG": "0", "DJANGO_SETTINGS_MODULE": "stepper.settings"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=clean | environment, capture_output=True, text=True, check=False
    )
    return done.returncode, (done.stdout + done.stderr).strip().splitlines()[-1]


def test_short_secret_key_is_refused_without_saying_it() -> None:
    status, said = _start(SECRET_KEY="tooshort" * 3)
    assert (status, "at least 32" in said, "tooshort" in said) == (1, True, False)


def test_secret_key_of_32_characters_is_taken() -> None:
    assert _start(SECRET_KEY="k" * 32) == (0, "32")
