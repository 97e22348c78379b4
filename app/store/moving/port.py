"""What a move needs of a database: one to read in a snapshot, one to fill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from app.store.writing.port import Reader, Transaction


@dataclass(frozen=True, slots=True)
class Seen:
    """A store as one snapshot shows it."""

    reader: Reader
    digests: Mapping[int, bytes]
    """Bucket → the digest that the store keeps."""


class Target(Protocol):
    """A store that is being filled. No node can open it until the move is finished."""

    @property
    def is_unfinished(self) -> bool:
        """Whether a move into it was begun before."""
        ...

    def begin(self) -> AbstractContextManager[Transaction]:
        """A transaction, as `port.Transactions.begin`."""
        ...

    def seen(self) -> AbstractContextManager[Seen]:
        """What is committed now."""
        ...

    def clear_way(self, transaction: Transaction) -> None:
        """In the transaction that begins the move: drop what is dear to keep up row by row."""
        ...

    def settle(self) -> None:
        """Make what follows from the rows: indexes, numbers to give next, digests.

        May be called again after a run that was killed.

        Raises:
            AiMemoryError: the database cannot write.
        """
        ...
