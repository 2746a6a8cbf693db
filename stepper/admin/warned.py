"""The form of an action of the administration against which something speaks."""

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldBooleanWidget


class WarnedForm(forms.Form):
    """Mixin: what speaks against the action stands above it and has to be confirmed."""

    although = forms.BooleanField(label=_("I have read this: do it all the same"), widget=UnfoldBooleanWidget)
