"""Everything that can go wrong in the field's terms, each with a stable code.

Adapters translate a driver's errors into these; the HTTP and CLI edges turn
them into statuses and exit codes. `StoreUnavailableError` means "try again",
`ConflictError` means "you lost".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping


class AiMemoryError(Exception):
    """Base of the tree: a message for people, a code for machines, details beside them."""

    code: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details: Mapping[str, object] = details


class InvalidInputError(AiMemoryError):
    """The request is understood and its content refused; `fields` may name the culprits."""

    code = "INVALID"


class UnprocessableError(AiMemoryError):
    """Well-formed, but a value lies outside what the operation can do."""

    code = "UNPROCESSABLE"


class UnauthenticatedError(AiMemoryError):
    """No valid API key."""

    code = "UNAUTHENTICATED"


class ForbiddenError(AiMemoryError):
    """The caller is known and may not do this."""

    code = "FORBIDDEN"


class IdentityMismatchError(ForbiddenError):
    """A claimed agent id differs from the authenticated one."""

    code = "IDENTITY_MISMATCH"


class NotOwnerError(ForbiddenError):
    """The caller sees the row but does not own it."""

    code = "NOT_OWNER"


class AdminRequiredError(ForbiddenError):
    """The operation is for admins."""

    code = "ADMIN_REQUIRED"


class AttestationError(ForbiddenError):
    """A signature is missing, late or wrong."""

    code = "ATTESTATION_FAILED"


class NotFoundError(AiMemoryError):
    """No such thing, or none that the caller may see."""

    code = "NOT_FOUND"


class AmbiguousIdError(InvalidInputError):
    """An id prefix fits several memories."""

    code = "AMBIGUOUS_ID"


class ConflictError(AiMemoryError):
    """Another write holds what this one needs; repeating it unchanged cannot help."""

    code = "CONFLICT"


class VersionConflictError(ConflictError):
    """`If-Match` names a version that is not the current one."""

    code = "VERSION_CONFLICT"


class IdempotencyKeyTakenError(ConflictError):
    """Another request with the same key has written meanwhile; its answer is the one to give."""

    code = "IDEMPOTENCY_KEY_TAKEN"


class QuotaExceededError(AiMemoryError):
    """A write would pass the agent's quota."""

    code = "QUOTA_EXCEEDED"


class FeatureMissingError(AiMemoryError):
    """A component that this operation needs (embedder, LLM) is not configured."""

    code = "FEATURE_MISSING"


class BackendError(AiMemoryError):
    """A configured remote component failed."""

    code = "BACKEND_FAILED"


class StoreUnavailableError(AiMemoryError):
    """The store cannot serve this now; trying again later can help.

    `retry_after_seconds` is in the details.
    """

    code = "STORE_UNAVAILABLE"


class StoreFullError(StoreUnavailableError):
    """The disk under the store is full; nothing of the refused write was kept."""

    code = "STORE_FULL"


class StoreReadOnlyError(StoreUnavailableError):
    """The store's file or server refuses writes."""

    code = "STORE_READ_ONLY"


class OutcomeUnknownError(StoreUnavailableError):
    """The store was lost while it committed: the write may be there or not."""

    code = "OUTCOME_UNKNOWN"


class StoreClosedError(StoreUnavailableError):
    """The node is shutting down."""

    code = "STORE_CLOSED"


class StoreOpenError(AiMemoryError):
    """The store cannot be opened; `reason` in the details selects the exit code."""

    code = "STORE_OPEN_FAILED"


class EntryRefusedError(AiMemoryError):
    """A log entry is malformed or breaks a rule; it goes to quarantine with this code."""

    code = "ENTRY_REFUSED"
