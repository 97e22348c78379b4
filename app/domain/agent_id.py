"""What an agent may be called (http-api 2.13)."""

from __future__ import annotations

import re
from typing import Final

from app.domain.errors import InvalidInputError

_FORM: Final = re.compile(r"[A-Za-z0-9_\-:@./]+")
_BYTES_MAX: Final = 128

RESERVED_AGENT_IDS: Final = frozenset(
    {
        "daemon",
        "system",
        "federation-catchup",
        "subscription-dispatch",
        "ai:http-internal",
        "ai:migrate",
        "export-internal",
        "governance-internal",
    }
)


def validate_agent_id(text: str, *, reserved_allowed: bool = False) -> str:
    """The id itself, when it is one.

    Raises:
        InvalidInputError: `invalid agent_id: …`
    """
    problem = _problem(text, reserved_allowed=reserved_allowed)
    if problem is not None:
        raise InvalidInputError(f"invalid agent_id: {problem}", fields=["agent_id"])
    return text


def _problem(text: str, *, reserved_allowed: bool) -> str | None:
    if not text:
        return "cannot be empty"
    if len(text) > _BYTES_MAX:
        return f"exceeds max length of {_BYTES_MAX} bytes"
    if _FORM.fullmatch(text) is None:
        return "only letters, digits and _ - : @ . / are allowed"
    if ".." in text or text.startswith("/"):
        return "must not contain '..' or start with '/'"
    if not reserved_allowed and text in RESERVED_AGENT_IDS:
        return f"'{text}' is reserved"
    return None
