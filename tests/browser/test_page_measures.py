"""What `tests/pages/measure.js` calls a fault, and what it does not, on pages made of one fault each."""

import pytest
from playwright.sync_api import Page

from tests.browsing import PHONE
from tests.pages.measuring import measure

pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]

_PAGE = """<!doctype html><html lang="en"><head><title>A page</title><style>
  body {{ margin: 0; font: 16px/1.5 sans-serif; }} .box {{ width: 90px; white-space: nowrap; }}
</style></head><body><main><h1>A page</h1>{}</main></body></html>"""
LONG = "Words that are longer than their box"
FAULTS = [
    ("cut", f'<p class="box" style="overflow: hidden">{LONG}</p>'),
    ("cut", f'<p class="box" style="overflow: hidden; text-overflow: ellipsis">{LONG}</p>'),
    ("cut", '<div style="height: 12px; overflow: hidden"><p style="margin: 0">One line</p></div>'),
    ("cut", '<p style="position: fixed; left: 350px; white-space: nowrap">Beyond the edge</p>'),
    ("cut", f'<label>Where <input class="box" style="height: 44px" placeholder="{LONG}"></label>'),
    ("overlapping", '<p>The first line</p><p style="margin-top: -36px">The second line</p>'),
    (
        "overlapping",
        '<p>A line of words</p><svg style="display: block; margin-top: -40px" width="44" height="44"></svg>',
    ),
    ("overlapping", f'<p class="box" style="border: 1px solid">{LONG}</p>'),
    (
        "overlapping",
        '<p><input aria-label="A" style="height: 44px"><input aria-label="B" style="height: 44px; margin: -9px"></p>',
    ),
    (
        "overlapping",
        '<p style="border: 1px solid; width: 90px"><input aria-label="From" style="height: 44px; width: 120px"></p>',
    ),
    ("sideways", '<div style="width: 500px; height: 10px"></div>'),
    ("small", '<button style="width: 60px; height: 30px">Press</button>'),
    ("plate", '<p style="width: 60px">482 ABX 02</p>'),
    ("thousands", '<p style="transform: scaleX(0.5)">9\u202f180</p>'),
    ("axe color-contrast", '<p style="color: #aaa">Pale words</p>'),
    ("axe image-alt", '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=" width="50" height="50">'),
]
NO_FAULTS = [
    f'<p class="box" data-shortened style="overflow: hidden; text-overflow: ellipsis">{LONG}</p>',
    '<div tabindex="0" style="height: 60px; overflow: auto"><p>One</p><p>Two</p><p>Three</p><p>Four</p></div>',
    '<p>Under it</p><dialog open aria-label="Over it" style="top: 60px">Over it</dialog>',
    '<p>A sentence with <a href="#x">a link</a> in it.</p>',
]


def _show(page: Page, content: str) -> set[str]:
    page.set_viewport_size(PHONE)
    page.set_content(_PAGE.format(content))
    return {finding.kind for finding in measure(page).findings}


def test_each_kind_of_fault_is_found(page: Page) -> None:
    missed = [(kind, content) for kind, content in FAULTS if kind not in _show(page, content)]
    assert missed == []


def test_what_is_meant_is_no_fault(page: Page) -> None:
    assert {content: found for content in NO_FAULTS if (found := _show(page, content))} == {}
