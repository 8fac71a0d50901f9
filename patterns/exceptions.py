"""Why a delta can't be applied."""

from __future__ import annotations

from http import HTTPStatus

from shards.exceptions import ConstellationError


class VersionReused(ConstellationError):
    code = "version_reused"
    http_status = HTTPStatus.UNPROCESSABLE_ENTITY
    grpc_status = "INVALID_ARGUMENT"
    message = (
        "local_version {local_version} is stored with other content. "
        "Send new content under a higher local_version."
    )


class StaleVersion(ConstellationError):
    code = "stale_version"
    http_status = HTTPStatus.CONFLICT
    grpc_status = "ABORTED"
    message = (
        "local_version {sent} is behind the stored {local_version}. "
        "Send a local_version above it."
    )


class VersionGap(ConstellationError):
    code = "version_gap"
    http_status = HTTPStatus.CONFLICT
    grpc_status = "ABORTED"
    message = (
        "base_version {sent} isn't the stored {local_version}: something between was "
        "lost. Send every pattern again, on base_version {local_version}."
    )


class TooManyPatterns(ConstellationError):
    """More in one sync, or on one TV, than ``limit``; ``limit_name`` says which."""

    code = "too_many_patterns"
    http_status = HTTPStatus.UNPROCESSABLE_ENTITY
    grpc_status = "INVALID_ARGUMENT"
    message = "{field}: {problem}. Accepted: at most {limit} ({limit_name})."


class WriterIsBusy(Exception):
    """More syncs wait for their commit than can be told soon; nothing was written."""


class ItemsOfAnotherControl(ConstellationError):
    """Two histories of ordinals: a database was restored, or isn't this fleet's."""

    code = "items_of_another_control"
    http_status = HTTPStatus.CONFLICT
    grpc_status = "FAILED_PRECONDITION"
    message = (
        "On {database} ordinal {ordinal} is {name}; in the control database it is "
        "{expected}."
    )
