"""What somebody signed in with, in words that they recognise: "Chrome Mobile on Android"."""

from django.utils.translation import gettext as _
from ua_parser import parse


def describe_device(user_agent: str, *, is_program: bool) -> str:
    """Describe a browser and its system by the header `User-Agent`; what is not known is left out."""
    found = parse(user_agent) if user_agent else None
    browser = found.user_agent.family if found is not None and found.user_agent is not None else ""
    system = found.os.family if found is not None and found.os is not None else ""
    if browser and system:
        described = _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    else:
        described = browser or system
    if is_program:
        # Programs name themselves first, as in "courier-app/2.1 …".
        name = described or user_agent.partition("/")[0].strip()[:40]
        return _("Program (%(name)s)") % {"name": name} if name else _("Program")
    return described or _("Unknown device")
