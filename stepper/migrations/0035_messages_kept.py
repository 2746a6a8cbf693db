"""Messages are kept as long as they were until now: they had the setting of what a dispute needs."""

from typing import Any

from django.db import migrations
from django.db.models import F


def keep_as_before(apps: Any, schema_editor: Any) -> None:
    apps.get_model("stepper", "ServiceSettings").objects.update(messages_kept_days=F("disputes_kept_days"))


class Migration(migrations.Migration):
    dependencies = [
        ("stepper", "0034_audit_triggers"),
    ]
    upgrade_reasons = {"keep_as_before": "one row, and a column that the last release does not know"}

    operations = [migrations.RunPython(keep_as_before, migrations.RunPython.noop)]
