from django.db import migrations
from django.db.models.functions import Now


def mark(apps, schema_editor):
    """Trips that had a driver before there was a watch are looked after as well."""
    trips = apps.get_model("trips", "Trip").objects.using(schema_editor.connection.alias)
    trips.filter(status__in=["accepted", "en_route"]).update(watch_at=Now())


class Migration(migrations.Migration):
    dependencies = [("trips", "0002_watch")]

    operations = [migrations.RunPython(mark, migrations.RunPython.noop)]
