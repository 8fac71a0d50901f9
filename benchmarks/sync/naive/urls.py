"""The one address of the peer."""

from __future__ import annotations

from django.urls import path

from benchmarks.sync.naive.views import SyncView

urlpatterns = [path("sync", SyncView.as_view())]
