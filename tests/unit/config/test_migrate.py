"""Flat files become sectioned ones that say the same."""

from __future__ import annotations

import json
import os
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from app.config.claude_json import strip_environment
from app.config.migrate import MigrateExit, Migration, migrate_file
from app.config.resolve import resolve

FLAT = """\
# my settings
llm_model = "gemma3:1b"  # small
ollama_url = "http://gpu:11434"
auto_tag_model = "tiny"
default_namespace = "work"
archive_max_days = 30
api_key = "literal-of-mine"
unknown = [1, 2]

[ttl]
# keep for an hour
short_ttl_secs = 3600
"""


class FixedClock:
    def now(self) -> datetime:
        return datetime(2026, 11, 22, 12, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


class RealSync:
    def file(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def directory(self, path: Path) -> None:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def run(path: Path, *, dry_run: bool = False) -> Migration:
    return migrate_file({}, FixedClock(), RealSync(), path, dry_run=dry_run)


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(FLAT)
    path.chmod(0o600)
    return path


def test_flat_keys_move_and_everything_else_stays(flat: Path) -> None:
    before = resolve({}, {}, flat)
    done = run(flat)
    text = flat.read_text()
    after = tomllib.loads(text)
    assert done.exit_code is MigrateExit.OK
    assert after == {
        "schema_version": 2,
        "api_key": "literal-of-mine",
        "unknown": [1, 2],
        "llm": {
            "model": "gemma3:1b",
            "base_url": "http://gpu:11434",
            "auto_tag": {"model": "tiny"},
        },
        "storage": {"default_namespace": "work", "archive_max_days": 30},
        "ttl": {"short_ttl_secs": 3600},
    }
    assert "# my settings" in text
    assert "# keep for an hour" in text
    migrated = resolve({}, {}, flat)
    assert migrated.warnings == ()
    assert migrated.settings == before.settings.model_copy(update={"schema_version": 2})


def test_the_old_file_is_kept_beside_with_its_mode(flat: Path) -> None:
    done = run(flat)
    assert done.backup is not None
    assert done.backup.name.startswith("config.toml.bak.")
    assert done.backup.read_text() == FLAT
    assert {done.backup.stat().st_mode & 0o777, flat.stat().st_mode & 0o777} == {0o600}
    assert len(list(flat.parent.iterdir())) == 2


def test_a_second_run_changes_nothing(flat: Path) -> None:
    run(flat)
    text = flat.read_text()
    again = run(flat)
    assert (again.exit_code, again.moved, again.backup) == (MigrateExit.OK, (), None)
    assert flat.read_text() == text


def test_a_dry_run_writes_nothing_and_covers_secrets(flat: Path) -> None:
    shown = run(flat, dry_run=True)
    assert shown.exit_code is MigrateExit.DRY_RUN
    assert shown.text is not None
    assert "schema_version = 2" in shown.text
    assert "literal-of-mine" not in shown.text
    assert flat.read_text() == FLAT
    assert list(flat.parent.iterdir()) == [flat]


def test_what_the_section_says_already_stays(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('llm_model = "flat"\n[llm]\nmodel = "section"\n')
    run(path)
    assert tomllib.loads(path.read_text())["llm"] == {"model": "section"}


def test_missing_invalid_and_unwritable_files_have_their_own_exit_codes(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text('api_key = "oops')
    scalar = tmp_path / "scalar.toml"
    scalar.write_text('llm_model = "x"\nllm = 3\n')
    home = migrate_file({}, FixedClock(), RealSync())
    refused = run(broken)
    assert run(tmp_path / "none.toml").exit_code is MigrateExit.MISSING
    assert home.exit_code is MigrateExit.MISSING
    assert refused.exit_code is MigrateExit.INVALID
    assert "oops" not in refused.message
    assert run(scalar).exit_code is MigrateExit.INVALID
    assert run(tmp_path).exit_code is MigrateExit.IO
    assert [int(code) for code in MigrateExit] == [0, 1, 2, 3, 4]


def test_a_file_that_cannot_be_replaced_is_left_whole(flat: Path) -> None:
    class FullDisk(RealSync):
        @override
        def file(self, descriptor: int) -> None:
            raise OSError(28, "No space left on device")

    done = migrate_file({}, FixedClock(), FullDisk(), flat)
    assert done.exit_code is MigrateExit.IO
    assert flat.read_text() == FLAT


LEGACY = {
    "llm_model": st.sampled_from(["m", "n"]),
    "ollama_url": st.just("http://gpu:1"),
    "auto_tag_model": st.just("t"),
    "embed_url": st.just("http://vec:1"),
    "embedding_model": st.sampled_from(["nomic_embed_v15", "mini_lm_l6_v2"]),
    "cross_encoder": st.booleans(),
    "default_namespace": st.just("ns"),
    "archive_on_gc": st.booleans(),
    "archive_max_days": st.integers(0, 99),
    "max_memory_mb": st.integers(0, 99),
    "tier": st.sampled_from(["keyword", "semantic", "smart"]),
}


@given(st.fixed_dictionaries({}, optional=LEGACY), st.booleans())
def test_the_migrated_file_means_what_the_old_one_meant(tmp_path_factory, flat, sectioned) -> None:
    folder = tmp_path_factory.mktemp("migrate")
    path = folder / "c.toml"
    lines = [f"{key} = {json.dumps(value)}" for key, value in flat.items()]
    tail = '[llm]\nmodel = "s"\n[storage]\narchive_on_gc = true\n' if sectioned else ""
    path.write_text("\n".join([*lines, tail]))
    before = resolve({}, {}, path).settings
    assert run(path).exit_code is MigrateExit.OK
    migrated = resolve({}, {}, path)
    assert migrated.settings == before.model_copy(update={"schema_version": 2})
    assert migrated.warnings == ()


def test_only_our_servers_lose_their_environment_in_claude_json(tmp_path: Path) -> None:
    path = tmp_path / ".claude.json"
    servers = {
        "memory": {"command": "/usr/bin/ai-memory", "args": ["mcp"], "env": {"AI_MEMORY_DB": "x"}},
        "other": {"command": "npx", "env": {"A": "1"}},
    }
    path.write_text(json.dumps({"theme": "dark", "mcpServers": servers}))
    before = path.read_bytes()
    assert strip_environment(tmp_path, FixedClock(), RealSync()) == ("memory",)
    after = json.loads(path.read_text())
    assert after["mcpServers"]["memory"] == {"command": "/usr/bin/ai-memory", "args": ["mcp"]}
    assert after["mcpServers"]["other"] == servers["other"]
    assert after["theme"] == "dark"
    backups = [file for file in tmp_path.iterdir() if ".bak." in file.name]
    assert [file.read_bytes() for file in backups] == [before]
    assert strip_environment(tmp_path, FixedClock(), RealSync()) == ()
    assert strip_environment(tmp_path / "nowhere", FixedClock(), RealSync()) == ()
