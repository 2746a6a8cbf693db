"""Leaves room in the position table's pages, so that an update stays in its page and touches no index."""

from django.db import migrations


def leave_room(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE drivers_driverposition SET (fillfactor = 70)")


class Migration(migrations.Migration):
    dependencies = [("drivers", "0002_initial")]

    operations = [migrations.RunPython(leave_room, migrations.RunPython.noop)]
