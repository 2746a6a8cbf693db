"""What somebody changed in a form of the administration: against the values that the page showed them.

Django compares what was sent with the row as it is now. So a page that was open while somebody else changed the row
would write back the value of before: a licence's old date over the new one.
"""

from typing import Any

from django import forms


class ComparesWithShown(forms.ModelForm):
    """Mixin: each column's value goes with the page in a hidden field, and what differs from it was changed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            # A disabled field shows what is not for the page, such as a password's hash; it is never written.
            if not field.disabled and not isinstance(field, forms.ModelMultipleChoiceField):
                # A program that sends the columns alone is compared with the row.
                field.show_hidden_initial = not self.is_bound or self.add_initial_prefix(name) in self.data
