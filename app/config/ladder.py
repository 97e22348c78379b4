"""One key, up the ladder: flag, environment, section, flat key of v0.6, compiled default."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Final, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from app.config.document import Document
from app.config.key import OnInvalid
from app.config.secret import Secret
from app.config.settings import Leaf, leaves
from app.domain.errors import InvalidInputError

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"", "0", "false", "no", "off"})
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,30}")


class Source(Enum):
    """The rung that a value came from."""

    CLI = "Cli"
    ENV = "Env"
    CONFIG = "Config"
    LEGACY = "Legacy"
    COMPILED_DEFAULT = "CompiledDefault"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a value came from; `origin` names the flag, variable or key."""

    source: Source
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A value and where it came from."""

    value: object
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Candidate:
    """What one rung offers, not yet read."""

    provenance: Provenance
    raw: object


class _RefusedError(Exception):
    """A value that a key does not take; the text never holds the value."""


@dataclass(frozen=True, slots=True)
class Rungs:
    """The layers above the compiled defaults. Empty texts count as not given."""

    cli: Mapping[str, object]
    environ: Mapping[str, str]
    document: Document

    def climb(self, leaf: Leaf, warnings: list[str]) -> Resolved:
        """The strongest value that the key takes; `warnings` gains what was passed over.

        Raises:
            ConfigRejectedError: the file's value has the wrong type, or one that the key's
                policy does not pass over.
            InvalidInputError: the flag's value is not one that the key takes.
        """
        for candidate in self._candidates(leaf):
            if _is_blank(leaf, candidate):
                continue
            try:
                value = _read(leaf, candidate, warnings)
            except _RefusedError as refused:
                if self._stops_at(leaf, candidate, refused, warnings):
                    break
                continue
            if not _counts_as_absent(leaf, candidate, value):
                return Resolved(self._expanded(value, candidate), candidate.provenance)
        return Resolved(leaf.default, Provenance(Source.COMPILED_DEFAULT))

    def _candidates(self, leaf: Leaf) -> Iterable[Candidate]:
        key = leaf.key
        if self.cli.get(leaf.dotted) is not None:
            flag = key.flag.split(" ")[-1] or f"--{leaf.path[-1].replace('_', '-')}"
            yield Candidate(Provenance(Source.CLI, flag), self.cli[leaf.dotted])
        for name in key.env:
            if name in self.environ:
                yield Candidate(Provenance(Source.ENV, name), self.environ[name])
        if key.in_file:
            table, section = self.document.table(leaf.path[:-1]), ".".join(leaf.path[:-1])
            for name in (leaf.path[-1], *key.also):
                if name in table:
                    origin = f"[{section}] {name}" if section else name
                    yield Candidate(Provenance(Source.CONFIG, origin), table[name])
        for name in key.legacy:
            # A successor of the same name at top level would shadow itself: there is none.
            if name in self.document.values:
                yield Candidate(Provenance(Source.LEGACY, name), self.document.values[name])

    def _stops_at(
        self, leaf: Leaf, candidate: Candidate, refused: _RefusedError, warnings: list[str]
    ) -> bool:
        """Apply the key's policy to a refused value; True if the compiled default holds now."""
        origin, policy = candidate.provenance.origin, leaf.key.on_invalid
        reason = f"{origin}: {refused}"
        if candidate.provenance.source is Source.CLI:
            raise InvalidInputError(reason) from None
        in_file = candidate.provenance.source in {Source.CONFIG, Source.LEGACY}
        wrong_type = isinstance(refused, _WrongTypeError)
        if in_file and (wrong_type or policy is OnInvalid.REJECT):
            raise self.document.rejected(reason) from None
        if policy is OnInvalid.DEFAULT:
            warnings.append(f"{reason}; the default {leaf.default} is used")
            return True
        warnings.append(f"{reason}; ignored")
        return False

    def _expanded(self, value: object, candidate: Candidate) -> object:
        """A path of the file with a leading `~` put below HOME; a shell did it for the others."""
        home = self.environ.get("HOME", "")
        in_file = candidate.provenance.source in {Source.CONFIG, Source.LEGACY}
        if in_file and home and isinstance(value, Path) and value.parts[:1] == ("~",):
            return Path(home, *value.parts[1:])
        return value


