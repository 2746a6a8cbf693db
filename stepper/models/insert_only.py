"""What the two logs share: rows that are inserted and never changed."""

from typing import Any

from django.db import models


class InsertOnly(models.Model):
    """A row that Python code can neither change nor delete; old ones go by age, many at once, through a queryset."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert; raise TypeError for a row that is stored already."""
        if not self._state.adding:
            raise TypeError(f"rows of {self._meta.label} are not changed")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Raise TypeError: a single row is not deleted."""
        raise TypeError(f"rows of {self._meta.label} are not changed")
