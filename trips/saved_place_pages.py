"""The page of saved places: home, work and others, kept, renamed and forgotten."""

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from realtime import events
from stepper.errors import DomainError, TooManyRequests
from stepper.texts import PlainTextInput
from stepper.web.refusals import add_refusal, over_limit, tell, with_retry_after
from stepper.web.requests import SignedInRequest

from . import places, saved_places
from .models import SavedPlace, SavedPlaceKind
from .models.saved_places import LABEL_LENGTH

# The verb's names of fields -> the form's.
_FIELDS = {"place": "place_name", "name": "label"}


class SavedPlaceForm(forms.Form):
    """A place of the list, or a known one by its name, and what it is kept as."""

    kind = forms.ChoiceField(
        label=gettext_lazy("Keep it as"), choices=SavedPlaceKind.choices, initial="home", widget=forms.RadioSelect
    )
    label = PlainTextInput(
        label=gettext_lazy("Its name"),
        max_length=LABEL_LENGTH,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text=gettext_lazy("For another place: “Gym”, “Grandmother”."),
    )
    place_name = PlainTextInput(
        label=gettext_lazy("Place"),
        max_length=120,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    place_address = PlainTextInput(max_length=200, required=False, widget=forms.HiddenInput)
    place_lat = forms.FloatField(required=False, widget=forms.HiddenInput)
    place_lng = forms.FloatField(required=False, widget=forms.HiddenInput)

    def place(self) -> events.Place:
        """Return the chosen place; a name alone is that of a known place, or of none."""
        data = self.cleaned_data
        if data["place_lat"] is not None and data["place_lng"] is not None:
            return events.Place(data["place_name"], data["place_address"], data["place_lat"], data["place_lng"])
        known = places.named(data["place_name"]) if data["place_name"] else None
        if known is None:
            return events.Place("", "", 0, 0)
        return events.Place(known.name, known.address, known.lat, known.lng)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def listing(request: SignedInRequest) -> HttpResponse:
    """Show somebody's places, and keep another one."""
    form = SavedPlaceForm(request.POST if request.method == "POST" else None)
    if request.method != "POST":
        return _page(request, form, status=200)
    refusal: DomainError | None = None
    if form.is_valid():
        data = form.cleaned_data
        try:
            saved_places.save_place(request.user, kind=data["kind"], label=data["label"], place=form.place())
        except DomainError as error:
            add_refusal(form, error, _FIELDS)
            refusal = error
        else:
            messages.success(request, _("Saved."))
            return redirect("places:list")
    return with_retry_after(_page(request, form, status=422), refusal)


def _page(request: SignedInRequest, form: SavedPlaceForm, *, status: int) -> HttpResponse:
    rows = SavedPlace.objects.list_of(request.user.pk)
    others = sum(row.kind == SavedPlaceKind.OTHER for row in rows)
    context = {"form": form, "places": rows, "most": saved_places.MOST_OTHERS, "others": others}
    return render(request, "trips/saved_places.html", context, status=status)


@require_POST
@login_required
def rename(request: SignedInRequest, place_id: int) -> HttpResponse:
    """Give a place another name."""
    try:
        saved_places.rename_place(request.user, place_id, request.POST.get("label", ""))
    except TooManyRequests as error:
        return over_limit(request, error)
    except DomainError as error:
        tell(request, error)
    else:
        messages.success(request, _("Saved."))
    return redirect("places:list")


@require_POST
@login_required
def delete(request: SignedInRequest, place_id: int) -> HttpResponse:
    """Forget a place."""
    try:
        saved_places.delete_place(request.user, place_id)
    except TooManyRequests as error:
        return over_limit(request, error)
    return redirect("places:list")
