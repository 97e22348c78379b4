"""The reference and the default file say what the models say."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from app.config.default_file import render_default_file, write_default_file
from app.config.directories import platform_directory, world_writable_reason
from app.config.reference import render
from app.config.resolve import resolve
from app.config.sections.surfaces import Audit, Compliance, CompliancePreset
from app.config.settings import leaves
from app.config.vendors import find_vendor


def test_the_reference_names_every_key_variable_and_flag() -> None:
    page = render()
    for leaf in leaves().values():
        assert f"| `{leaf.path[-1]}` |" in page
        for name in (*leaf.key.env, *leaf.key.legacy):
            assert f"`{name}`" in page, name


def test_each_setting_is_described_in_a_sentence_and_each_table_row_is_whole() -> None:
    for leaf in leaves().values():
        assert leaf.key.description.endswith("."), leaf.dotted
    rows = [line for line in render().splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {9}


def test_no_two_settings_read_the_same_variable() -> None:
    names = [name for leaf in leaves().values() for name in leaf.key.env]
    assert len(names) == len(set(names))


def test_the_default_file_sets_nothing_and_uncommented_says_the_defaults(tmp_path: Path) -> None:
    text = render_default_file()
    assert tomllib.loads(text) == {}
    spoken = "\n".join(line[2:] for line in text.splitlines() if line.startswith("# "))
    path = tmp_path / "c.toml"
    path.write_text(spoken.split("\n", 3)[3])
    spoken_settings = resolve({}, {"HOME": "/h"}, path)
    plain = resolve({}, {"HOME": "/h"}).settings
    assert spoken_settings.unknown_keys == ()
    # An embedder that is written down is one that the operator chose.
    ignored = {"schema_version", "embeddings", "reranker"}
    assert spoken_settings.settings.model_dump(exclude=ignored) == plain.model_dump(exclude=ignored)


def test_a_first_run_leaves_the_default_file_for_its_owner_only(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    path = write_default_file(home)
    assert path == tmp_path / ".config/ai-memory/config.toml"
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("tier = 'keyword'")
    assert write_default_file(home) is None
    assert path.read_text() == "tier = 'keyword'"
    assert resolve({}, home).settings.tier == "keyword"
    assert write_default_file({**home, "AI_MEMORY_NO_CONFIG": "1"}) is None
    assert write_default_file({}) is None


def test_a_fresh_default_file_gives_no_warning(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    write_default_file(home)
    assert resolve({}, home).warnings == ()


@pytest.mark.parametrize(
    ("kind", "environ", "platform", "expected"),
    [
        ("logs", {"HOME": "/h"}, "linux", "/h/.local/state/ai-memory/logs"),
        ("audit", {"HOME": "/h"}, "linux", "/h/.local/state/ai-memory/audit"),
        ("logs", {"HOME": "/h", "XDG_STATE_HOME": "/s"}, "linux", "/s/ai-memory/logs"),
        ("logs", {"HOME": "/h"}, "darwin", "/h/Library/Logs/ai-memory"),
        ("audit", {"HOME": "/h"}, "darwin", "/h/Library/Logs/ai-memory/audit"),
        ("audit", {"LOCALAPPDATA": "/l"}, "win32", "/l/ai-memory/audit"),
    ],
)
def test_logs_go_where_the_platform_keeps_them(kind, environ, platform, expected) -> None:
    assert platform_directory(kind, environ, platform) == Path(expected)


def test_under_systemd_logs_go_to_the_systems_folder_if_it_is_writable(tmp_path: Path) -> None:
    environ = {"HOME": "/h", "INVOCATION_ID": "x"}
    given = platform_directory("audit", environ, "linux", system_logs=tmp_path)
    absent = platform_directory("audit", environ, "linux", system_logs=tmp_path / "none")
    assert given == tmp_path / "audit"
    assert absent == Path("/h/.local/state/ai-memory/audit")


def test_a_world_writable_log_folder_is_named_with_the_layer_that_chose_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert "AI_MEMORY_LOG_DIR" in (world_writable_reason(tmp_path, "AI_MEMORY_LOG_DIR") or "")
    tmp_path.chmod(0o700)
    assert world_writable_reason(tmp_path, "AI_MEMORY_LOG_DIR") is None


def test_the_strictest_applied_preset_rules_the_audit_trail() -> None:
    presets = Compliance(
        hipaa=CompliancePreset(applied=True, retention_days=2190, attestation_cadence_minutes=0),
        fedramp=CompliancePreset(applied=True, attestation_cadence_minutes=15),
        soc2=CompliancePreset(applied=False, retention_days=9999),
    )
    audit = Audit(attestation_cadence_minutes=0, compliance=presets)
    assert audit.retention_days_in_force() == 2190
    assert audit.cadence_minutes_in_force() == 15
    assert Audit(attestation_cadence_minutes=0).cadence_minutes_in_force() == 0


def test_a_vendor_is_found_by_either_of_its_names() -> None:
    assert find_vendor("kimi") is find_vendor("moonshot")
    assert find_vendor("qwen") is find_vendor("dashscope")
    assert find_vendor("vllm") is None
