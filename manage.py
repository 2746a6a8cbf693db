#!/usr/bin/env python
"""Django's command line for this project."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "stepper.settings")
    from django.core.management import execute_from_command_line  # noqa: PLC0415 - the settings are named first

    from stepper.audit.context import by_command  # noqa: PLC0415 - likewise

    try:
        with by_command(sys.argv):
            execute_from_command_line(sys.argv)
    except Exception as error:
        # Only a command that has failed needs it, and it imports the drivers of database and Redis.
        from stepper.management.failures import describe_failure  # noqa: PLC0415

        words = None if "--traceback" in sys.argv else describe_failure(error)
        if words is None:
            raise
        sys.exit(words)


if __name__ == "__main__":
    main()
