"""The languages that pages, messages, mails and notifications come in: English, and those with a compiled catalogue.

Django has catalogues of its own for its own words. A language of which we have none is not offered, or its pages would
be English with a few of Django's words between. `make setup` compiles the catalogues of `locale/`.
"""

from pathlib import Path

from django.conf import settings

# As each is called by those who read it, in the order in which they are offered.
NAMES = {"kk": "Қазақша", "ru": "Русский", "en": "English"}
SOURCE = "en"
# The administration has no Kazakh; who reads Kazakh gets it in Russian.
ADMIN_LANGUAGES = ("ru", "en")


def catalogue(folder: Path, code: str) -> Path:
    """Return where the compiled catalogue of a language is."""
    return folder / code / "LC_MESSAGES" / "django.mo"


def find_offered(folder: Path) -> list[tuple[str, str]]:
    """Return code and name of the languages that have a compiled catalogue below `folder`, and of English."""
    return [(code, name) for code, name in NAMES.items() if code == SOURCE or catalogue(folder, code).exists()]


def offered_or_source(code: str) -> str:
    """Return the language if it is offered, else English."""
    return code if code in dict(settings.LANGUAGES) else SOURCE


def for_admin(code: str) -> str:
    """Return the language in which the administration is shown to somebody who reads `code`."""
    return next(one for one in (code, *ADMIN_LANGUAGES) if one in ADMIN_LANGUAGES and offered_or_source(one) == one)
