from django.db import migrations
from django.db.models.functions import Now


def start_the_clock(apps, schema_editor):
    """For who was online before activity was kept, it begins now."""
    drivers = apps.get_model("drivers", "Driver").objects.using(schema_editor.connection.alias)
    drivers.filter(availability="available").update(active_at=Now(), idle_look_at=Now())


class Migration(migrations.Migration):
    dependencies = [("drivers", "0004_working_time")]

    operations = [migrations.RunPython(start_the_clock, migrations.RunPython.noop)]
