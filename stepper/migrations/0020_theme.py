from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("stepper", "0019_applications_kept"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="theme",
            field=models.CharField(
                choices=[("system", "As on the device"), ("light", "Light"), ("dark", "Dark")],
                db_default="system",
                default="system",
                max_length=6,
                verbose_name="colours",
            ),
        ),
    ]
