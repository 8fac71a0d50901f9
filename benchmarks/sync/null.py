"""A view that does nothing: what HTTP and Django alone take of the machine.

It reads the body, as any sync has to, and answers as many bytes as a sync without news.
"""

from __future__ import annotations

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

ANSWER = bytes(16)


def view(request: HttpRequest) -> HttpResponse:
    # Read, as it is in the way of the next request otherwise.
    _ = request.body
    return HttpResponse(ANSWER, content_type="application/protobuf")


urlpatterns = [path("api/v1/sync", view)]

settings.configure(
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=[],
    ROOT_URLCONF=__name__,
    SECRET_KEY="signs nothing",
)
django.setup()
application = get_wsgi_application()
