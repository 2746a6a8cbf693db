"""What the fork server for ready servers imports: the project, set up as this test worker's environment says.

A server starts in a fraction of the time where its settings, models, addresses and templates are loaded already. Only
a server whose environment differs from the usual one in nothing but `READ_LATE` can be forked from here.
"""

import gc
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "stepper.settings"

from asgiref.local import Local
from django.conf import Settings, settings
from django.core.checks import run_checks
from django.core.signals import setting_changed
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from django.template import Engine
from django.template.loader import get_template
from django.test import signals as _  # noqa: F401 - they forget what was made of a setting that changes
from django.urls import reverse
from django.utils import formats, translation
from django.utils.log import configure_logging
from django.utils.module_loading import import_string

import stepper.asgi  # noqa: F401
from stepper.templatetags.icons import icon

SET_UP_FOR = dict(os.environ)
# Imports the views, too.
run_checks()
TEMPLATES = Path(settings.BASE_DIR) / "templates"
for template in TEMPLATES.rglob("*.html"):
    get_template(str(template.relative_to(TEMPLATES)))
for processor in Engine.get_default().context_processors:
    import_string(processor)
# Opens the archive of all of them.
icon("car", size=24)
for language, _name in settings.LANGUAGES:
    with translation.override(language):
        # Reads the catalogues, and the addresses of the language.
        reverse("admin:index")
        formats.get_format("DATE_FORMAT")
# Imports each migration: a server looks whether any is due.
MigrationLoader(None)
# As for what was imported before it.
gc.freeze()


def set_up_for(environ: dict[str, str]) -> None:
    """Read the settings again, in a fork whose environment is another one."""
    if not environ.items() - SET_UP_FOR.items():
        return
    before = {name: getattr(settings, name) for name in dir(settings) if name.isupper()}
    # The second has built the middleware.
    for name in ("stepper.settings", "stepper.asgi"):
        del sys.modules[name]
    tempfile.tempdir = None
    settings._wrapped = Settings("stepper.settings")
    databases: Any = connections
    databases.__dict__.pop("settings", None)
    databases._settings = None
    databases._connections = Local(databases.thread_critical)
    for name in dir(settings):
        if name.isupper() and name != "DATABASES" and before.get(name) != getattr(settings, name):
            setting_changed.send(sender=Settings, setting=name, value=getattr(settings, name), enter=True)
    configure_logging(settings.LOGGING_CONFIG, settings.LOGGING)
