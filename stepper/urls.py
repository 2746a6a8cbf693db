"""The address map of the project."""

from django.contrib import admin
from django.urls import include, path

from stepper.accounts.views import logout
from trips.share_views import shared_trip

urlpatterns = [
    path("", include("stepper.web.views")),
    path("accounts/", include("stepper.accounts.urls")),
    # One way to sign out: it closes the sockets of the session too.
    path("admin/logout/", logout),
    path("admin/", admin.site.urls),
    path("book/", include("trips.booking_urls")),
    path("trips/", include("trips.urls")),
    path("account/places/", include("trips.saved_place_urls")),
    path("t/<str:token>/", shared_trip, name="shared-trip"),
    path("driver/", include("drivers.urls")),
    path("drivers/", include("drivers.joining_urls")),
    path("ops/", include("stepper.ops.urls")),
    path("notifications/", include("realtime.urls")),
    path("api/", include("stepper.api.urls")),
]

handler400 = "stepper.api.errors.bad_request"
handler403 = "stepper.web.refusals.permission_denied"
handler404 = "stepper.web.refusals.page_not_found"
handler500 = "stepper.api.errors.server_error"
