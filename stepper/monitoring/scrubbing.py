"""Taking personal data out of texts that leave the process: e-mail addresses, phone numbers, network addresses, plates
of a message's quoted values.

Our own messages name ids. What libraries and the database say can quote a row (`Key (phone)=(+7…) already exists`).
"""

import re

_PATTERNS = (
    # PostgreSQL quotes the values of a row: DETAIL:  Key (email)=(a@b.kz) already exists. Failing row contains (…).
    (re.compile(r"(?i)(key \([^)]*\)=|failing row contains )\(.*?\)(?=[\s.]|$)"), r"\1(…)"),
    (re.compile(r"[^\s@<>\"'()=,;:]+@[^\s@<>\"'(),;:]+\.\w+"), "…@…"),
    (re.compile(r"(?<![\w.:-])\+?\d(?:[ ()-]{0,2}\d){9,14}(?![\w-])"), "+…"),
    (re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])"), "…"),
    (re.compile(r"(?i)(?<![\w:])(?:[0-9a-f]{1,4}:){3,7}[0-9a-f]{0,4}(?:::?[0-9a-f]{1,4})*(?![\w:])"), "…"),
)


def scrub(text: str) -> str:
    """Replace what looks like personal data in a text by an ellipsis."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text
