"""Staff's actions on a trip whose driver cannot act: take back an arrival, hand the trip over, complete it."""

from django import forms
from django.utils.translation import gettext_lazy
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from drivers.models import Approval, Driver
from stepper.admin.base import staff_action
from stepper.admin.choosing import choose_by_search
from stepper.models import User
from stepper.texts import PlainTextInput
from trips import handover, steering
from trips.models import Trip
from trips.states import HANDED_OVER_IN, Role, TripStatus, allowed


class StaffsReasonForm(forms.Form):
    reason = PlainTextInput(
        label=gettext_lazy("Reason"),
        max_length=200,
        help_text=gettext_lazy("For the trip's history, which staff alone read."),
        widget=UnfoldAdminTextInputWidget,
    )


class HandOverForm(StaffsReasonForm):
    driver = forms.ModelChoiceField(
        queryset=Driver.objects.filter(
            approval=Approval.APPROVED, vehicle__isnull=False, user__is_active=True
        ).select_related("user"),
        label=gettext_lazy("New driver"),
        help_text=gettext_lazy("Approved drivers with a vehicle; search by name, phone or plate."),
    )
    place = PlainTextInput(
        label=gettext_lazy("Where the passengers wait"),
        max_length=120,
        required=False,
        help_text=gettext_lazy(
            "Empty: where the present driver's phone was last. Or coordinates (43.25, 76.95), a known place, or words "
            "about where that phone is: “petrol station at km 84”."
        ),
        widget=UnfoldAdminTextInputWidget,
    )
    part = forms.IntegerField(
        label=gettext_lazy("Part of the fare for the present driver, ₸"),
        min_value=0,
        required=False,
        help_text=gettext_lazy(
            "Empty: by the kilometres driven and left. The fee is split alike; the new driver has the rest."
        ),
        widget=UnfoldAdminIntegerFieldWidget,
    )
    field_order = ["driver", "place", "part", "reason"]

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        choose_by_search(self, "driver", Trip._meta.get_field("driver"))


def sensible(trip: Trip) -> dict[str, bool]:
    """Return which of the actions make sense for the trip now."""
    status = TripStatus(trip.status)
    return {
        "take_back_arrival": status in steering.TAKEN_BACK,
        "hand_over": status in HANDED_OVER_IN,
        "complete": allowed(status, TripStatus.COMPLETED, role=Role.STAFF),
    }


class SteeringActions:
    """The actions, for the administration of trips."""

    @staff_action(
        gettext_lazy("Take back the arrival"),
        done=gettext_lazy("under way again"),
        effect=gettext_lazy(
            "For an arrival that was tapped by mistake: the driver is on the way to the pickup again, or on the road "
            "to the destination. Passenger and driver are told; it counts against nobody."
        ),
        icon="undo",
        form=StaffsReasonForm,
    )
    def take_back_arrival(self, trip_id: int, user: User, reason: str) -> None:
        steering.take_back_arrival(trip_id, user, reason)

    @staff_action(
        gettext_lazy("Hand over to another driver"),
        done=gettext_lazy("handed over"),
        effect=gettext_lazy(
            "For passengers on the way whose vehicle cannot go on: the new driver picks them up where they wait. The "
            "present driver loses the trip, goes offline and keeps a part of the money; it counts against nobody. The "
            "passenger pays the whole fare to the new driver. All three are told at once."
        ),
        icon="swap_horiz",
        variant=ActionVariant.DANGER,
        form=HandOverForm,
        permission="assign",
    )
    def hand_over(self, trip_id: int, user: User, *, driver: Driver, place: str, part: int | None, reason: str) -> None:
        handover.hand_over(trip_id, driver.pk, user, reason=reason, place=place, part=part)

    @staff_action(
        gettext_lazy("Complete"),
        done=gettext_lazy("completed"),
        effect=gettext_lazy(
            "For passengers who have arrived and whose driver cannot say so: the trip is completed and counts as paid. "
            "This cannot be undone."
        ),
        icon="done_all",
        variant=ActionVariant.SUCCESS,
        form=StaffsReasonForm,
    )
    def complete(self, trip_id: int, user: User, reason: str) -> None:
        steering.complete(trip_id, user, reason)
