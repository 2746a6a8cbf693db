"""Static files as real use serves them: hashed names that lead to each other, and fonts with the letters in use."""

import gzip
import re
import shutil
import string
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from fontTools.ttLib import TTFont

from stepper.web.static_files import StaticFilesStorage

# No database plays a part.
pytestmark = pytest.mark.embedded_only

OWN = Path(settings.BASE_DIR) / "static"
RUSSIAN = "абвгдеёжзийклмнопрстуфхцчшщъыьэюя"
KAZAKH = "әғқңөұүһі"
SIGNS = "₸€№«»„“”–—…·×≈°≤≥→\u2009\u202f\u00a0"


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our own files as `collectstatic` leaves them."""
    folder = tmp_path_factory.mktemp("collected")
    shutil.copytree(OWN, folder, dirs_exist_ok=True)
    storage = StaticFilesStorage(location=folder, base_url="/static/")
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    for _name, _hashed, outcome in storage.post_process({name: (storage, name) for name in names}):
        assert not isinstance(outcome, Exception), outcome
    return folder


def test_modules_import_each_other_by_hashed_names(collected: Path) -> None:
    """Otherwise a page could run modules of two releases, and one module twice."""
    hashed = [path for path in (collected / "js").glob("*.js") if re.search(r"\.[0-9a-f]{12}\.js$", path.name)]
    assert len(hashed) == len(list((OWN / "js").glob("*.js")))
    imported = {name for path in hashed for name in re.findall(r"""["']\./([^"']+\.js)["']""", path.read_text())}
    assert len(imported) > 5
    assert imported <= {path.name for path in hashed}


def test_scripts_lose_their_comments_and_a_fifth_of_their_size(collected: Path) -> None:
    before = after = 0
    for script in (OWN / "js").glob("*.js"):
        (smaller,) = (collected / "js").glob(f"{script.stem}.????????????.js")
        assert not re.search(r"^\s*//", smaller.read_text(), re.MULTILINE)
        before += len(gzip.compress(script.read_bytes()))
        after += len(gzip.compress(smaller.read_bytes()))
    assert after < 0.8 * before


def test_style_sheet_names_the_hashed_fonts(collected: Path) -> None:
    (sheet,) = (collected / "css").glob("base.????????????.css")
    fonts = re.findall(r'url\("\.\./fonts/([^"]+)"\)', sheet.read_text())
    assert [re.sub(r"\.[0-9a-f]{12}\.", ".", name) for name in fonts] == [f"Inter-{w}.woff2" for w in (400, 600, 700)]
    assert all((collected / "fonts" / name).exists() for name in fonts)


def test_style_sheets_use_the_weights_that_are_there() -> None:
    """Any other would be drawn with a neighbour's letters."""
    weights = {
        int(w) for path in (OWN / "css").glob("*.css") for w in re.findall(r"font-weight: (\d+)", path.read_text())
    }
    assert weights == {400, 600, 700}


@pytest.mark.parametrize("weight", [400, 600, 700])
def test_font_has_the_letters_of_all_languages(weight: int) -> None:
    font = TTFont(OWN / "fonts" / f"Inter-{weight}.woff2")
    letters = string.printable.strip() + " ÄÖÜäöüßÇĞİŞçğış" + SIGNS
    letters += RUSSIAN + RUSSIAN.upper() + KAZAKH + KAZAKH.upper()
    assert [letter for letter in letters if ord(letter) not in font.getBestCmap()] == []
    # Figures of one width, which countdowns and money are set in.
    figures = ["eight", "five", "four", "nine", "one", "seven", "six", "three", "two", "zero"]
    # Nothing else has its width: text would have wide spaces and hyphens.
    assert sorted(_substituted(font, "tnum")) == figures


def _substituted(font: TTFont, tag: str) -> set[str]:
    """Return the signs for which a feature has others."""
    table = font["GSUB"].table
    records = [record.Feature for record in table.FeatureList.FeatureRecord if record.FeatureTag == tag]
    parts = [part for one in records for n in one.LookupListIndex for part in table.LookupList.Lookup[n].SubTable]
    return {name for part in parts for name in getattr(part, "ExtSubTable", part).mapping}


def test_file_is_sent_whole_in_part_or_not_again(client: Client) -> None:
    whole = client.get("/static/css/base.css")
    assert whole.content == (OWN / "css" / "base.css").read_bytes()
    assert not whole.streaming
    assert whole.headers["Content-Type"].startswith("text/css")

    part = client.get("/static/css/base.css", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    head = client.head("/static/css/base.css")
    assert (head.content, head.headers["Content-Length"]) == (b"", str(len(whole.content)))
    known = client.get("/static/css/base.css", headers={"If-None-Match": whole.headers["ETag"]})
    assert (known.status_code, known.content) == (304, b"")
    # A page has thirty scripts, and the ETag says as much.
    assert "Last-Modified" not in whole.headers
    assert client.post("/static/css/base.css").status_code == 405
