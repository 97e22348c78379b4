"""Every parameter and every key of every body of a document, with every hostile value."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from tests.fuzz.hostile import ENCODED, RAW_JSON, TEXTS, encoded
from tests.fuzz.seeds import SEED_IDS
from tests.fuzz.wire import request

Document = Mapping[str, Any]  # somebody else's format

DEPTH_MAX: Final = 3
_PLAIN_VALUES: Final = {
    "memory_id": SEED_IDS[0],
    "source_id": SEED_IDS[0],
    "target_id": SEED_IDS[1],
    "id": SEED_IDS[0],
    "ids": list(SEED_IDS[:2]),
    "relation": "related_to",
    "agent_id": "local",
    "target_agent_id": "ai:fuzz@here",
    "namespace": "fuzz",
    "tier": "long",
    "on_conflict": "version",
    "source": "api",
    "context": "deploys",
    "query": "deploys",
    "q": "deploys",
    "topic": "deploys",
    "payload": "x",
    "summary": "both",
    "pubkey_b64": "WGZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY=",
    "url": "https://93.184.215.14/hook",
    "secret": "generate",
    "priority": 5,
    "confidence": 1.0,
    "family": "core",
    "agent_type": "human",
}
"""What gets past the checks, so that the one hostile value beside it is looked at."""
_PLAIN_QUERY: Final = frozenset({"context", "q", "topic", "source_id", "alias"})
_ARCHIVED: Final = frozenset({"/api/v1/archive/{memory_id}/restore"})


@dataclass(frozen=True)
class Attack:
    """One request, and what it is in words."""

    operation: str
    what: str
    raw: bytes
    documented: frozenset[int]


def attacks(document: Document) -> Iterator[Attack]:
    """All of them, in an order that is the same every time.

    Deletions come last: what they erase for good keeps its id for ever.
    """
    operations = [
        _Operation(document, method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    for operation in sorted(operations, key=lambda one: one.method == "DELETE"):
        yield from operation.attacks()


@dataclass(frozen=True)
class _Operation:
    document: Document
    method: str
    path: str
    operation: Document

    def attacks(self) -> Iterator[Attack]:
        """The first is none: what the node should accept."""
        yield self._attack("nothing")
        for parameter in map(self._resolved, self.operation.get("parameters", ())):
            name, place = parameter["name"], parameter["in"]
            if place == "header":
                yield from self._on_header(name)
            else:
                for value in (*map(encoded, TEXTS), *ENCODED):
                    yield self._attack(f"{place} {name}={value}", {name: value})
        yield self._attack("unknown query", query="?_=1&__proto__[x]=1&=&&&a=b=c&%00=%ff")
        example = self._body_example()
        if example is not None:
            for where, body in _with_hostile_keys(example):
                yield self._attack(f"body {where}", body=body)

    def _attack(
        self,
        what: str,
        values: Mapping[str, str] | None = None,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        query: str = "",
    ) -> Attack:
        target, pairs = self.path, []
        for parameter in map(self._resolved, self.operation.get("parameters", ())):
            name = parameter["name"]
            value = (values or {}).get(name)
            if parameter["in"] == "path":
                known = SEED_IDS[2] if self.path in _ARCHIVED else _PLAIN_VALUES.get(name, "x")
                target = target.replace(f"{{{name}}}", str(known) if value is None else value)
            elif parameter["in"] == "query" and (value is not None or self._is_asked(name)):
                pairs.append(f"{name}={_PLAIN_VALUES.get(name, 'x') if value is None else value}")
        target += query or ("?" + "&".join(pairs) if pairs else "")
        if body is None:
            body = self._plain_body()
        raw = request(self.method, target, body, headers)
        documented = frozenset(map(int, self.operation["responses"]))
        return Attack(f"{self.method} {self.path}", what, raw, documented)

    def _is_asked(self, name: str) -> bool:
        return name in _PLAIN_QUERY or (self.method == "DELETE" and name == "namespace")

    def _on_header(self, name: str) -> Iterator[Attack]:
        for value in TEXTS:
            if not set(value) & set("\r\n\x00"):  # they would end the header
                yield self._attack(f"header {name}={value!r}", headers={name: value})

    def _plain_body(self) -> bytes | None:
        example = self._body_example()
        return None if example is None else msgspec.json.encode(example)

    def _body_example(self) -> object:
        """A body with every key that the document names, as far as it says what goes there."""
        if "requestBody" not in self.operation:
            return None
        return self._example(self.operation["requestBody"]["content"]["application/json"]["schema"])

    def _resolved(self, node: Document) -> Document:
        while "$ref" in node:
            found: Document = self.document
            for step in node["$ref"].removeprefix("#/").split("/"):
                found = found[step]
            node = found
        return node

    def _example(self, schema: Document, depth: int = 0) -> object:
        schema = self._resolved(schema)
        for forms in ("oneOf", "anyOf"):
            if forms in schema:
                return self._example(schema[forms][0], depth)
        if schema.get("examples"):
            return schema["examples"][0]
        if "properties" in schema and depth < DEPTH_MAX:
            needed = schema.get("required", ())
            return {
                name: self._key(name, one, depth, is_needed=name in needed)
                for name, one in schema["properties"].items()
            }
        if schema.get("type") == "array" and "items" in schema:
            return [self._example(schema["items"], depth + 1)]
        plain = {"string": "x", "integer": 1, "number": 1.0, "boolean": False, "object": {}}
        return plain.get(schema.get("type", "null"))

    def _key(self, name: str, schema: Document, depth: int, *, is_needed: bool) -> object:
        if name in _PLAIN_VALUES:
            return _PLAIN_VALUES[name]
        return self._example(schema, depth + 1) if is_needed else None  # null is absent


def _with_hostile_keys(example: object) -> Iterator[tuple[str, bytes]]:
    """The whole body, and each value in it, replaced by each hostile one."""
    yield from ((f"whole #{number}", raw.encode()) for number, raw in enumerate(RAW_JSON))
    marker = "\u2603 here"
    quoted = msgspec.json.encode(marker)
    texts = [msgspec.json.encode(text) for text in TEXTS]
    values: Sequence[bytes] = [raw.encode() for raw in RAW_JSON] + texts
    for where, marked in _marked(example, marker):
        frame = msgspec.json.encode(marked)
        for value in values:
            yield f"{where}: {value[:60]!r}", frame.replace(quoted, value)


def _marked(value: object, marker: str, where: str = "") -> Iterator[tuple[str, object]]:
    """Copies of a body with the marker in the place of one value each."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield f"{where}.{name}", {**value, name: marker}
            for place, copy in _marked(inner, marker, f"{where}.{name}"):
                yield place, {**value, name: copy}
        yield f"{where}.unknown", {**value, "unknown key": marker}
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield f"{where}[{number}]", [*value[:number], marker, *value[number + 1 :]]
            for place, copy in _marked(inner, marker, f"{where}[{number}]"):
                yield place, [*value[:number], copy, *value[number + 1 :]]
