"""Whether the configured model servers answer (config 5.2). A key is sent, never shown."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING, Final

import httpx

from app.cli.diagnosis import Section, Severity
from app.config.vendors import LOCAL

if TYPE_CHECKING:
    from app.config.credentials import ApiKey
    from app.config.resolve import Resolution

PROBE_SECONDS: Final = 5.0
_OLLAMA: Final = "ollama"
_SOFT: Final = frozenset({401, 403, 429})


@dataclass(frozen=True, slots=True)
class _Target:
    title: str
    section: str
    backend: str
    model: str
    base_url: str | None
    key: ApiKey


def language_model(resolution: Resolution) -> Section:
    """The server of `[llm]`: its list of models is asked for."""
    chosen = resolution.settings.llm
    target = _Target(
        "LLM Reachability",
        "llm",
        chosen.backend,
        str(chosen.model),
        chosen.base_url,
        resolution.llm_key,
    )
    path = "/api/tags" if target.backend == _OLLAMA else "/models"
    return _section(resolution, target, "GET", path)


def embeddings(resolution: Resolution) -> Section:
    """The server of `[embeddings]`: one letter is embedded."""
    chosen = resolution.settings.embeddings
    target = _Target(
        "Embeddings Reachability",
        "embeddings",
        chosen.backend,
        str(chosen.model),
        chosen.base_url,
        resolution.embeddings_key,
    )
    if target.backend == _OLLAMA:
        return _section(resolution, target, "GET", "/api/tags")
    return _section(resolution, target, "POST", "/embeddings")


def _section(resolution: Resolution, target: _Target, method: str, path: str) -> Section:
    is_configured = resolution.is_configured(target.section)
    facts = [
        ("backend", target.backend),
        ("model", target.model),
        ("base_url", target.base_url or ""),
        ("config_source", resolution.provenance(f"{target.section}.backend").source.value),
        ("key_source", target.key.source),
    ]
    if target.backend == LOCAL:
        return Section(target.title, Severity.INFO, facts, "runs in this process")
    if not is_configured or target.base_url is None:
        return Section(target.title, Severity.INFO, facts, "not configured, so not asked")
    begun = perf_counter()
    try:
        status = _probe(target, method, path)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Section(target.title, Severity.CRITICAL, facts, f"no answer: {error}")
    facts.append(("http_status", str(status)))
    facts.append(("latency_ms", str(round((perf_counter() - begun) * 1000))))
    return Section(target.title, severity_of(status), facts)


def _probe(target: _Target, method: str, path: str) -> int:
    key = target.key.secret
    headers = {} if key is None else {"Authorization": f"Bearer {key.reveal()}"}
    body = {"model": target.model, "input": "a"} if method == "POST" else None
    url = f"{(target.base_url or '').rstrip('/')}{path}"
    reply = httpx.request(method, url, headers=headers, json=body, timeout=PROBE_SECONDS)
    return reply.status_code


def severity_of(status: int) -> Severity:
    """An answer that a key or a pause would change is a warning, a wrong address is critical."""
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Severity.INFO
    if status in _SOFT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Severity.WARNING
    return Severity.CRITICAL
