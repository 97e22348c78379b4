"""Rows to store: memories of about 1 kB of real words, no two alike."""

import random
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice

from examples.stdlib.corpus import iter_docstrings

CONTENT_CHARACTERS = 1_000
FRAGMENT_WORDS = 6
FRAGMENTS_MAX = 20_000
HASH_BYTES = 32
NAMESPACE = "bench"


@dataclass(frozen=True)
class Row:
    """One memory, as far as the baselines make one.

    Attributes:
        hash: As long and as random as a hash of it, since where a row falls in an index costs time.
    """

    id: str
    title: str
    content: str
    namespace: str
    hash: bytes


@cache
def fragments() -> tuple[str, ...]:
    """Return short runs of real words, safe inside JSON and inside a line of a file."""
    words = re.findall(r"[a-zA-Z]{2,}", " ".join(_texts()))
    count = min(len(words) // FRAGMENT_WORDS, FRAGMENTS_MAX)
    starts = range(0, count * FRAGMENT_WORDS, FRAGMENT_WORDS)
    return tuple(" ".join(words[start : start + FRAGMENT_WORDS]) for start in starts)


def _texts() -> Iterator[str]:
    return (document.content for document in islice(iter_docstrings(), 4_000))


def make_rows(count: int, seed: int) -> list[Row]:
    """Make rows as the load driver does: fragments drawn at random, and a title of its own."""
    pool = fragments()
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        pieces: list[str] = []
        length = 0
        while length < CONTENT_CHARACTERS:
            pieces.append(chance.choice(pool))
            length += len(pieces[-1]) + 1
        identifier = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        title = f"{chance.choice(pool)} {seed}-{number}"
        rows.append(
            Row(identifier, title, " ".join(pieces), NAMESPACE, chance.randbytes(HASH_BYTES))
        )
    return rows
