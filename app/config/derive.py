"""Defaults that hang on other settings: what the tier and the backend bring with them.

Each rule changes only what no flag, variable or file has set.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Final

from app.config.directories import platform_directory
from app.config.ladder import Provenance, Resolved, Source
from app.config.vendors import LOCAL, find_vendor

_MEMORY_MB: Final = {"keyword": 0, "semantic": 256, "smart": 1024, "autonomous": 4096}
_LOCAL_MODEL: Final = "all-MiniLM-L6-v2"
_LOCAL_DIM: Final = 384


class Derivation:
    """Rewrites the resolved values in place, rule by rule."""

    def __init__(
        self, values: dict[str, Resolved], environ: Mapping[str, str], warnings: list[str]
    ) -> None:
        self._values = values
        self._environ = environ
        self._warnings = warnings

    def run(self) -> None:
        tier = str(self._values["tier"].value)
        self._fill("storage.max_memory_mb", _MEMORY_MB[tier])
        self._fill("reranker.enabled", tier == "autonomous")
        self._embeddings(tier)
        self._llm()
        self._pool()
        for section, kind in (("logging", "logs"), ("audit", "audit")):
            directory = platform_directory(
                "logs" if kind == "logs" else "audit", self._environ, sys.platform
            )
            self._fill(f"{section}.path", directory)

    def _is_said(self, dotted: str) -> bool:
        """Whether the operator set it; the address that v0.6 shared with the LLM says nothing."""
        where = self._values[dotted].provenance
        return where.source is not Source.COMPILED_DEFAULT and where.origin != "ollama_url"

    def _fill(self, dotted: str, value: object) -> None:
        if self._values[dotted].provenance.source is Source.COMPILED_DEFAULT:
            self._values[dotted] = Resolved(value, self._values[dotted].provenance)

    def _embeddings(self, tier: str) -> None:
        """Without a word from the operator the semantic tier embeds in this process."""
        said = [name for name in ("model", "base_url") if self._is_said(f"embeddings.{name}")]
        model = self._values["embeddings.model"].value
        if (
            (tier == "semantic" and not said)
            or model == _LOCAL_MODEL
            or self._is_said("embeddings.model_dir")
        ):
            self._fill("embeddings.backend", LOCAL)
        backend = str(self._values["embeddings.backend"].value)
        if backend == LOCAL:
            if not self._is_said("embeddings.base_url"):
                compiled = Provenance(Source.COMPILED_DEFAULT)
                self._values["embeddings.base_url"] = Resolved(None, compiled)
            self._fill("embeddings.model", _LOCAL_MODEL)
            if self._values["embeddings.model_dir"].value is None:
                self._fill("embeddings.dim", _LOCAL_DIM)
        else:
            self._base_url("embeddings", backend)

    def _llm(self) -> None:
        backend = str(self._values["llm.backend"].value)
        ollama = self._environ.get("OLLAMA_BASE_URL", "").strip()
        stronger = {Source.CLI, Source.ENV}
        if (
            backend == "ollama"
            and ollama
            and self._values["llm.base_url"].provenance.source not in stronger
        ):
            self._values["llm.base_url"] = Resolved(
                ollama, Provenance(Source.ENV, "OLLAMA_BASE_URL")
            )
        self._base_url("llm", backend)
        vendor = find_vendor(backend)
        if vendor is not None:
            self._fill("llm.model", vendor.chat_model)
        self._auto_tag(backend)

    def _auto_tag(self, llm_backend: str) -> None:
        """What is unset comes from `[llm]`, unless the short calls go to another backend."""
        own = self._values["llm.auto_tag.backend"].value
        if own in {None, llm_backend}:
            for name in ("backend", "model", "base_url"):
                if self._values[f"llm.auto_tag.{name}"].value is None:
                    self._values[f"llm.auto_tag.{name}"] = self._values[f"llm.{name}"]
            return
        self._base_url("llm.auto_tag", str(own))
        vendor = find_vendor(str(own))
        if vendor is not None:
            self._fill("llm.auto_tag.model", vendor.chat_model)

    def _base_url(self, section: str, backend: str) -> None:
        vendor = find_vendor(backend)
        if vendor is None:
            self._warnings.append(f"[{section}] backend: not a backend that this version knows")
            return
        self._fill(f"{section}.base_url", vendor.base_url)
        if self._values[f"{section}.base_url"].value is None:
            self._warnings.append(f"[{section}] base_url: the backend {vendor.name} needs one")

    def _pool(self) -> None:
        most = self._values["postgres_pool_max_connections"]
        least = self._values["postgres_pool_min_connections"]
        assert isinstance(most.value, int)
        assert isinstance(least.value, int)
        if least.value > most.value:
            self._warnings.append(
                "postgres_pool_min_connections is above postgres_pool_max_connections; lowered"
            )
            self._values["postgres_pool_min_connections"] = Resolved(most.value, least.provenance)


def is_configured(values: Mapping[str, Resolved], section: str) -> bool:
    """Whether a flag, variable or file sets anything of the section."""
    return any(
        resolved.provenance.source is not Source.COMPILED_DEFAULT
        for dotted, resolved in values.items()
        if dotted.startswith(f"{section}.")
    )
