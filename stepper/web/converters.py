"""Path converters of the project: `stepper.apps` registers them, so `<row:trip_id>` works in every address."""

from django.urls import register_converter
from django.urls.converters import IntConverter


class RowConverter(IntConverter):
    """The number of a row: no more digits than the databases' integers hold."""

    regex = "[0-9]{1,18}"


def register() -> None:
    register_converter(RowConverter, "row")