class _WrongTypeError(_RefusedError):
    """Not even of the key's type."""


def base_type(annotation: object) -> object:
    """The type below `Annotated` and `| None`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return base_type(get_args(annotation)[0])
    if origin in {Union, UnionType}:
        return base_type(next(arg for arg in get_args(annotation) if arg is not type(None)))
    return annotation


def parse_flag(text: str) -> bool | None:
    """The truth that a variable's text spells; None if it spells none."""
    word = text.strip().lower()
    if word in _TRUE:
        return True
    return False if word in _FALSE else None


def _read(leaf: Leaf, candidate: Candidate, warnings: list[str]) -> object:
    raw = candidate.raw
    textual = candidate.provenance.source in {Source.CLI, Source.ENV}
    if textual and isinstance(raw, str):
        raw = _from_text(raw, base_type(leaf.field.annotation))
    try:
        return _adapter(leaf.dotted).validate_python(raw)
    except ValidationError as error:
        if leaf.key.invalid_items_dropped and isinstance(raw, list | tuple):
            kept = _without_invalid_items(raw, error)
            if len(kept) < len(raw):
                dropped = len(raw) - len(kept)
                warnings.append(f"{candidate.provenance.origin}: {dropped} invalid entries dropped")
                return _adapter(leaf.dotted).validate_python(kept)
        raise _refusal(error) from None


def _is_blank(leaf: Leaf, candidate: Candidate) -> bool:
    """Whether an empty text stands for nothing. For a switch in the environment it is false."""
    if not isinstance(candidate.raw, str) or candidate.raw.strip():
        return False
    kind = base_type(leaf.field.annotation)
    if candidate.provenance.source in {Source.CLI, Source.ENV}:
        return kind is not bool
    return kind in {str, Path, Secret}


def _counts_as_absent(leaf: Leaf, candidate: Candidate, value: object) -> bool:
    given_by_hand = candidate.provenance.source in {Source.CLI, Source.ENV}
    return leaf.key.default_is_absent and given_by_hand and value == leaf.default


@cache
def _adapter(dotted: str) -> TypeAdapter[object]:
    field = leaves()[dotted].field
    # The checker cannot follow a type that is put together at run time.
    return TypeAdapter(Annotated[(field.annotation, *field.metadata)])  # type: ignore[arg-type]


def _from_text(text: str, kind: object) -> object:
    """A variable's text in the key's type; text that spells no such value stays text."""
    word = text.strip()
    if kind is bool:
        truth = parse_flag(text)
        return text if truth is None else truth
    if kind is int and _WHOLE.fullmatch(word):
        return int(word)
    if kind is float:
        try:
            return float(word)
        except ValueError:
            return text
    if get_origin(kind) is tuple:
        return [item.strip() for item in text.split(",") if item.strip()]
    return text


_RANGE_ERRORS: Final = frozenset(
    {
        "value_error",
        "literal_error",
        "string_too_short",
        "greater_than",
        "greater_than_equal",
        "less_than",
        "less_than_equal",
    }
)


def _refusal(error: ValidationError) -> _RefusedError:
    # Only places and rules are taken over: pydantic's own text shows the input.
    found = error.errors(include_url=False, include_input=False, include_context=False)
    reasons = []
    for item in found:
        place = ".".join(str(part) for part in item["loc"])
        rule = item["msg"].removeprefix("Value error, ")
        reasons.append(f"{place}: {rule}" if place else rule)
    wrong_type = any(item["type"] not in _RANGE_ERRORS for item in found)
    return (_WrongTypeError if wrong_type else _RefusedError)("; ".join(reasons))


def _without_invalid_items(
    items: list[object] | tuple[object, ...], error: ValidationError
) -> list[object]:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    bad = {item["loc"][0] for item in found if item["loc"] and item["type"] in _RANGE_ERRORS}
    return [item for place, item in enumerate(items) if place not in bad]
