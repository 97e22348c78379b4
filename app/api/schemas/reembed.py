"""Making vectors anew, on the wire (ours)."""

from __future__ import annotations

import msgspec
from pydantic import Field

from app.api.paging import decode_cursor, encode_cursor
from app.api.schemas.body import Body
from app.services.reembed import ReembedPlan, ReembedStep
from app.store.sql.records import MemoryPosition


class ReembedBody(Body):
    """One step of a run; the first has no cursor."""

    namespace: str | None = Field(default=None, description="Only this namespace, exactly.")
    dry_run: bool = Field(default=False, description="Count, and change nothing.")
    limit: int = Field(default=100, description="Rows of this step, at most 1000.")
    cursor: str | None = Field(default=None, description="`next_cursor` of the step before.")


class ReembedPlanBody(msgspec.Struct):
    """What a run would do."""

    dry_run: bool
    total_rows: int
    rows_with_embeddings: int
    rows_missing_embeddings: int
    target_model: str
    target_dim: int
    backend: str


class ReembeddedBody(msgspec.Struct):
    """What one step did; no `next_cursor` means that the run is done."""

    reembedded: int
    skipped: int
    model: str
    dim: int
    next_cursor: str | None


def position_of(cursor: str | None) -> MemoryPosition | None:
    return decode_cursor(cursor, MemoryPosition)


def plan_body(plan: ReembedPlan) -> ReembedPlanBody:
    return ReembedPlanBody(
        True,
        plan.total_rows,
        plan.rows_with_embeddings,
        plan.total_rows - plan.rows_with_embeddings,
        plan.target_model,
        plan.target_dim,
        plan.backend,
    )


def step_body(step: ReembedStep) -> ReembeddedBody:
    following = None if step.following is None else encode_cursor(step.following)
    return ReembeddedBody(step.reembedded, step.skipped, step.model, step.dim, following)
