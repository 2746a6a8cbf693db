"""Every page of the table, each in one combination of language, colours and width; all of them: `make check-pages`."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import Browser

from tests.forked import Forked
from tests.live import ROOT, LiveServer
from tests.pages.measuring import measure
from tests.pages.people import People
from tests.pages.service import ENVIRON
from tests.pages.table import PAGES
from tests.pages.visits import Visits, rotated

pytestmark = [pytest.mark.browser, pytest.mark.embedded_only, pytest.mark.long]

ROTATED = list(rotated(PAGES))
# A test each, for as many processes. Neighbours in the table are the same people's pages: making those takes a while.
PARTS = 4


@pytest.fixture
def quiet(start_server: Callable[..., LiveServer], tmp_path: Path) -> Iterator[LiveServer]:
    """A server on which nothing changes by itself, and whose files a browser loads once."""
    command = ["manage.py", "collectstatic", "--no-input", "--verbosity", "0"]
    collecting = Forked(command, environ=os.environ | ENVIRON, root=ROOT, output=tmp_path / "static.log")
    assert collecting.wait(60) == 0, (tmp_path / "static.log").read_text()
    yield start_server(**ENVIRON)
    folder = Path(settings.STATIC_ROOT)
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.mark.parametrize("part", range(PARTS))
def test_page_is_accessible_and_nothing_on_it_is_cut_or_overlaps(
    quiet: LiveServer, browser: Browser, browser_context_args: dict[str, Any], part: int
) -> None:
    found, counts = [], Counter[str]()
    with Visits(browser, quiet.url, People(), browser_context_args) as visits:
        for row, combination in ROTATED[len(ROTATED) * part // PARTS : len(ROTATED) * (part + 1) // PARTS]:
            measured = measure(visits.open(row, combination))
            counts += measured.counts
            found += [f"{row.name}, {combination}: {' · '.join(finding)}" for finding in measured.findings]
            found += [f"{row.name}, {combination}: {fault}" for fault in visits.take_faults()]
    assert not found, "\n".join(found)
    # Or nothing was looked at.
    assert counts["plates"] >= 1
    assert counts["thousands"] >= 20
