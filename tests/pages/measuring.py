"""What is wrong with a page as the browser shows it: what axe finds, and what `measure.js` measures."""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from axe_playwright_python.base import AXE_FILE_PATH
from playwright.sync_api import Page

_MEASURE = Path(__file__).with_name("measure.js").read_text()
_AXE = Path(AXE_FILE_PATH).read_text()
# Of what passes axe says nothing: that is most of its time. It would load style sheets again for a rule that is off.
_USUAL = {"resultTypes": ["violations"], "preload": False}
_RUN_AXE = "(options) => axe.run(options).then(({ violations }) => violations)"
# The rules that colours decide.
_COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}


class Finding(NamedTuple):
    """Something wrong at an element. `kind`: an id of axe's rules, or one of `measure.js`."""

    kind: str
    what: str
    where: str


class Measured(NamedTuple):
    """The findings of a page, and how many plates and thousands were looked at."""

    findings: list[Finding]
    counts: Counter[str]


def measure(page: Page) -> Measured:
    """Measure a page as it is now; panels of its content are open afterwards."""
    measured: dict[str, Any] = page.evaluate(_MEASURE)
    findings = [Finding(*one) for one in measured["found"]]
    return Measured([*findings, *run_axe(page)], Counter(measured["counts"]))


def measure_colours(page: Page) -> list[Finding]:
    """Measure what may differ on a page that has been measured, when it is shown in other colours."""
    return run_axe(page, _COLOURS)


def run_axe(page: Page, options: dict[str, Any] | None = None) -> list[Finding]:
    """Return axe's violations of any level."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(_AXE)
    violations: list[dict[str, Any]] = page.evaluate(_RUN_AXE, _USUAL | (options or {}))
    return [
        Finding(
            f"axe {one['id']}", " ".join(str(node["failureSummary"]).split())[:160], " ".join(map(str, node["target"]))
        )
        for one in violations
        for node in one["nodes"]
    ]
