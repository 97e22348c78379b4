"""The ladder, the policy for bad values, and what a refused file does."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.errors import EXIT_CONFIG, ConfigRejectedError
from app.config.ladder import Source, base_type
from app.config.resolve import Resolution, resolve, resolve_leniently
from app.config.settings import Settings, leaves
from app.domain.errors import InvalidInputError


@pytest.fixture
def config(tmp_path: Path):
    """Writes the file and resolves with it."""

    def run(text: str, environ=None, cli=None, *, lenient=False) -> Resolution:
        path = tmp_path / "config.toml"
        path.write_text(text)
        path.chmod(0o600)
        how = resolve_leniently if lenient else resolve
        return how(cli or {}, environ or {}, path)

    return run


def refused(config, text: str, environ=None) -> str:
    with pytest.raises(ConfigRejectedError) as raised:
        config(text, environ)
    return str(raised.value)


# Each resolver of v0.7.0: key, flag value, variable and its text, file, flat key, default.
LADDERS = [
    ("db", Path("a.db"), "AI_MEMORY_DB", "b.db", 'db = "c.db"', None, Path("ai-memory.db")),
    (
        "llm.backend",
        "xai",
        "AI_MEMORY_LLM_BACKEND",
        "groq",
        '[llm]\nbackend = "openai"',
        None,
        "ollama",
    ),
    (
        "llm.model",
        "flag",
        "AI_MEMORY_LLM_MODEL",
        "env",
        '[llm]\nmodel = "section"',
        'llm_model = "flat"',
        "gemma3:4b",
    ),
    (
        "llm.base_url",
        "http://flag",
        "AI_MEMORY_LLM_BASE_URL",
        "http://env",
        '[llm]\nbase_url = "http://section"',
        'ollama_url = "http://flat"',
        "http://localhost:11434",
    ),
    (
        "llm.auto_tag.model",
        "flag",
        None,
        None,
        '[llm.auto_tag]\nmodel = "section"',
        'auto_tag_model = "flat"',
        "gemma3:4b",
    ),
    (
        "embeddings.backend",
        "xai",
        "AI_MEMORY_EMBED_BACKEND",
        "openai",
        '[embeddings]\nbackend = "ollama"',
        None,
        "local",
    ),
    (
        "embeddings.base_url",
        "http://flag",
        "AI_MEMORY_EMBED_BASE_URL",
        "http://env",
        '[embeddings]\nbase_url = "http://section"',
        'embed_url = "http://flat"',
        None,
    ),
    (
        "embeddings.model",
        "flag",
        "AI_MEMORY_EMBED_MODEL",
        "env",
        '[embeddings]\nmodel = "section"',
        'embedding_model = "flat"',
        "all-MiniLM-L6-v2",
    ),
    (
        "embeddings.backfill_batch",
        7,
        "AI_MEMORY_EMBED_BACKFILL_BATCH",
        "8",
        "[embeddings]\nbackfill_batch = 9",
        None,
        100,
    ),
    (
        "reranker.enabled",
        True,
        None,
        None,
        "[reranker]\nenabled = true",
        "cross_encoder = true",
        False,
    ),
    (
        "reranker.max_seq_tokens",
        7,
        "AI_MEMORY_RERANK_MAX_SEQ",
        "8",
        "[reranker]\nmax_seq_tokens = 9",
        None,
        256,
    ),
    (
        "storage.default_namespace",
        "flag",
        None,
        None,
        '[storage]\ndefault_namespace = "section"',
        'default_namespace = "flat"',
        None,
    ),
    (
        "storage.archive_on_gc",
        False,
        None,
        None,
        "[storage]\narchive_on_gc = false",
        "archive_on_gc = false",
        True,
    ),
    (
        "storage.archive_max_days",
        7,
        None,
        None,
        "[storage]\narchive_max_days = 9",
        "archive_max_days = 10",
        None,
    ),
    (
        "storage.max_memory_mb",
        7,
        None,
        None,
        "[storage]\nmax_memory_mb = 9",
        "max_memory_mb = 10",
        256,
    ),
    (
        "storage.db_mmap_size_bytes",
        7,
        "AI_MEMORY_DB_MMAP_SIZE",
        "0",
        "[storage]\ndb_mmap_size_bytes = 9",
        None,
        268_435_456,
    ),
    (
        "limits.max_page_size",
        7,
        "AI_MEMORY_MAX_PAGE_SIZE",
        "8",
        "[limits]\nmax_page_size = 9",
        None,
        1000,
    ),
    (
        "limits.max_memories_per_day",
        7,
        "AI_MEMORY_MAX_MEMORIES_PER_DAY",
        "8",
        "[limits]\nmax_memories_per_day = 9",
        None,
        1000,
    ),
    (
        "permissions.mode",
        "off",
        "AI_MEMORY_PERMISSIONS_MODE",
        "advisory",
        '[permissions]\nmode = "off"',
        None,
        "enforce",
    ),
    (
        "subscriptions.allow_loopback_webhooks",
        True,
        "AI_MEMORY_ALLOW_LOOPBACK_WEBHOOKS",
        "on",
        "[subscriptions]\nallow_loopback_webhooks = true",
        None,
        False,
    ),
    (
        "identity.anonymize_default",
        True,
        "AI_MEMORY_ANONYMIZE",
        "1",
        "[identity]\nanonymize_default = true",
        None,
        False,
    ),
    (
        "postgres_pool_max_connections",
        7,
        "AI_MEMORY_PG_POOL_MAX",
        "8",
        "postgres_pool_max_connections = 9",
        None,
        16,
    ),
    (
        "mcp.profile",
        "full",
        "AI_MEMORY_PROFILE",
        "graph",
        '[mcp]\nprofile = "power"',
        None,
        "core",
    ),
]


@pytest.mark.parametrize("row", LADDERS, ids=[row[0] for row in LADDERS])
def test_the_strongest_layer_that_says_something_wins(config, row) -> None:
    key, flag, variable, text, section, flat, default = row
    cli = {key: flag}
    environ = {variable: text} if variable else {}
    file = f"{flat or ''}\n{section}\n"
    expected = [Source.COMPILED_DEFAULT]
    seen = [config("", {}).provenance(key).source]
    if flat:
        expected.append(Source.LEGACY)
        seen.append(config(flat, {}).provenance(key).source)
    expected.append(Source.CONFIG)
    seen.append(config(file, {}).provenance(key).source)
    if variable:
        expected.append(Source.ENV)
        seen.append(config(file, environ).provenance(key).source)
    expected.append(Source.CLI)
    seen.append(config(file, environ, cli).provenance(key).source)
    assert seen == expected
    assert value_of(config(file, environ, cli), key) == flag
    assert value_of(config("", {}), key) == default


def value_of(resolution: Resolution, dotted: str) -> object:
    here: object = resolution.settings
    for name in dotted.split("."):
        here = getattr(here, name)
    return here


@given(
    flag=st.none() | st.integers(1, 10**9),
    variable=st.none() | st.integers(-5, 10**9) | st.text("abc", max_size=3),
    section=st.none() | st.integers(-5, 10**9),
)
def test_a_limit_is_the_first_valid_value_down_the_ladder(
    tmp_path_factory, flag, variable, section
) -> None:
    path = tmp_path_factory.getbasetemp() / "ladder.toml"
    path.write_text("" if section is None else f"[limits]\nmax_links_per_day = {section}\n")
    environ = {} if variable is None else {"AI_MEMORY_MAX_LINKS_PER_DAY": str(variable)}
    resolution = resolve({"limits.max_links_per_day": flag}, environ, path)
    layers = [flag, variable, section]
    valid = [value for value in layers if isinstance(value, int) and value > 0]
    assert resolution.settings.limits.max_links_per_day == (valid[0] if valid else 5000)
    source = resolution.provenance("limits.max_links_per_day").source
    assert (source is Source.COMPILED_DEFAULT) == (not valid)


def test_a_database_equal_to_the_default_leaves_the_choice_to_the_file(config) -> None:
    resolution = config(
        'db = "file.db"', {"AI_MEMORY_DB": "ai-memory.db"}, {"db": Path("ai-memory.db")}
    )
    assert resolution.settings.db == Path("file.db")


@pytest.mark.parametrize("key", ["max_memories_per_day", "max_storage_bytes", "max_links_per_day"])
def test_a_quota_may_be_unlimited_from_the_file_and_the_environment(config, key) -> None:
    from_file = config(f'[limits]\n{key} = "unlimited"')
    from_env = config("", {f"AI_MEMORY_{key.upper()}": "unlimited"})
    assert getattr(from_file.settings.limits, key) is None
    assert getattr(from_env.settings.limits, key) is None
    assert from_file.provenance(f"limits.{key}").source is Source.CONFIG


def test_a_page_is_never_unlimited_but_the_file_still_holds(config) -> None:
    resolution = config('[limits]\nmax_page_size = "unlimited"\nmax_links_per_day = 3')
    assert resolution.settings.limits.max_page_size == 1000
    assert resolution.settings.limits.max_links_per_day == 3
    assert any("max_page_size" in warning for warning in resolution.warnings)


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("[reranker]\nmax_seq_tokens = 0", "reranker.max_seq_tokens", 256),
        ("[reranker]\nmax_seq_tokens = 513", "reranker.max_seq_tokens", 256),
        ("[embeddings]\nbackfill_batch = 10001", "embeddings.backfill_batch", 100),
        ("[storage]\ndb_mmap_size_bytes = -1", "storage.db_mmap_size_bytes", 268_435_456),
        ("[storage]\ndb_mmap_size_bytes = 0", "storage.db_mmap_size_bytes", 0),
        ("[storage]\narchive_max_days = -1", "storage.archive_max_days", None),
        ("[ttl]\nshort_ttl_secs = 0", "ttl.short_ttl_secs", None),
        ("[ttl]\nmid_ttl_secs = -5", "ttl.mid_ttl_secs", None),
        ("[ttl]\nlong_ttl_secs = 400000000", "ttl.long_ttl_secs", 315_360_000),
        ("[ttl]\nmid_extend_secs = -1", "ttl.mid_extend_secs", 0),
        ("[scoring]\nhalf_life_days_mid = 0.0", "scoring.half_life_days_mid", 0.1),
        ("[scoring]\nhalf_life_days_mid = inf", "scoring.half_life_days_mid", 36_500.0),
        ("[scoring]\nhalf_life_days_mid = nan", "scoring.half_life_days_mid", 30.0),
        ("[transcripts]\ndefault_ttl_secs = 0", "transcripts.default_ttl_secs", 2_592_000),
        (
            "[transcripts]\narchive_grace_secs = 999999999",
            "transcripts.archive_grace_secs",
            315_360_000,
        ),
        ('tier = "enormous"', "tier", "semantic"),
        ("postgres_pool_max_connections = 0", "postgres_pool_max_connections", 16),
        ("postgres_statement_timeout_secs = 0", "postgres_statement_timeout_secs", 0),
        (
            '[agents.defaults.recall_scope]\nsince = "soon"',
            "agents.defaults.recall_scope.since",
            None,
        ),
        (
            '[agents.defaults.recall_scope]\nsince = "7d"',
            "agents.defaults.recall_scope.since",
            timedelta(7),
        ),
    ],
)
def test_a_value_out_of_range_follows_its_keys_policy(config, text, key, expected) -> None:
    assert value_of(config(text), key) == expected


def test_a_bad_batch_in_the_environment_gives_the_default_not_the_files_value(config) -> None:
    resolution = config("[embeddings]\nbackfill_batch = 9", {"AI_MEMORY_EMBED_BACKFILL_BATCH": "0"})
    assert resolution.settings.embeddings.backfill_batch == 100
    assert any("AI_MEMORY_EMBED_BACKFILL_BATCH" in warning for warning in resolution.warnings)


@pytest.mark.parametrize(
    ("word", "truth"),
    [(w, True) for w in ("1", "true", "YES", "on")] + [(w, False) for w in ("0", "no", "Off", "")],
)
def test_a_variable_spells_its_truth_in_the_usual_ways(config, word, truth) -> None:
    key = "subscriptions.allow_loopback_webhooks"
    text = f"[subscriptions]\nallow_loopback_webhooks = {str(not truth).lower()}"
    resolution = config(text, {"AI_MEMORY_ALLOW_LOOPBACK_WEBHOOKS": word})
    assert value_of(resolution, key) is truth


@pytest.mark.parametrize(
    ("variable", "text", "key", "file", "expected"),
    [
        (
            "AI_MEMORY_ALLOW_LOOPBACK_WEBHOOKS",
            "perhaps",
            "subscriptions.allow_loopback_webhooks",
            "[subscriptions]\nallow_loopback_webhooks = true",
            True,
        ),
        (
            "AI_MEMORY_PERMISSIONS_MODE",
            "strict",
            "permissions.mode",
            '[permissions]\nmode = "advisory"',
            "advisory",
        ),
    ],
)
def test_a_bad_variable_warns_and_the_file_holds(
    config, variable, text, key, file, expected
) -> None:
    resolution = config(file, {variable: text})
    assert value_of(resolution, key) == expected
    assert [warning for warning in resolution.warnings if variable in warning]


def test_admin_ids_of_the_environment_replace_the_files(config) -> None:
    resolution = config(
        '[admin]\nagent_ids = ["a", "b"]', {"AI_MEMORY_ADMIN_AGENT_IDS": "c, d,bad id"}
    )
    assert resolution.settings.admin.agent_ids == ("c", "d")
    assert any("dropped" in warning for warning in resolution.warnings)


def test_an_invalid_admin_id_is_dropped_and_the_others_kept(config) -> None:
    resolution = config('[admin]\nagent_ids = ["ops", "../x", "ai:bob"]')
    assert resolution.settings.admin.agent_ids == ("ops", "ai:bob")


@pytest.mark.parametrize(
    "text",
    [
        "not toml",
        "[limits]\nmax_page_size = true",
        '[limits]\nmax_links_per_day = "many"',
        "limits = 3",
        "hooks = 3",
        '[permissions]\nmode = "strict"',
        '[[permissions.rules]]\nop = "memory_store"\ndecision = "maybe"\nnamespace_pattern = "*"',
        '[verify]\nrequire_nonce = "yes"',
        "[governance]\nrequire_operator_pubkey = 1",
        '[identity]\nanonymize_default = "no"',
        '[identity]\ndefault_agent_id = "has space"',
        "[subscriptions]\nallow_loopback_webhooks = 0",
        '[storage]\nnear_duplicate = "never"',
        "[admin]\nagent_ids = [3]",
        "api_key = 5",
    ],
)
def test_a_file_with_a_wrong_type_is_refused_whole(config, text) -> None:
    message = refused(config, text)
    assert "config.toml" in message
    lenient = config(f"request_timeout_secs = 5\n{text}", lenient=True)
    assert lenient.rejection is not None
    assert lenient.settings.request_timeout_secs == 60
    assert EXIT_CONFIG == 78


SCALARS = [
    leaf
    for leaf in leaves().values()
    if leaf.key.in_file and base_type(leaf.field.annotation) in {int, bool, float}
]


@pytest.mark.parametrize("leaf", SCALARS, ids=[leaf.dotted for leaf in SCALARS])
def test_no_number_or_switch_takes_another_type_for_its_own(config, leaf) -> None:
    wrong = "1" if base_type(leaf.field.annotation) is bool else "true"
    section = f"[{'.'.join(leaf.path[:-1])}]\n" if leaf.path[:-1] else ""
    assert leaf.path[-1] in refused(config, f"{section}{leaf.path[-1]} = {wrong}")


def test_the_refused_file_leaves_flags_and_environment_in_force(config) -> None:
    resolution = config(
        "broken", {"AI_MEMORY_MAX_PAGE_SIZE": "5"}, {"tier": "keyword"}, lenient=True
    )
    assert (resolution.settings.limits.max_page_size, resolution.settings.tier) == (5, "keyword")


def test_a_bad_flag_is_the_callers_mistake(config) -> None:
    with pytest.raises(InvalidInputError, match="--db-mmap-size-bytes"):
        config("", {}, {"storage.db_mmap_size_bytes": -1})


def test_no_config_skips_the_users_file_but_not_one_named_by_flag(tmp_path: Path) -> None:
    path = tmp_path / ".config/ai-memory/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text('db = "mine.db"')
    home = {"HOME": str(tmp_path)}
    assert resolve({}, home).settings.db == Path("mine.db")
    assert resolve({}, home).file == path
    skipped = resolve({}, {**home, "AI_MEMORY_NO_CONFIG": "0"})
    assert (skipped.settings.db, skipped.file) == (Path("ai-memory.db"), None)
    assert resolve({}, {**home, "AI_MEMORY_NO_CONFIG": "1"}, path).settings.db == Path("mine.db")


def test_an_absent_file_gives_the_compiled_defaults(tmp_path: Path) -> None:
    resolution = resolve({}, {"HOME": str(tmp_path)})
    assert resolution.file is None
    assert resolution.settings.ttl == Settings().ttl
    assert resolution.warnings == ()


def test_a_file_named_by_flag_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigRejectedError, match="no such file"):
        resolve({}, {}, tmp_path / "nowhere.toml")


def test_a_folder_in_the_files_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".config/ai-memory/config.toml").mkdir(parents=True)
    with pytest.raises(ConfigRejectedError, match="cannot be read"):
        resolve({}, {"HOME": str(tmp_path)})


@pytest.mark.parametrize("payload", [b"\xff\xfe", b"a = " + b"[" * 100_000])
def test_bytes_that_are_not_toml_are_refused(tmp_path: Path, payload: bytes) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(payload)
    with pytest.raises(ConfigRejectedError):
        resolve({}, {}, path)


def test_flat_and_sectioned_files_say_how_to_migrate(config) -> None:
    assert any("config migrate" in warning for warning in config('llm_model = "x"').warnings)
    mixed = config('schema_version = 2\nllm_model = "flat"\n[llm]\nbackend = "xai"')
    assert any("llm_model" in warning for warning in mixed.warnings)
    assert mixed.settings.llm.model == "flat"
    assert config("schema_version = 2\n[limits]\nmax_page_size = 4").warnings == ()


def test_permissions_without_a_mode_say_that_enforce_holds(config) -> None:
    resolution = config("schema_version = 2\n[permissions]")
    assert resolution.settings.permissions.mode == "enforce"
    assert len(resolution.warnings) == 1


def test_unknown_keys_are_no_error_and_are_listed(config) -> None:
    resolution = config("schema_version = 2\nnope = 1\n[api]\nkey = 2\n[limits]\nmax_pages = 3")
    assert set(resolution.unknown_keys) == {"nope", "api", "limits.max_pages"}


def test_an_empty_text_counts_as_not_given(config) -> None:
    resolution = config(
        'schema_version = 2\napi_key = ""\n[llm]\nbase_url = ""', {"AI_MEMORY_LLM_MODEL": ""}
    )
    assert resolution.settings.api_key is None
    assert resolution.settings.llm.base_url == "http://localhost:11434"
    assert resolution.settings.llm.model == "gemma3:4b"


def test_a_leading_tilde_in_the_file_is_the_home_folder(config) -> None:
    assert config('db = "~/m.db"', {"HOME": "/h"}).settings.db == Path("/h/m.db")


def test_the_pools_floor_is_lowered_to_its_ceiling(config) -> None:
    resolution = config("postgres_pool_max_connections = 1")
    assert resolution.settings.postgres_pool_min_connections == 1


def test_ollamas_own_variable_counts_only_for_ollama(config) -> None:
    environ = {"OLLAMA_BASE_URL": "http://gpu:1"}
    section = '[llm]\nbase_url = "http://section"\n'
    assert config(section, environ).settings.llm.base_url == "http://gpu:1"
    other = config(f'{section}backend = "xai"', environ)
    assert other.settings.llm.base_url == "http://section"
    stronger = {**environ, "AI_MEMORY_LLM_BASE_URL": "http://own"}
    assert config(section, stronger).settings.llm.base_url == "http://own"


@pytest.mark.parametrize(
    ("text", "backend", "model", "dim"),
    [
        ("", "local", "all-MiniLM-L6-v2", 384),
        ('ollama_url = "http://x"', "local", "all-MiniLM-L6-v2", 384),
        ('embedding_model = "mini_lm_l6_v2"', "local", "all-MiniLM-L6-v2", 384),
        ('embedding_model = "nomic_embed_v15"', "ollama", "nomic-embed-text-v1.5", None),
        ('tier = "smart"', "ollama", "nomic-embed-text-v1.5", None),
        ('[embeddings]\nurl = "http://x"', "ollama", "nomic-embed-text-v1.5", None),
        ('[embeddings]\nmodel_dir = "/m"', "local", "all-MiniLM-L6-v2", None),
    ],
)
def test_the_tier_chooses_the_embedder_unless_the_operator_does(
    config, text, backend, model, dim
) -> None:
    got = config(text).settings.embeddings
    assert (got.backend, got.model, got.dim) == (backend, model, dim)


def test_short_calls_take_from_the_language_model_what_they_do_not_say(config) -> None:
    text = '[llm]\nbackend = "xai"\nmodel = "m"\n[llm.auto_tag]\n'
    same = config(f'{text}model = "small"').settings.llm.auto_tag
    assert (same.backend, same.model, same.base_url) == ("xai", "small", "https://api.x.ai/v1")
    other = config(f'{text}backend = "ollama"').settings.llm.auto_tag
    assert (other.model, other.base_url) == ("gemma3:4b", "http://localhost:11434")


def test_an_unknown_backend_or_a_missing_address_is_warned_about(config) -> None:
    assert any("[llm] backend" in w for w in config('[llm]\nbackend = "nobody"').warnings)
    lost = config('[embeddings]\nbackend = "openai-compatible"').warnings
    assert any("[embeddings] base_url" in warning for warning in lost)


def test_base_url_beats_its_older_spelling(config) -> None:
    text = '[embeddings]\nurl = "http://old"\nbase_url = "http://new"'
    assert config(text).settings.embeddings.base_url == "http://new"


def test_the_autonomous_tier_reranks_unless_told_not_to(config) -> None:
    assert config('tier = "autonomous"').settings.reranker.enabled
    told = config('tier = "autonomous"\n[reranker]\nenabled = false')
    assert not told.settings.reranker.enabled


def test_the_process_environment_is_read_when_none_is_given(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AI_MEMORY_MAX_PAGE_SIZE", "77")
    monkeypatch.delenv("AI_MEMORY_NO_CONFIG", raising=False)
    assert os.environ["HOME"] == str(tmp_path)
    assert resolve({}).settings.limits.max_page_size == 77


def test_every_key_shows_its_value_and_source(config) -> None:
    rows = {row.key: row for row in config("[limits]\nmax_page_size = 9").rows()}
    assert set(rows) == set(leaves())
    assert (rows["limits.max_page_size"].value, rows["limits.max_page_size"].source) == (
        "9",
        "Config",
    )


def test_settings_cannot_be_changed(config) -> None:
    with pytest.raises(ValueError, match="frozen"):
        config("").settings.limits.max_page_size = 1


def test_every_default_is_a_value_that_its_key_takes() -> None:
    """Else an operator could not write down what holds anyway."""
    for dotted, leaf in leaves().items():
        if leaf.default not in (None, (), {}):
            assert dict(resolve({dotted: leaf.default}, {})._values)[dotted].value == leaf.default
