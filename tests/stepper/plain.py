"""`python -m tests.stepper.plain serve …` is `manage.py serve` with the switch of private names off."""

import os
import sys

if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    from stepper.server import private_names

    private_names.USES_PRIVATE_NAMES = False
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "stepper.settings")
    execute_from_command_line(sys.argv)
