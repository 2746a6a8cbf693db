"""Taking personal data out of texts that leave the process: e-mail addresses, phone numbers, network addresses, plates
of a message's quoted values.

Our own messages name ids. What libraries and the database say can quote a row (`Key (phone)=(+7…) already exists`).
"""

import re

# In an address that is part of another one a sign is encoded twice, and its percent sign with it.
_PERCENT = r"%(?:25)*"
_HEX = "[0-9A-Fa-f]"
# The text before ends with an encoded sign, whose last letter is none of what follows.
_BEHIND_ENCODED = "|".join(f"(?<=%{'25' * times}{_HEX}{{2}})" for times in range(3))
# Between the digits of a phone number: a blank (also `+`, as forms write it), brackets, a hyphen.
_GAP = rf"(?:[ ()+-]|{_PERCENT}2[089BbDd])"
# A byte of a letter that is not ASCII.
_BYTE = rf"{_PERCENT}[89A-Fa-f]{_HEX}"
_COLON = rf"(?::|{_PERCENT}3[Aa])"


def _begins(unless_behind: str) -> str:
    """Return the condition that no such character is before, or an encoded one."""
    return rf"(?:(?<!{unless_behind})|{_BEHIND_ENCODED})"


_PATTERNS = (
    # PostgreSQL quotes the values of a row: DETAIL:  Key (email)=(a@b.kz) already exists. Failing row contains (…).
    (re.compile(r"(?i)(key \([^)]*\)=|failing row contains )\(.*?\)(?=[\s.]|$)"), r"\1(…)"),
    # From the beginning of a word alone: a long text without an address would be read again from each of its letters.
    (re.compile(r"(?<![^\s@<>\"'()=,;:])[^\s@<>\"'()=,;:]+@[^\s@<>\"'(),;:]+\.\w+"), "…@…"),
    # As addresses have it, also those in a Referer: a.b%2Bc%40d.kz. No address has more before its @ than 64 bytes.
    (
        re.compile(
            _begins(r"[\w.!#$*~%+-]")
            + rf"(?:[\w.!#$*~+-]|{_PERCENT}2[Bb]|{_BYTE}){{1,64}}{_PERCENT}40"
            + rf"(?:[\w-]|{_BYTE})+(?:\.(?:[\w-]|{_BYTE})+)+"
        ),
        "…@…",
    ),
    (
        re.compile(_begins(r"[\w.:-]") + rf"(?:\+|{_PERCENT}2[Bb])?\d(?:{_GAP}{{0,2}}\d){{9,14}}(?![\w-])"),
        "+…",
    ),
    (re.compile(_begins(r"[\w.]") + r"(?:\d{1,3}\.){3}\d{1,3}(?![\w.])"), "…"),
    (
        re.compile(
            r"(?i)"
            + _begins(r"[\w:]")
            + rf"(?:[0-9a-f]{{1,4}}{_COLON}){{3,7}}[0-9a-f]{{0,4}}"
            + rf"(?:{_COLON}{_COLON}?[0-9a-f]{{1,4}})*(?![\w:])"
        ),
        "…",
    ),
)


def scrub(text: str) -> str:
    """Replace what looks like personal data in a text by an ellipsis."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text
