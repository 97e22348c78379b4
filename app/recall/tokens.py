"""How many tokens a text costs its reader: cl100k counts (semantics 5.6)."""

from __future__ import annotations

import importlib
from typing import Protocol, cast

from app.domain.text import estimate_tokens


class TokenCounter(Protocol):
    """Counts what a budget is spent on."""

    @property
    def is_exact(self) -> bool:
        """Whether the count is the vocabulary's own."""
        ...

    def count(self, text: str) -> int:
        """Tokens of `text`, at least 0."""
        ...


class EstimatedTokens:
    """Without the vocabulary: within a few percent on prose, see `estimate_tokens`."""

    is_exact = False

    def count(self, text: str) -> int:
        return estimate_tokens(text)


class _Encoding(Protocol):
    def encode_ordinary(self, text: str) -> list[int]: ...


class VocabularyTokens:
    """The cl100k vocabulary itself, which reads markers such as "<|endoftext|>" as plain text."""

    is_exact = True

    def __init__(self, encoding: _Encoding) -> None:
        self._encoding = encoding

    def count(self, text: str) -> int:
        # A lone surrogate has no UTF-8 form; its replacement costs about what it would.
        return len(self._encoding.encode_ordinary(text.encode(errors="replace").decode()))


def open_token_counter() -> TokenCounter:
    """The exact counter where the package with the vocabulary is installed; takes about 0.5 s."""
    try:
        package = importlib.import_module("quicktok")
    except ImportError:
        return EstimatedTokens()
    return VocabularyTokens(cast("_Encoding", package.get_encoding("cl100k_base")))
