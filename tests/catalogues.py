"""The catalogues of Russian and Kazakh: `make messages` brings them up to date with the code.

Strings come out of Python by Babel and out of templates by Django's own reading of them. A catalogue has what its
language says: the administration has no Kazakh (`stepper.languages`). Where a string is from is said by file alone, and
nothing in a catalogue says when it was written: so only what changed differs.
"""

import calendar
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import django
import unfold
from babel.messages.catalog import Catalog
from babel.messages.catalog import Message as Entry
from babel.messages.extract import DEFAULT_KEYWORDS, extract_python
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
LOCALE = ROOT / "locale"
PACKAGES = ("stepper", "realtime", "drivers", "trips")
KEYWORDS = {
    **DEFAULT_KEYWORDS,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext_lazy": (1, 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext_lazy": ((1, "c"), 2, 3),
}
# How many forms a number has, by CLDR for whole numbers.
PLURALS = {
    "ru": "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);",
    "kk": "nplurals=2; plural=(n != 1);",
}
# Only staff read these.
_OF_STAFF = re.compile(
    r"(^|/)admin(/|\.py$)|/apps\.py$|^stepper/(management|simulator|backups)/|^stepper/(admin_names|checks|web/theme)\.py$"
    r"|^stepper/models/(addresses|restores|security_log|sessions|\w*settings)\.py$"
)


class Text(NamedTuple):
    """What a call of gettext says: context, the words, their plural."""

    context: str | None
    singular: str
    plural: str | None

    @property
    def id(self) -> str | tuple[str, str]:
        """As Babel names it."""
        return self.singular if self.plural is None else (self.singular, self.plural)


def _many(*words: str) -> tuple[Text, ...]:
    return tuple(Text(None, one, None) for one in words)


# As `N` of Django's date formats names them.
_SHORT_MONTHS = ["Jan.", "Feb.", "March", "April", "May", "June", "July", "Aug.", "Sept.", "Oct.", "Nov.", "Dec."]

# Of Django, allauth and REST framework: what people see and some language lacks, or has for another sort of site.
LIBRARIES = (
    Text(
        None,
        "This password is too short. It must contain at least %(min_length)d character.",
        "This password is too short. It must contain at least %(min_length)d characters.",
    ),
    Text(
        None,
        "Your password must contain at least %(min_length)d character.",
        "Your password must contain at least %(min_length)d characters.",
    ),
    *_many(
        "The password is too similar to the %(verbose_name)s.",
        "Your password can’t be too similar to your other personal information.",
        "The two password fields didn’t match.",
        "You must type the same password each time.",
        "Please type your current password.",
        "This account is currently inactive.",
        "This email address is already associated with this account.",
        "Incorrect code.",
        "Incorrect password.",
        "Invalid or expired key.",
        "The password reset token was invalid.",
        "Be patient, you are sending too many requests.",
        "The new value must be different from the current one.",
        "Too many failed login attempts. Try again later.",
        "The email address is not assigned to any user account.",
        "The phone number is not assigned to any user account.",
        "Successfully signed in as %(name)s.",
        "You have signed out.",
        "Password successfully changed.",
        "Password successfully set.",
    ),
    *_many(
        "Must be a valid boolean.",
        "Not a valid string.",
        "Null characters are not allowed.",
        "Ensure this field has no more than {max_length} elements.",
        "Ensure this field has at least {min_length} elements.",
    ),
    # Django's months begin with a capital, as in English, and its Kazakh days have letters of their own.
    *(Text(context, month, None) for context in (None, "alt. month") for month in calendar.month_name[1:]),
    *(Text("abbrev. month", str(month), None) for month in _SHORT_MONTHS),
    *_many(*calendar.day_abbr),
)


# Of Django's administration: sentences around a model's name, which its Russian neither declines nor gives a gender.
ADMINISTRATION = (
    *_many(
        "Add %(name)s",
        "Add %s",
        "Add another %(verbose_name)s",
        "Added {name} “{object}”.",
        'Are you sure you want to delete the %(object_name)s "%(escaped_object)s"? '
        "All of the following related items will be deleted:",
        "Are you sure you want to delete the selected %(objects_name)s? "
        "All of the following objects and their related items will be deleted:",
        "Cannot delete %(name)s",
        "Change %s",
        "Changed {fields} for {name} “{object}”.",
        "Delete selected %(verbose_name_plural)s",
        "Deleted {name} “{object}”.",
        "Deleting the %(object_name)s '%(escaped_object)s' would require deleting the following protected related "
        "objects:",
        "Deleting the %(object_name)s '%(escaped_object)s' would result in deleting related objects, but your account "
        "doesn't have permission to delete the following types of objects:",
        "Deleting the selected %(objects_name)s would require deleting the following protected related objects:",
        "Deleting the selected %(objects_name)s would result in deleting related objects, but your account doesn't "
        "have permission to delete the following types of objects:",
        "Select %s",
        "Select %s to change",
        "Select %s to view",
        "Successfully deleted %(count)d %(items)s.",
        "The %(name)s “%(obj)s” was deleted successfully.",
        "The {name} “{obj}” was added successfully.",
        "The {name} “{obj}” was added successfully. You may add another {name} below.",
        "The {name} “{obj}” was changed successfully.",
        "The {name} “{obj}” was changed successfully. You may add another {name} below.",
        "The {name} “{obj}” was changed successfully. You may edit it again below.",
        "View %s",
    ),
    Text(None, "%(count)s %(name)s was changed successfully.", "%(count)s %(name)s were changed successfully."),
)


