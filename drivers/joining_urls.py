"""URLs of applications to drive, and of documents."""

from django.urls import path

from . import joining_views

app_name = "joining"

urlpatterns = [
    path("apply/", joining_views.apply, name="apply"),
    path("apply/<slug:step>/", joining_views.save_step, name="step-save"),
    path("documents/<row:document_id>/picture/", joining_views.picture, name="document-picture"),
    # Larger bodies than elsewhere: stepper.server.request_limits.
    path("documents/<slug:kind>/", joining_views.send_document, name="document-send"),
]
