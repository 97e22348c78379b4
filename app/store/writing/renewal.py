"""A new epoch at run time: between two batches, so that no batch writes under two origins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.log.epochs import EpochReason
    from app.store.writing.chain import Head

Renew: TypeAlias = "Callable[[EpochReason, Mapping[str, int]], Head]"
"""Makes the next epoch durable and gives the beginning of its log. An error changes nothing."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """In the writer's queue: what comes behind it is written under the new origin."""

    reason: EpochReason
    used_epochs: Mapping[str, int]
    done: Callable[[str | Exception], None]
