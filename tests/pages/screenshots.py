"""Make pictures of pages of the table (`make screenshots`).

Without arguments: the pictures of the README, in docs/images/. With `--all --to DIR`: every state, on the phone and the
desktop, light and dark, in the languages in turn.
"""

import argparse
import io
import sys
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.pages.check import CONTEXT
from tests.pages.service import running

README = Path(__file__).resolve().parents[2] / "docs" / "images"
# File, page, colours, width: what the README shows.
BEST: tuple[tuple[str, str, Literal["light", "dark"], int], ...] = (
    ("driver.png", "driver-offer", "light", 390),
    ("active.png", "driver-usual", "dark", 390),
    ("trip.png", "trip-usual", "light", 1280),
    ("earnings.png", "earnings-week", "light", 390),
)
COLOURS = 128


def main() -> int:
    parser = argparse.ArgumentParser(prog="make screenshots", description=__doc__)
    parser.add_argument("--all", action="store_true", help="every state, not only the README's pictures")
    parser.add_argument("--to", type=Path, default=README, help="the folder, by default docs/images/")
    parser.add_argument("--only", default="", help="of all states those whose name contains this")
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    with running() as (browser, url):
        if options.all:
            take_all(browser, url, options.to, options.only)
        else:
            take_best(browser, url, options.to)
    return 0


def take_best(browser: Browser, url: str, folder: Path) -> None:
    # They need Django.
    from tests.pages.people import People
    from tests.pages.table import PAGES
    from tests.pages.visits import Combination, Visits

    rows = {row.name: row for row in PAGES}
    with Visits(browser, url, People(), CONTEXT) as visits:
        for name, page, scheme, width in BEST:
            shown = visits.open(rows[page], Combination("en", scheme, width))
            # Until the first position has arrived.
            expect(shown.locator("#offline:visible")).to_have_count(0)
            save(shown, folder / name)


def take_all(browser: Browser, url: str, folder: Path, only: str) -> None:
    from tests.pages.people import People
    from tests.pages.table import PAGES
    from tests.pages.visits import SCHEMES, Combination, Visits

    with Visits(browser, url, People(), CONTEXT) as visits:
        for number, row in enumerate(PAGES):
            # Half of them in English, the others in the two other languages in turn.
            language = ("en", "ru", "en", "kk")[number % 4]
            for width in (390, 1280):
                if only not in row.name:
                    continue
                page = visits.open(row, Combination(language, SCHEMES[0], width))
                for scheme in SCHEMES:
                    visits.recolour(scheme)
                    save(page, folder / f"{row.name}-{language}-{width}-{scheme}.png", whole=True)


def save(page: Page, path: Path, *, whole: bool = False) -> None:
    """Save what the page shows, or all of it, with a palette: a quarter of the bytes, and no difference to be seen."""
    picture = Image.open(io.BytesIO(page.screenshot(full_page=whole, animations="disabled", caret="hide")))
    picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size // 1024} kB", flush=True)


if __name__ == "__main__":
    sys.exit(main())
