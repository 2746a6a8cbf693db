"""Draws the icons of the installed application from static/icons/favicon.svg: `python -m tests.icons`.

The files are in git; run it after a change of the drawing. Any icon shows the drawing as it is; of a maskable one the
device cuts off up to a tenth at each side, so its ground reaches the edges and the drawing is smaller.
"""

import re
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

ICONS = Path(__file__).resolve().parent.parent / "static" / "icons"
DRAWING = ICONS / "favicon.svg"
# Name, edge in px, whether it is maskable.
FILES = (("icon-192.png", 192, False), ("icon-512.png", 512, False), ("icon-maskable-512.png", 512, True))


def _drawing(edge: int, *, maskable: bool) -> str:
    svg = DRAWING.read_text().replace("<svg ", f'<svg width="{edge}" height="{edge}" ', 1)
    if maskable:
        svg = svg.replace('rx="9"', "", 1)
        # Everything after the ground, at three quarters of its size around the middle.
        svg = re.sub(
            r"(<rect[^>]*/>)(.*)(</svg>)", r'\1<g transform="translate(4 4) scale(.75)">\2</g>\3', svg, flags=re.DOTALL
        )
    return f"<style>body {{ margin: 0 }} svg {{ display: block }}</style>{svg}"


def main() -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, edge, maskable in FILES:
            page = browser.new_page(viewport={"width": edge, "height": edge})
            page.set_content(_drawing(edge, maskable=maskable))
            page.screenshot(path=ICONS / name, omit_background=True)
        browser.close()


if __name__ == "__main__":
    main()
