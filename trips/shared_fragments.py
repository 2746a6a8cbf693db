"""HTML fragments for the pages that watch a trip by a link. Who may have them: realtime.sockets.shared."""

from django.template.loader import render_to_string

from realtime import events
from trips.models import Trip

from .shared_page import SharedTrip


def snapshot(trip_id: int) -> str:
    """Draw everything on the page that can have changed while its socket was away."""
    trip = Trip.objects.for_page().get(pk=trip_id)
    return render_to_string("trips/shared_panel.html", {"shared": SharedTrip(trip), "oob": True})


def render(event: events.SharedTripUpdated, trip_id: int) -> str:
    """Draw the page after a change of the trip, whatever `event` says of it."""
    return snapshot(trip_id)
