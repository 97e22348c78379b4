"""Entries of every kind, over few ids, names and stamps, so that they meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from app.domain.memory import MEMORY_KINDS, RELATIONS, Memory
from app.log.canonical import Value
from app.log.hlc import Stamp
from app.log.projection import registers

if TYPE_CHECKING:
    from collections.abc import Mapping

IDS = (
    "1a5e0000-0000-4000-8000-000000000001",
    "2b5e0000-0000-4000-8000-000000000002",
    "3c5e0000-0000-4000-8000-000000000003",
    "4d5e0000-0000-4000-8000-000000000004",
)
ORIGINS = ("aaaaaaaaaaaaaaaa.1", "bbbbbbbbbbbbbbbb.1", "v070:peer")

ids = st.sampled_from(IDS)
instants = st.integers(0, 40).map(
    lambda day: f"2026-0{1 + day // 28}-{1 + day % 28:02}T00:00:00.000000+00:00"
)
stamps = st.builds(Stamp, st.integers(1, 12), st.sampled_from(ORIGINS))
words = st.sampled_from(("alpha", "beta", "gamma"))
namespaces = st.sampled_from(("work", "home"))
json_values: st.SearchStrategy[Value] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-1, 1) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
objects = st.dictionaries(words, json_values, max_size=2)
counts = st.integers(0, 12)
spans: st.SearchStrategy[Value] = st.none() | st.dictionaries(
    words, st.integers(0, 9), min_size=1, max_size=2
)

memories = st.builds(
    Memory,
    id=ids,
    tier=st.sampled_from(("short", "mid", "long")),
    namespace=namespaces,
    title=words,
    content=words,
    tags=st.lists(words, max_size=2).map(tuple),
    priority=st.integers(1, 10),
    confidence=st.floats(0, 1),
    source=st.sampled_from(("api", "cli")),
    access_count=counts,
    created_at=instants,
    updated_at=instants,
    last_accessed_at=st.none() | instants,
    expires_at=st.none() | instants,
    metadata=st.fixed_dictionaries(
        {},
        optional={
            "agent_id": st.sampled_from(("ai:one", "system")),
            "scope": words,
            "": json_values,
        },
    ),
    reflection_depth=st.integers(0, 3),
    memory_kind=st.sampled_from(MEMORY_KINDS),
    entity_id=st.none() | ids,
    persona_version=st.none() | st.integers(0, 9),
    citations=st.lists(objects, max_size=2).map(tuple),
    source_uri=st.none() | words,
    source_span=spans,
    confidence_source=words,
    confidence_signals=st.none() | objects,
    confidence_decayed_at=st.none() | instants,
    version=st.integers(1, 5),
)


def row(*parts: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
    """A list with these items."""
    return st.tuples(*parts).map(lambda items: [*items])


REGISTERS: Mapping[str, st.SearchStrategy[Value]] = {
    "name": row(namespaces, words),
    "body": row(words, st.lists(objects, max_size=1), st.none() | words, spans, words),
    "tags": st.lists(words, max_size=2),
    "priority": row(st.integers(1, 10), counts),
    "confidence": row(st.floats(0, 1), words, st.none() | objects, st.none() | instants),
    "owner": row(st.integers(0, 1), words),
    "tier": row(st.integers(0, 2), counts),
    "expires": st.none() | instants,
    "touched_expires": row(st.integers(1, 12), st.sampled_from(ORIGINS), instants),
    "life": st.sampled_from(
        [[0, "live", None, None], [0, "archived", "r", None], [1, "purged", None, None]]
    ),
    "updates": counts,
    "accesses": counts,
    "accessed": instants,
    "created": instants,
    "updated": instants,
    "kind": row(st.integers(0, 1), st.sampled_from(MEMORY_KINDS)),
    "depth": st.integers(0, 3),
    "persona": row(st.none() | ids, st.none() | st.integers(0, 9)),
    "atoms": row(st.none() | st.integers(0, 9), st.none() | ids),
    "meta.": st.lists(json_values, max_size=1),
    "meta.scope": st.lists(json_values, max_size=1),
}


def writes(*allowed: str) -> st.SearchStrategy[Value]:
    """Some of the registers, for one memory."""
    some = st.fixed_dictionaries({}, optional={one: REGISTERS[one] for one in allowed})
    return st.fixed_dictionaries({"id": ids, "registers": some})


def write_of(memory: Memory) -> Value:
    return {"id": memory.id, "registers": registers(memory)}


whole_writes = memories.map(write_of)
any_writes = whole_writes | writes(*REGISTERS)
some_ids: st.SearchStrategy[Value] = st.lists(ids, min_size=1, max_size=3).map(
    lambda chosen: [*chosen]
)
link_keys = st.fixed_dictionaries(
    {"source_id": ids, "target_id": ids, "relation": st.sampled_from(RELATIONS[:2])}
).filter(lambda key: key["source_id"] != key["target_id"])
links = st.builds(
    lambda key, facts: {**key, **facts},
    link_keys,
    st.fixed_dictionaries(
        {
            "created_at": instants,
            "valid_from": st.none() | instants,
            "valid_until": st.none() | instants,
            "observed_by": st.none() | words,
            "signature": st.none() | st.binary(min_size=2, max_size=2),
            "attest_level": st.none() | words,
        }
    ),
)
_UPDATABLE = tuple(set(REGISTERS) - {"life", "created", "accesses", "accessed", "touched_expires"})


def _embedding(dim: int, memory_id: str, byte: int) -> dict[str, Value]:
    return {
        "memory_id": memory_id,
        "content_hash": bytes([byte]) * 32,
        "model": "m",
        "dim": dim,
        "vector": bytes([byte, 0]) * dim,
    }


_fixed = st.fixed_dictionaries
_row_payload = _fixed({"memory": any_writes})
PAYLOADS: dict[str, st.SearchStrategy[dict[str, Value]]] = {
    "store": _fixed({"memory": whole_writes}),
    "update": _fixed({"memory": writes(*sorted(_UPDATABLE))}),
    "delete": _fixed(
        {"ids": some_ids, "at": instants, "reason": st.none() | words, "archived": st.booleans()}
    ),
    "archive": _fixed({"ids": some_ids, "at": instants, "reason": words}),
    "restore": _fixed(
        {
            "memory": _fixed(
                {
                    "id": ids,
                    "registers": _fixed(
                        {"life": st.just([0, "live", None, None])},
                        optional={one: REGISTERS[one] for one in ("expires", "tier", "updates")},
                    ),
                }
            )
        }
    ),
    "promote": _fixed({"memory": writes("tier", "expires", "updates", "updated")}),
    "purge": _fixed({"ids": ids.map(lambda one: [one]), "at": instants}),
    "link": _fixed({"links": st.lists(links, min_size=1, max_size=2)}),
    "unlink": _fixed({"links": st.lists(link_keys, max_size=2)}),
    "invalidate": st.builds(lambda key, at: {**key, "valid_until": at}, link_keys, instants),
    "alias": _fixed(
        {"entity_id": ids, "aliases": st.lists(words, max_size=2), "created_at": instants},
        optional={"memory": whole_writes},
    ),
    "consolidate": _fixed(
        {
            "memory": whole_writes,
            "sources": some_ids,
            "links": st.lists(links, max_size=1),
            "at": instants,
        }
    ),
    "touch": _fixed(
        {"memories": st.lists(writes("accesses", "accessed", "touched_expires"), max_size=3)}
    ),
    "embedding": st.builds(_embedding, st.integers(1, 3), ids, st.integers(0, 3)),
    "agent": _fixed({"agent_id": words, "memory": any_writes}),
    "member": _fixed(
        {"node_id": words, "state": st.sampled_from(("joined", "left")), "detail": json_values}
    ),
    "forget": _fixed({"below": st.just(0)}),
    "standard_set": _fixed(
        {
            "namespace": namespaces,
            "standard_id": ids,
            "parent": st.none() | namespaces,
            "updated_at": instants,
            "memories": st.lists(any_writes, max_size=2),
        }
    ),
    "standard_clear": _fixed({"namespace": namespaces}),
    "pending": _fixed({"pending_id": words, "request": objects}),
    "vote": _fixed({"pending_id": words, "agent_id": words, "approved_at": instants}),
    "decision": _fixed(
        {
            "pending_id": words,
            "approve": st.booleans(),
            "decider": words,
            "decided_at": instants,
            "memories": st.lists(any_writes, max_size=2),
        }
    ),
}
_V070_WRITES = ("link", "standard_set", "pending", "vote", "decision")
_v070_write = st.one_of(
    _fixed({"kind": st.just("row"), "hlc": st.integers(0, 12), "payload": _row_payload}),
    *(
        _fixed({"kind": st.just(kind), "hlc": st.integers(0, 12), "payload": PAYLOADS[kind]})
        for kind in _V070_WRITES
    ),
)
PAYLOADS["v070"] = _fixed(
    {"peer": st.sampled_from(("peer", "host:old")), "writes": st.lists(_v070_write, max_size=3)}
)
LATER = st.builds(Stamp, st.integers(13, 24), st.sampled_from(ORIGINS))
"""Stamps of entries that carry stamps: later than all of these."""


@dataclass(frozen=True)
class Said:
    """What one entry says, and when."""

    kind: str
    payload: dict[str, Value]
    stamp: Stamp


def said(*kinds: str) -> st.SearchStrategy[Said]:
    """An entry of one of these kinds."""
    return st.one_of(
        [
            st.builds(Said, st.just(kind), PAYLOADS[kind], LATER if kind == "v070" else stamps)
            for kind in kinds
        ]
    )
