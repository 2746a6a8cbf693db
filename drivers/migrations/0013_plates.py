from collections import defaultdict
from typing import Any

from django.db import migrations
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import override

from drivers.plates import DOUBT, MAX_LENGTH, normal_plate


def normalise(apps: Any, schema_editor: Any) -> None:
    """Bring all plates into normal form. Of several that become the same one keeps it, the others get a suffix.

    1. Group the vehicles by the normal form of their plates. A plate without a letter or digit is in doubt as well.
    2. Write the plates with a suffix first, which nobody has, then the others: no statement meets the unique index.
    3. Notify the staff who may correct them.
    """
    using = schema_editor.connection.alias
    vehicles = apps.get_model("drivers", "Vehicle").objects.using(using)
    stored = dict(vehicles.order_by("pk").values_list("pk", "plate"))
    groups: dict[str, list[int]] = defaultdict(list)
    for pk, plate in stored.items():
        groups[normal_plate(plate)[:MAX_LENGTH]].append(pk)
    taken = {*stored.values(), *groups}
    doubtful: dict[int, str] = {}
    normal: dict[int, str] = {}
    for plate, pks in groups.items():
        # Whose plate is in normal form already keeps it, else the vehicle that was entered first.
        pks.sort(key=lambda pk: (stored[pk] != plate, pk))
        if plate:
            normal[pks[0]] = plate
        number = 1
        for pk in pks[1:] if plate else pks:
            number += 1
            while f"{plate}{DOUBT}{number}" in taken:
                number += 1
            doubtful[pk] = f"{plate}{DOUBT}{number}"
            taken.add(doubtful[pk])
    for plates in (doubtful, normal):
        for pk, plate in plates.items():
            if stored[pk] != plate:
                vehicles.filter(pk=pk).update(plate=plate)
    if doubtful:
        _notify_staff(apps, using, len(doubtful))


def _notify_staff(apps: Any, using: str, count: int) -> None:
    may_change = Q(is_superuser=True)
    for permissions in ("user_permissions", "groups__permissions"):
        may_change |= Q(**{f"{permissions}__codename": "change_vehicle"})
    staff = apps.get_model("stepper", "User").objects.using(using).filter(may_change, is_staff=True, is_active=True)
    rows = []
    notification = apps.get_model("realtime", "Notification")
    for user in staff.distinct():
        with override(user.language):
            rows.append(
                notification(
                    user=user,
                    title=_("Plates in doubt"),
                    message=_("%(count)d vehicles have the plate of another one; please correct them.")
                    % {"count": count},
                    priority="high",
                    category="system",
                    action_url="/admin/drivers/vehicle/?plate=doubt",
                )
            )
    notification.objects.using(using).bulk_create(rows)


class Migration(migrations.Migration):
    """Store plates in one normal form; those that had been entered twice get a suffix."""

    dependencies = [
        ("drivers", "0012_plate_length"),
        ("realtime", "0002_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    # Each row in a transaction of its own: a trip that gets its driver waits for the vehicle's row.
    atomic = False

    operations = [migrations.RunPython(normalise, migrations.RunPython.noop)]

    upgrade_reasons = {
        "normalise": "The last release shows a plate as it is stored and never searches for a whole one. A row is "
        "locked for its own update only; what it writes meanwhile is normal the next time it is saved."
    }
