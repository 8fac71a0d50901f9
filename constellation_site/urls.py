"""Every address of the server: the console, the API and the probes."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from constellation_site import health

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("api/v1/", include("sync.urls")),
    path("health", health.ready),
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("health/detailed", health.detailed),
]

handler400 = "sync.problems.bad_request"
handler403 = "sync.problems.permission_denied"
handler404 = "sync.problems.not_found"
handler500 = "sync.problems.server_error"
