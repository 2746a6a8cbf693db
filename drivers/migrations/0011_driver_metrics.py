from typing import Any

import django.db.models.deletion
from django.db import migrations, models


def rename_permissions(old: str, new: str, old_label: str, new_label: str) -> Any:
    """Return a migration function that renames the model's permissions, so that staff and groups keep theirs.

    `RenameModel` renames the content type only; `post_migrate` would create permissions that nobody has.
    """

    def rename(apps: Any, schema_editor: Any) -> None:
        permissions = apps.get_model("auth", "Permission").objects.using(schema_editor.connection.alias)
        for action in ("add", "change", "delete", "view"):
            mine = permissions.filter(content_type__app_label="drivers", codename=f"{action}_{old}")
            mine.filter(name=f"Can {action} {old_label}").update(name=f"Can {action} {new_label}")
            mine.update(codename=f"{action}_{new}")

    return rename


class Migration(migrations.Migration):
    """Rename the model; its table, columns, constraints and index stay as they are."""

    dependencies = [
        ("drivers", "0010_drivers_of_trails"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.AlterModelTable(name="driverstanding", table="drivers_driverstanding"),
        migrations.RenameModel(old_name="DriverStanding", new_name="DriverMetrics"),
        migrations.AlterModelOptions(
            name="drivermetrics",
            options={"verbose_name": "driver metrics", "verbose_name_plural": "driver metrics"},
        ),
        migrations.AlterField(
            model_name="drivermetrics",
            name="driver",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.CASCADE,
                primary_key=True,
                related_name="metrics",
                serialize=False,
                to="drivers.driver",
            ),
        ),
        migrations.RunPython(
            rename_permissions("driverstanding", "drivermetrics", "standing", "driver metrics"),
            rename_permissions("drivermetrics", "driverstanding", "driver metrics", "standing"),
        ),
    ]