def read_python(source: str) -> Iterator[Text]:
    """Yield the texts of a module."""
    for _line, function, words, _comments in extract_python(BytesIO(source.encode()), KEYWORDS, (), {}):
        texts = list(words) if isinstance(words, list | tuple) else [words]
        context = texts.pop(0) if function.startswith(("pgettext", "npgettext")) else None
        plural = texts[1] if function.startswith(("ngettext", "npgettext")) else None
        if texts[0]:
            yield Text(context, texts[0], plural)


def read_template(source: str) -> Iterator[Text]:
    """Yield the texts of a template. Django writes it as Python, in which only the indentation is wrong."""
    return read_python("\n".join(line.lstrip() for line in templatize(source).split("\n")))


def read_theme() -> Iterator[Text]:
    """Yield the texts of the administration's theme, which has no Russian, that Django's own Russian lacks."""
    theme = Path(unfold.__file__).parent
    known = []
    for part in ("conf", "contrib/admin", "contrib/auth"):
        with (Path(django.__file__).parent / part / "locale/ru/LC_MESSAGES/django.po").open("rb") as file:
            known.append(read_po(file, locale="ru"))
    for path in sorted(theme.rglob("*.*")):
        # Extras that are not installed.
        if path.suffix not in {".py", ".html"} or {"contrib", "unfold_crispy"} & set(path.relative_to(theme).parts):
            continue
        read = read_python if path.suffix == ".py" else read_template
        yield from (text for text in read(path.read_text()) if not any(one.get(text.id, text.context) for one in known))


def extract() -> dict[Text, set[str]]:
    """Return every text of the code and of libraries, with the files in which it is."""
    found: dict[Text, set[str]] = defaultdict(set)
    for text in LIBRARIES:
        found[text].add("tests/catalogues.py")
    for text in ADMINISTRATION:
        found[text].add("django/contrib/admin/")
    for text in read_theme():
        found[text].add("unfold/admin/")
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if "migrations" not in path.parts:
                for text in read_python(path.read_text()):
                    found[text].add(path.relative_to(ROOT).as_posix())
    for path in (ROOT / "templates").rglob("*.*"):
        for text in read_template(path.read_text()):
            found[text].add(path.relative_to(ROOT).as_posix())
    return found


def wanted(code: str, texts: Mapping[Text, set[str]]) -> dict[Text, set[str]]:
    """Return what the catalogue of a language has to say."""
    if code == "ru":
        return dict(texts)
    return {text: files for text, files in texts.items() if not all(_OF_STAFF.search(file) for file in files)}


def catalogue_path(code: str) -> Path:
    return LOCALE / code / "LC_MESSAGES" / "django.po"


def read(code: str) -> Catalog:
    """Read a catalogue as it is in the repository."""
    if not catalogue_path(code).exists():
        return Catalog(code)
    with catalogue_path(code).open("rb") as file:
        return read_po(file, locale=code)


def _updated(code: str, old: Catalog, texts: Mapping[Text, set[str]]) -> Catalog:
    new = Catalog(code, fuzzy=False, charset="utf-8")
    for text, files in sorted(texts.items(), key=lambda one: (min(one[1]), one[0].singular, one[0].context or "")):
        known = old.get(text.id, text.context)
        new.add(
            text.id,
            known.string if known is not None else "",
            locations=[(file, None) for file in sorted(files)],  # type: ignore[misc]
            flags=known.flags - {"python-format"} if known is not None else (),
            user_comments=known.user_comments if known is not None else (),
            context=text.context,
        )
    return new


def write(code: str, catalogue: Catalog) -> None:
    """Write a catalogue without the dates and names that differ each time."""
    out = BytesIO()
    write_po(out, catalogue, width=120, include_lineno=False, omit_header=True)
    header = (
        'msgid ""\nmsgstr ""\n'
        f'"Language: {code}\\n"\n"MIME-Version: 1.0\\n"\n"Content-Type: text/plain; charset=UTF-8\\n"\n'
        f'"Content-Transfer-Encoding: 8bit\\n"\n"Plural-Forms: {PLURALS[code]}\\n"\n\n'
    )
    path = catalogue_path(code)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(header + out.getvalue().decode())


def untranslated(catalogue: Catalog) -> list[Entry]:
    """Return what a catalogue does not say, or only guesses (fuzzy)."""
    return [
        entry
        for entry in catalogue
        if entry.id and (entry.fuzzy or not all(entry.string if isinstance(entry.string, tuple) else [entry.string]))
    ]


def main() -> int:
    texts = extract()
    status = 0
    for code in PLURALS:
        catalogue = _updated(code, read(code), wanted(code, texts))
        write(code, catalogue)
        missing = untranslated(catalogue)
        print(f"{catalogue_path(code).relative_to(ROOT)}: {len(catalogue)} texts, {len(missing)} not translated")
        status |= bool(missing)
    return status


if __name__ == "__main__":
    sys.exit(main())
