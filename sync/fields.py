"""Checks of single fields; each refusal names the field and what would be accepted.

The good path builds no message and loops over no vector in Python: a sync with ten
patterns carries 3,840 numbers.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NoReturn
from uuid import UUID

import numpy as np
from django.db.models import IntegerChoices
from numpy.typing import NDArray

from patterns.vectors import EMBEDDING_DIMENSIONS
from shards.exceptions import InvalidRequest

#: Versions are kept in a signed 64-bit column.
VERSION_MAX = 2**63 - 1
SAMPLES_MAX = 2**31 - 1
#: The last second of the year 9999.
SECONDS_MAX = 253_402_300_799

UUID_BYTES = 16

#: Shorter vectors have no direction to speak of, longer ones are no embeddings.
NORM_MIN, NORM_MAX = 1e-3, 1e3

_NUMBER_TYPES = {int, float}  # by exact type: True is an int as well

EMBEDDING_ACCEPTED = f"{EMBEDDING_DIMENSIONS} finite float32 numbers"


def refuse(field: str, problem: str, accepted: str) -> NoReturn:
    raise InvalidRequest(field=field, problem=problem, accepted=accepted)


def obj(value: Any, field: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        refuse(field, _problem(value), "an object")
    return value


def items(value: Any, field: str, *, at_most: int | None = None) -> list[Any]:
    """Check a list; an absent one is empty."""
    if value is None:
        return []
    accepted = "a list" if at_most is None else f"a list of at most {at_most}"
    if not isinstance(value, list):
        refuse(field, _problem(value), accepted)
    if at_most is not None:
        check_length(len(value), field, at_most=at_most)
    return value


def check_length(length: int, field: str, *, at_most: int) -> None:
    if length > at_most:
        raise InvalidRequest(
            field=field,
            problem=f"it has {length} items",
            accepted=f"a list of at most {at_most}",
            limit=at_most,
        )


def text(value: Any, field: str, *, at_most: int) -> str:
    if isinstance(value, str) and 1 <= len(value) <= at_most and "\0" not in value:
        return value
    if not isinstance(value, str):
        problem = _problem(value)
    elif not 1 <= len(value) <= at_most:
        problem = f"it has {len(value)} characters"
    else:
        problem = "it holds a NUL character"
    refuse(field, problem, f"1 to {at_most} characters, none of them NUL")


def texts(value: Any, field: str, *, at_most: int, length: int) -> tuple[str, ...]:
    """Check a short list of names; the same name twice is kept once."""
    names = items(value, field, at_most=at_most)
    return tuple(
        dict.fromkeys(
            text(name, f"{field}[{i}]", at_most=length) for i, name in enumerate(names)
        )
    )


def uuid(value: Any, field: str) -> UUID:
    if isinstance(value, str) and len(value) == 36:
        try:
            parsed = UUID(value)
        except ValueError:
            pass
        else:
            if str(parsed) == value.lower():  # UUID() takes hyphens anywhere
                return parsed
    problem = "not a UUID" if isinstance(value, str) else _problem(value)
    refuse(field, problem, "a UUID, as 8-4-4-4-12 hexadecimal digits")


def id_bytes(value: bytes | None, field: str) -> bytes:
    """Check the 16 bytes that binary wires have for a UUID."""
    if value is not None and len(value) == UUID_BYTES:
        return value
    problem = "missing" if value is None else f"it has {len(value)} bytes"
    refuse(field, problem, f"a UUID, as {UUID_BYTES} bytes")


def whole_number(value: Any, field: str, *, at_least: int, at_most: int) -> int:
    if type(value) is float and value.is_integer():
        value = int(value)  # 12.0: some languages have no other numbers
    if type(value) is int and at_least <= value <= at_most:
        return value
    problem = "out of range" if type(value) is int else _problem(value)
    refuse(field, problem, f"a whole number from {at_least} to {at_most}")


def seconds(value: Any, field: str) -> None:
    """Check an instant in seconds since 1970, if there is one."""
    if value is None:
        return
    accepted = f"a number of seconds from 0 to {SECONDS_MAX}"
    if type(value) not in _NUMBER_TYPES:
        refuse(field, _problem(value), accepted)
    if not 0 <= value <= SECONDS_MAX:
        refuse(field, "out of range", accepted)


def fraction(value: Any, field: str) -> float:
    accepted = "a number from 0 to 1"
    if type(value) not in _NUMBER_TYPES:
        refuse(field, _problem(value), accepted)
    if not 0 <= value <= 1:
        refuse(field, "out of range", accepted)
    return float(value)


def choice(value: Any, field: str, choices: type[IntegerChoices]) -> int:
    """Turn a name into its code; an absent one is unspecified."""
    if value is None:
        return 0
    codes = codes_by_name(choices)
    if not isinstance(value, str) or value not in codes:
        problem = "not one of the names" if isinstance(value, str) else _problem(value)
        refuse(field, problem, ", ".join(codes))
    return codes[value]


def code(value: int, field: str, choices: type[IntegerChoices]) -> int:
    """Check a code of a binary wire; 0 is unspecified."""
    codes = codes_by_name(choices)
    if value != 0 and value not in codes.values():
        refuse(field, f"{value} is none of the numbers", ", ".join(codes))
    return value


def embeddings(values: Sequence[Any], fields: Sequence[str]) -> NDArray[np.float32]:
    """Check vectors all at once; returns them as sent, shape (n, 384)."""
    if not values:
        return np.empty((0, EMBEDDING_DIMENSIONS), dtype=np.float32)
    for value, field in zip(values, fields, strict=True):
        _check_embedding_types(value, field)
    wide = np.array(values, dtype=np.float64)  # shape: (n, 384)
    with np.errstate(over="ignore", under="ignore"):
        narrow = wide.astype(np.float32)
    check_vectors(narrow, wide, fields)
    return narrow


def check_vectors(
    narrow: NDArray[np.float32], wide: NDArray[np.float64], fields: Sequence[str]
) -> None:
    """Check vectors as they were read and before rounding, both of shape (n, 384)."""
    if not np.isfinite(narrow).all():
        row, column = np.argwhere(~np.isfinite(narrow))[0]
        is_rounded = np.isfinite(wide[row, column])
        problem = "too large for float32" if is_rounded else "not a finite number"
        refuse(f"{fields[row]}[{column}]", problem, EMBEDDING_ACCEPTED)
    norms = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    if not ((norms >= NORM_MIN) & (norms <= NORM_MAX)).all():
        row = int(np.argmin((norms >= NORM_MIN) & (norms <= NORM_MAX)))
        refuse(
            fields[row],
            f"its length is {norms[row]:.3g}, so it has no use as a direction",
            f"a vector with a length from {NORM_MIN:g} to {NORM_MAX:g}; any other is "
            "normalised by the server",
        )


def distinct(ids: Sequence[Hashable], fields: Iterable[str]) -> None:
    """Refuse the second of two equal ids."""
    if len(set(ids)) == len(ids):
        return
    seen: set[object] = set()
    for each, field in zip(ids, fields, strict=True):
        if each in seen:
            refuse(field, "named twice in this list", "each id once in a list")
        seen.add(each)


def _check_embedding_types(value: Any, field: str) -> None:
    if not isinstance(value, list):
        refuse(field, _problem(value), EMBEDDING_ACCEPTED)
    if len(value) != EMBEDDING_DIMENSIONS:
        refuse(field, f"it has {len(value)} numbers", EMBEDDING_ACCEPTED)
    if not set(map(type, value)) <= _NUMBER_TYPES:
        column = next(i for i, x in enumerate(value) if type(x) not in _NUMBER_TYPES)
        refuse(f"{field}[{column}]", _problem(value[column]), EMBEDDING_ACCEPTED)


def codes_by_name(choices: type[IntegerChoices]) -> dict[str, int]:
    """Give the code of each name, without the nameless 0."""
    if choices not in _known_codes:
        _known_codes[choices] = {
            label: value for value, label in choices.choices if value != 0
        }
    return _known_codes[choices]


_known_codes: dict[type[IntegerChoices], dict[str, int]] = {}

_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "true or false",
    int: "a number",
    float: "a number that isn't whole",
}


def _problem(value: Any) -> str:
    return "missing" if value is None else f"it is {_KINDS[type(value)]}"
