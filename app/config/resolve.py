"""The configuration in force: every key up its ladder, with where its value came from.

The only place of the service that reads the process environment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from app.config.credentials import ApiKey, KeyReferences, find_api_key
from app.config.derive import Derivation, is_configured
from app.config.document import Document, exposure_warning, load, locate
from app.config.errors import ConfigRejectedError
from app.config.ladder import Provenance, Resolved, Rungs
from app.config.section import Section
from app.config.settings import Settings, Table, leaves, root_table

SECTIONED: Final = 2
"""The `schema_version` from which the file has sections."""


@dataclass(frozen=True, slots=True)
class ProvenanceRow:
    """One key as doctor shows it; a secret's text is `<redacted>`."""

    key: str
    value: str
    source: str
    origin: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """Settings, and everything an operator may ask about them.

    Attributes:
        settings: The values in force.
        file: The file that was read, None if there was none.
        warnings: For standard error, in order. Never a secret.
        unknown_keys: Keys of the file that nothing reads.
        rejection: Why the file was refused; then `settings` hold no value of it.
        llm_key: Key of the language model.
        auto_tag_key: Key of the model for short calls.
        embeddings_key: Key of the embedding backend.
    """

    settings: Settings
    file: Path | None
    warnings: tuple[str, ...]
    unknown_keys: tuple[str, ...]
    llm_key: ApiKey
    auto_tag_key: ApiKey
    embeddings_key: ApiKey
    rejection: ConfigRejectedError | None = None
    _values: Mapping[str, Resolved] = field(default_factory=dict, repr=False)

    def provenance(self, dotted: str) -> Provenance:
        """Where the value of a key such as `limits.max_page_size` came from."""
        return self._values[dotted].provenance

    def is_configured(self, section: str) -> bool:
        """Whether a flag, variable or file sets anything of the section."""
        return is_configured(self._values, section)

    def rows(self) -> Iterator[ProvenanceRow]:
        """Every key with its value and source, in the order of the file."""
        for dotted, resolved in self._values.items():
            shown = "" if resolved.value is None else str(resolved.value)
            source = resolved.provenance
            yield ProvenanceRow(dotted, shown, source.source.value, source.origin)


def resolve(
    cli: Mapping[str, object],
    environ: Mapping[str, str] | None = None,
    path: Path | None = None,
) -> Resolution:
    """Resolve every setting.

    Args:
        cli: Values of flags by dotted key (`{"db": Path("x.db")}`); None means not given.
        environ: The process environment if not given.
        path: The file named by `--config`; it must exist. Else the user's own, if there is one.

    Raises:
        ConfigRejectedError: the file may not be used; exit with `EXIT_CONFIG`.
        InvalidInputError: a flag's value is not one that its key takes.
    """
    resolution = resolve_leniently(cli, environ, path)
    if resolution.rejection is not None:
        raise resolution.rejection
    return resolution


def resolve_leniently(
    cli: Mapping[str, object],
    environ: Mapping[str, str] | None = None,
    path: Path | None = None,
) -> Resolution:
    """As `resolve`, but a refused file is reported in `rejection` and read as if absent.

    For the commands that must run then: doctor, config, completions, man.

    Raises:
        InvalidInputError: a flag's value is not one that its key takes.
    """
    environ = os.environ if environ is None else environ
    try:
        document = load(locate(environ, path), must_exist=path is not None)
        return _resolve(Rungs(cli, environ, document))
    except ConfigRejectedError as rejected:
        return replace(_resolve(Rungs(cli, environ, Document())), rejection=rejected)


def _resolve(rungs: Rungs) -> Resolution:
    warnings = _file_warnings(rungs.document)
    values = {dotted: rungs.climb(leaf, warnings) for dotted, leaf in leaves().items()}
    _check_shape(rungs.document)
    Derivation(values, rungs.environ, warnings).run()
    settings = _build(root_table(), values)
    assert isinstance(settings, Settings)
    llm, auto_tag, embeddings = _keys(settings, rungs.environ)
    return Resolution(
        settings=settings,
        file=rungs.document.path,
        warnings=tuple(warnings),
        unknown_keys=rungs.document.unknown_keys(),
        llm_key=llm,
        auto_tag_key=auto_tag,
        embeddings_key=embeddings,
        _values=values,
    )


def _check_shape(document: Document) -> None:
    """Refuse a key that stands where a section belongs, also in sections without own keys."""
    for table in root_table().all_tables():
        document.table(table.path)


def _file_warnings(document: Document) -> list[str]:
    warnings = []
    version = document.values.get("schema_version", 1)
    legacy = document.legacy_keys()
    if document.values and isinstance(version, int) and version < SECTIONED:
        warnings.append(
            f"{document.path} has the flat shape of v0.6; `ai-memory config migrate` updates it"
        )
    elif legacy:
        warnings.append(
            f"{document.path} mixes sections with flat keys ({', '.join(legacy)}); sections win. "
            "`ai-memory config migrate` moves them"
        )
    if "permissions" in document.values and "mode" not in document.table(("permissions",)):
        warnings.append(
            "[permissions] names no mode: enforce holds (it was advisory before v0.7.0)"
        )
    exposed = exposure_warning(document)
    return [*warnings, exposed] if exposed else warnings


def _build(table: Table, values: Mapping[str, Resolved]) -> Section:
    """The section's model. Its values are checked already, each by its own key."""
    fields: dict[str, object] = {leaf.path[-1]: values[leaf.dotted].value for leaf in table.leaves}
    for below in table.tables:
        fields[below.path[-1]] = _build(below, values)
    return table.model.model_construct(None, **fields)


def _keys(settings: Settings, environ: Mapping[str, str]) -> tuple[ApiKey, ApiKey, ApiKey]:
    lax = settings.security.allow_lax_secret_files
    llm, tag, vectors = settings.llm, settings.llm.auto_tag, settings.embeddings
    llm_key = find_api_key(
        KeyReferences(llm.api_key, llm.backend, llm.api_key_env, llm.api_key_file),
        environ,
        lax_files=lax,
    )
    # A key of `[llm]` goes to the vendor of `[llm]` only: another backend or address needs its own.
    inherits = tag.backend in {None, llm.backend} and tag.base_url in {None, llm.base_url}
    if inherits and tag.api_key_env is None and tag.api_key_file is None:
        tag_key = llm_key
    else:
        own = llm.api_key if inherits else None
        tag_key = find_api_key(
            KeyReferences(own, tag.backend or llm.backend, tag.api_key_env, tag.api_key_file),
            environ,
            lax_files=lax,
        )
    vectors_key = find_api_key(
        KeyReferences(vectors.api_key, vectors.backend, vectors.api_key_env, vectors.api_key_file),
        environ,
        lax_files=lax,
    )
    return llm_key, tag_key, vectors_key
