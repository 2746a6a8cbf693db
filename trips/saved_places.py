"""Places that people keep: home, work and others by names of their own. Each account sees its own alone."""

from typing import Final

from django.utils.translation import gettext as _

from realtime import events
from stepper import limits
from stepper.db.transactions import in_transaction
from stepper.errors import Conflict, InvalidFields, InvalidInput, NotFound, Text
from stepper.models import User
from stepper.texts import clean_text

from .booking_requests import is_on_earth
from .models import SavedPlace, SavedPlaceKind
from .models.places import ADDRESS_LENGTH, NAME_LENGTH
from .models.saved_places import LABEL_LENGTH

# Beside home and work.
MOST_OTHERS: Final = 10


def save_place(user: User, *, kind: str, label: str, place: events.Place) -> SavedPlace:
    """Keep a place. A home or work that there is is replaced, and so is another place of the same name.

    Raises:
        InvalidInput: input.invalid, a field is wrong
        Conflict: place.too_many
        NotPermitted: account.inactive
        TooManyRequests: more than `changes_per_min`
    """
    limits.count_call("places.save", user.pk, setting="changes_per_min")
    label = clean_text(label)
    wrong: dict[str, list[Text]] = {}
    if kind not in SavedPlaceKind.values:
        wrong["kind"] = [_("Choose from the list.")]
    elif kind == SavedPlaceKind.OTHER:
        wrong |= _wrong_label(label)
    name = clean_text(place.name)[:NAME_LENGTH]
    if not name or not is_on_earth(place):
        wrong["place"] = [_("Choose a place from the list, or press the map.")]
    if wrong:
        raise InvalidFields(wrong)
    values = {
        "place_name": name,
        "address": clean_text(place.address)[:ADDRESS_LENGTH],
        "lat": place.lat,
        "lng": place.lng,
    }
    return _save(user.pk, SavedPlaceKind(kind), label if kind == SavedPlaceKind.OTHER else "", values)


@in_transaction
def _save(user_id: int, kind: SavedPlaceKind, label: str, values: dict[str, object]) -> SavedPlace:
    # Locked, so that the number holds however many are saved at once, and two of one kind are one.
    User.objects.lock_active(user_id)
    others = SavedPlace.objects.filter(user=user_id, kind=SavedPlaceKind.OTHER)
    row, is_new = SavedPlace.objects.update_or_create(user_id=user_id, kind=kind, label=label, defaults=values)
    if is_new and kind == SavedPlaceKind.OTHER and others.count() > MOST_OTHERS:
        raise Conflict(
            "place.too_many", _("You keep %(number)d places already. Delete one first.") % {"number": MOST_OTHERS}
        )
    return row


def rename_place(user: User, place_id: int, label: str) -> SavedPlace:
    """Give a place another name; of home and work it stays.

    Raises:
        NotFound: place.not_found, there is none, or it is somebody else's
        InvalidInput: input.invalid, no name; place.name_taken
        Conflict: place.name_fixed, it is home or work
        NotPermitted: account.inactive
        TooManyRequests: more than `changes_per_min`
    """
    limits.count_call("places.save", user.pk, setting="changes_per_min")
    label = clean_text(label)
    if wrong := _wrong_label(label):
        raise InvalidFields(wrong)
    return _rename(user.pk, place_id, label)


@in_transaction
def _rename(user_id: int, place_id: int, label: str) -> SavedPlace:
    User.objects.lock_active(user_id)
    row = SavedPlace.objects.filter(user=user_id, pk=place_id).first()
    if row is None:
        raise NotFound("place.not_found", _("There is no such place."))
    if row.kind != SavedPlaceKind.OTHER:
        raise Conflict("place.name_fixed", _("Home and work keep their names."))
    if SavedPlace.objects.filter(user=user_id, kind=row.kind, label=label).exclude(pk=row.pk).exists():
        message = _("Another of your places has this name.")
        raise InvalidInput("place.name_taken", message, {"name": [message]})
    row.label = label
    row.save(update_fields=["label"])
    return row


def delete_place(user: User, place_id: int) -> None:
    """Forget a place. Repeating it changes nothing.

    Raises:
        TooManyRequests: more than `changes_per_min`
    """
    limits.count_call("places.save", user.pk, setting="changes_per_min")
    SavedPlace.objects.filter(user=user, pk=place_id).delete()


def _wrong_label(label: str) -> dict[str, list[Text]]:
    if not label:
        return {"name": [_("Give the place a name.")]}
    if len(label) > LABEL_LENGTH:
        return {"name": [_("At most %(number)d characters.") % {"number": LABEL_LENGTH}]}
    return {}
