"""What can go wrong with rounds and publications."""

from __future__ import annotations

from http import HTTPStatus

from shards.exceptions import ConstellationError


class RoundAlreadyRunning(ConstellationError):
    code = "round_already_running"
    http_status = HTTPStatus.CONFLICT
    grpc_status = "ABORTED"
    message = (
        "Round {round} is running (step: {step}). Try again when it is done; if its "
        "process is gone, after {lease_until:%H:%M:%S} UTC: whoever comes then goes on "
        "with it."
    )


class RoundLost(ConstellationError):
    """This process was silent for so long that another took its round over."""

    code = "round_lost"
    http_status = HTTPStatus.CONFLICT
    grpc_status = "ABORTED"
    message = "Round {round} was taken over by another process, which goes on with it."


class RoundUnknown(ConstellationError):
    code = "round_unknown"
    http_status = HTTPStatus.NOT_FOUND
    grpc_status = "NOT_FOUND"
    message = "There is no round {round}; the newest is {newest}."


class RoundNotReplayable(ConstellationError):
    code = "round_not_replayable"
    http_status = HTTPStatus.CONFLICT
    grpc_status = "FAILED_PRECONDITION"
    message = "Round {round} can't be replayed: {problem}."


class ResultNotKept(ConstellationError):
    code = "result_not_kept"
    http_status = HTTPStatus.CONFLICT
    grpc_status = "FAILED_PRECONDITION"
    message = "What round {round} gave isn't kept; rounds that are: {kept}."


class PartMissing(ConstellationError):
    code = "part_missing"
    http_status = HTTPStatus.CONFLICT
    grpc_status = "FAILED_PRECONDITION"
    message = "Round {round} has no {name}: it isn't kept, or not made yet."


class PartDamaged(ConstellationError):
    code = "part_damaged"
    http_status = HTTPStatus.INTERNAL_SERVER_ERROR
    grpc_status = "DATA_LOSS"
    message = "The control database gave back other bytes for {name} of round {round}."


class VersionWouldFall(ConstellationError):
    code = "version_would_fall"
    http_status = HTTPStatus.CONFLICT
    grpc_status = "FAILED_PRECONDITION"
    message = "{database} has version {newest} already; version {version} is older."


class VersionNotStaged(ConstellationError):
    code = "version_not_staged"
    http_status = HTTPStatus.CONFLICT
    grpc_status = "FAILED_PRECONDITION"
    message = "{database} doesn't have version {version} with checksum {checksum}."


class ChecksumMismatch(ConstellationError):
    code = "checksum_mismatch"
    http_status = HTTPStatus.INTERNAL_SERVER_ERROR
    grpc_status = "DATA_LOSS"
    message = (
        "{database} gave version {version} back with checksum {found}; "
        "{checksum} was written."
    )


class VersionNotKept(ConstellationError):
    code = "version_not_kept"
    http_status = HTTPStatus.NOT_FOUND
    grpc_status = "NOT_FOUND"
    message = "Version {version} isn't kept; there are: {kept}."


class NothingToRollBack(ConstellationError):
    code = "nothing_to_roll_back"
    http_status = HTTPStatus.CONFLICT
    grpc_status = "FAILED_PRECONDITION"
    message = "No version before the current one ({version}) is kept."


class ThresholdsWereRaised(ConstellationError):
    code = "thresholds_were_raised"
    http_status = HTTPStatus.CONFLICT
    grpc_status = "FAILED_PRECONDITION"
    message = (
        "Version {version} was made with {setting}={then}; now it is {required}, and "
        "what has less behind it isn't given out again."
    )


class BundleDamaged(ConstellationError):
    code = "bundle_damaged"
    http_status = HTTPStatus.INTERNAL_SERVER_ERROR
    grpc_status = "DATA_LOSS"
    message = "{database} gave back other bytes for {name} of version {version}."


class KeysFromEnvironment(ConstellationError):
    code = "keys_from_environment"
    http_status = HTTPStatus.CONFLICT
    grpc_status = "FAILED_PRECONDITION"
    message = (
        "BUNDLE_SIGNING_KEY is set, so keys are rotated by the environment: "
        "docs/recipes.md says how."
    )


class NextKeyMissing(ConstellationError):
    code = "next_key_missing"
    http_status = HTTPStatus.CONFLICT
    grpc_status = "FAILED_PRECONDITION"
    message = "There is no next key to switch to: announce one first."


class NextKeyNotAnnounced(ConstellationError):
    code = "next_key_not_announced"
    http_status = HTTPStatus.CONFLICT
    grpc_status = "FAILED_PRECONDITION"
    message = (
        "No publication has announced key {key_id} yet: run a round, and give the TVs "
        "time to fetch its manifest."
    )


class SigningKeyUnknown(ConstellationError):
    code = "signing_key_unknown"
    http_status = HTTPStatus.CONFLICT
    grpc_status = "FAILED_PRECONDITION"
    message = (
        "The key in this process's CONSTELLATION_HOME is {key_id}, and TVs know "
        "{known}. Publish where that one is, or set BUNDLE_SIGNING_KEY."
    )


class SigningKeyMissing(ConstellationError):
    code = "signing_key_missing"
    http_status = HTTPStatus.INTERNAL_SERVER_ERROR
    grpc_status = "FAILED_PRECONDITION"
    message = "BUNDLE_SIGNING_KEY is unset, and no key can be kept: {problem}."


class SigningKeyDamaged(ConstellationError):
    code = "signing_key_damaged"
    http_status = HTTPStatus.INTERNAL_SERVER_ERROR
    grpc_status = "DATA_LOSS"
    message = (
        "{path} doesn't hold the signing keys that it should. Restore it from a "
        "backup: TVs know the public keys of those, and no others."
    )


class NotQuarantinable(ConstellationError):
    code = "not_quarantinable"
    http_status = HTTPStatus.CONFLICT
    grpc_status = "FAILED_PRECONDITION"
    message = "{kind} {name} can't be put under quarantine: {problem}."


class NotQuarantined(ConstellationError):
    code = "not_quarantined"
    http_status = HTTPStatus.NOT_FOUND
    grpc_status = "NOT_FOUND"
    message = "{kind} {name} isn't under quarantine."


class BundleUnknown(ConstellationError):
    code = "bundle_unknown"
    http_status = HTTPStatus.NOT_FOUND
    grpc_status = "NOT_FOUND"
    message = "There is no bundle at {path}; there are: {known}."
