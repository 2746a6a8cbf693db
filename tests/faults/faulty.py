"""A real server with a fault in it: `python -m tests.faults.faulty serve …` is `manage.py serve` in which following a
trip fails in a way that nobody has thought of.
"""

import os
import sys
from typing import Any


def _fail(*_args: Any) -> None:
    raise ZeroDivisionError("a fault of ours")


if __name__ == "__main__":
    import django
    from django.core.management import execute_from_command_line

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "stepper.settings")
    django.setup()
    from realtime.sockets import commands

    commands.subscribe = _fail  # type: ignore[assignment]
    execute_from_command_line(sys.argv)
