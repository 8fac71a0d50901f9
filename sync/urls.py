"""Every address below ``/api/v1/``."""

from __future__ import annotations

from django.urls import path

from sync.views.bundles import BundleViewSet
from sync.views.content import ContentViewSet
from sync.views.devices import DeviceViewSet
from sync.views.info import InfoViewSet
from sync.views.operators import ShardViewSet, StatisticsViewSet
from sync.views.publications import PublicationViewSet
from sync.views.schema import SchemaPage, SchemaViewSet
from sync.views.sync import SyncViewSet

urlpatterns = [
    path("devices", DeviceViewSet.as_view({"post": "create"})),
    path("devices/<str:pk>", DeviceViewSet.as_view({"delete": "destroy"})),
    path("sync", SyncViewSet.as_view({"post": "create"})),
    path("publications/current", PublicationViewSet.as_view({"get": "current"})),
    path(
        "publications/<str:version>/<str:name>",
        BundleViewSet.as_view({"get": "of_version"}),
    ),
    path(
        "publications/<str:version>/trends/<str:region>",
        BundleViewSet.as_view({"get": "trends"}),
    ),
    path(
        "codebooks/<str:codebook_version>",
        BundleViewSet.as_view({"get": "codebook"}),
    ),
    path("catalogue/<str:sha256>", BundleViewSet.as_view({"get": "page"})),
    path("content", ContentViewSet.as_view({"get": "list", "post": "create"})),
    path("stats", StatisticsViewSet.as_view({"get": "list"})),
    path("shards", ShardViewSet.as_view({"get": "list"})),
    path("info", InfoViewSet.as_view({"get": "list"})),
    path("schema", SchemaViewSet.as_view({"get": "retrieve"}), name="schema"),
    path("docs", SchemaPage.as_view()),
]
