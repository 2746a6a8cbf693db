"""What the fork server for ready servers imports: the project, set up as this test worker's environment says.

A server starts in a fraction of the time where its settings, models, addresses and templates are loaded already. Only
a server that differs in nothing from the others of its worker can be forked from here.
"""

import gc
import os
from pathlib import Path

os.environ["DJANGO_SETTINGS_MODULE"] = "stepper.settings"

from django.conf import settings
from django.core.checks import run_checks
from django.db.migrations.loader import MigrationLoader
from django.template.loader import get_template

import stepper.asgi  # noqa: F401

# Imports the views, too.
run_checks()
TEMPLATES = Path(settings.BASE_DIR) / "templates"
for template in TEMPLATES.rglob("*.html"):
    get_template(str(template.relative_to(TEMPLATES)))
# Imports each migration: a server looks whether any is due.
MigrationLoader(None)
# Each server looks for garbage as it begins; what is here is none.
gc.freeze()
