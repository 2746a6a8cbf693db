"""The address map of the project."""

from allauth.account.views import logout
from django.contrib import admin
from django.urls import include, path

from .accounts import LoginView

urlpatterns = [
    path("", include("stepper.pages")),
    # Before the library's own: it answers 429 where there were too many attempts.
    path("accounts/login/", LoginView.as_view(), name="account_login"),
    path("accounts/", include("allauth.urls")),
    # One way to sign out: it closes the sockets of the session too.
    path("admin/logout/", logout),
    path("admin/", admin.site.urls),
    path("trips/", include("trips.urls")),
    path("driver/", include("drivers.urls")),
    path("notifications/", include("realtime.urls")),
    path("api/", include("stepper.api_urls")),
]

handler500 = "stepper.api.server_error"
