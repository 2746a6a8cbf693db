from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("stepper", "0029_legal_links")]

    operations = [
        migrations.AlterModelOptions(
            name="restore",
            options={
                "permissions": [("view_system", "Can see the state of the system")],
                "verbose_name": "restore",
                "verbose_name_plural": "restores",
            },
        ),
    ]
