"""Rows to store: memories of about 1 kB of real words, no two alike."""

import json
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
CREATED_AT = "2026-01-01T00:00:00.000000+00:00"
METADATA = json.dumps({"agent_id": "local"})
NAMESPACE = "bench"

# About what the node keeps beside the text: the registers of its state, and the header of an entry.
STATE_EXTRA = b"\xa5" * 400
HEADER = b"\x88" * 160
HASH = b"\x5a" * 32


@dataclass(frozen=True)
class Row:
    """One memory, as far as the baselines make one."""

    id: str
    title: str
    content: str
    namespace: str


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
        rows.append(Row(identifier, title, " ".join(pieces), NAMESPACE))
    return rows
