import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("drivers", "0008_deactivated"),
    ]

    operations = [
        migrations.AddField(
            model_name="trailpoint",
            name="driver",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="drivers.driver",
            ),
        ),
        migrations.AddField(
            model_name="trailpoint",
            name="leg",
            field=models.PositiveSmallIntegerField(db_default=1, default=1, verbose_name="leg"),
        ),
        # Points are written without it from now on; the release before, running beside, still writes it.
        migrations.AlterField(
            model_name="trailpoint",
            name="jumped",
            field=models.BooleanField(db_default=False, default=False, verbose_name="jumped"),
        ),
        migrations.AlterField(
            model_name="driverposition",
            name="jumped",
            field=models.BooleanField(db_default=False, default=False, verbose_name="in doubt"),
        ),
    ]
