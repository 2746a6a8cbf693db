from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("drivers", "0014_shared_vehicles")]

    operations = [
        migrations.AddField(
            model_name="trailpoint",
            name="once",
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
    ]
