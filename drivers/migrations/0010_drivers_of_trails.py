from django.db import migrations
from django.db.models import Exists, Max, Min, OuterRef, Subquery

# So many keys in one statement: a trail grows by a point every few seconds, and nobody waits long for its lock.
AT_ONCE = 50_000


def assign(apps, schema_editor):
    """Give points to the driver who had the trip when they were recorded; those of nobody known stay without one.

    Whoever gave the trip back had it from their answer until then; the driver of now has had it since accepting.
    """
    alias = schema_editor.connection.alias
    points = apps.get_model("drivers", "TrailPoint").objects.using(alias).filter(driver=None)
    trips = apps.get_model("trips", "Trip").objects.using(alias)
    offers = apps.get_model("trips", "Offer").objects.using(alias)
    present = trips.filter(pk=OuterRef("trip"), driver__isnull=False, accepted_at__lte=OuterRef("recorded_at"))
    former = offers.filter(
        trip=OuterRef("trip"), responded_at__lte=OuterRef("recorded_at"), released_at__gte=OuterRef("recorded_at")
    ).order_by("-pk")
    ends = points.aggregate(first=Min("pk"), last=Max("pk"))
    if ends["first"] is None:
        return
    for start in range(ends["first"], ends["last"] + 1, AT_ONCE):
        some = points.filter(pk__gte=start, pk__lt=start + AT_ONCE)
        some.filter(Exists(present)).update(driver=Subquery(present.values("driver")[:1]))
        some.filter(Exists(former)).update(driver=Subquery(former.values("driver")[:1]))


class Migration(migrations.Migration):
    # Each statement on its own, and all of it once more where it was interrupted.
    atomic = False

    dependencies = [
        ("drivers", "0009_trail_of_a_driver"),
        ("trips", "0007_limits"),
    ]

    operations = [migrations.RunPython(assign, migrations.RunPython.noop)]
