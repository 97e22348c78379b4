"""Keys come from where the operator says, and are never shown."""

from __future__ import annotations

import copy
import json
import pickle
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.credentials import KeyPlace
from app.config.errors import ConfigRejectedError
from app.config.resolve import resolve, resolve_leniently
from app.config.secret import Secret

LITERAL = "sk-very-secret-literal"


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("section", ["llm", "llm.auto_tag", "embeddings"])
def test_an_inline_key_is_refused_without_being_echoed(tmp_path: Path, section: str) -> None:
    path = write(tmp_path / "c.toml", f'[{section}]\napi_key = "{LITERAL}"')
    with pytest.raises(ConfigRejectedError) as raised:
        resolve({}, {}, path)
    shown = "".join(traceback.format_exception(raised.value)) + repr(raised.value.details)
    assert f"[{section}]" in shown
    assert "api_key_env" in shown
    assert "api_key_file" in shown
    assert LITERAL not in shown


@pytest.mark.parametrize("section", ["llm", "llm.auto_tag", "embeddings"])
def test_both_references_at_once_are_refused(tmp_path: Path, section: str) -> None:
    path = write(tmp_path / "c.toml", f'[{section}]\napi_key_env = "A"\napi_key_file = "/b"')
    with pytest.raises(ConfigRejectedError, match="exclude one another"):
        resolve({}, {}, path)


@pytest.mark.parametrize(
    "text",
    [
        f'api_key = ["{LITERAL}"]',
        f'[hooks.subscription]\nhmac_secret = ["{LITERAL}"]',
        f'[limits]\nmax_page_size = "{LITERAL}"',
        f'[permissions]\nmode = "{LITERAL}"',
        f'api_key = "{LITERAL}',
        f'api_key = "{LITERAL}"\napi_key = "{LITERAL}"',
    ],
)
def test_no_error_shows_what_the_file_holds(tmp_path: Path, text: str) -> None:
    resolution = resolve_leniently({}, {}, write(tmp_path / "c.toml", text))
    assert resolution.rejection is not None
    shown = "".join(traceback.format_exception(resolution.rejection)) + repr(resolution)
    assert LITERAL not in shown


def test_no_view_of_a_resolution_shows_its_secrets(tmp_path: Path) -> None:
    path = write(
        tmp_path / "c.toml",
        f'api_key = "{LITERAL}1"\n[hooks.subscription]\nhmac_secret = "{LITERAL}2"\n'
        '[llm]\nbackend = "openai"\n[embeddings]\napi_key_env = "MINE"',
    )
    environ = {"OPENAI_API_KEY": f"{LITERAL}3", "MINE": f"{LITERAL}4"}
    resolution = resolve({}, environ, path)
    settings = resolution.settings
    views = [
        repr(resolution),
        str(settings),
        f"{settings.api_key}",
        settings.model_dump_json(),
        json.dumps(settings.model_dump(), default=str),
        repr(list(resolution.rows())),
        repr(resolution.llm_key),
    ]
    assert LITERAL not in "".join(views)
    assert settings.api_key is not None
    assert settings.api_key.reveal() == f"{LITERAL}1"
    assert resolution.llm_key.secret == Secret(f"{LITERAL}3")
    assert resolution.embeddings_key.secret == Secret(f"{LITERAL}4")


@given(st.text(min_size=1))
def test_a_secret_shows_only_that_it_is_one(text: str) -> None:
    secret = Secret(text)
    shown = (repr(secret), str(secret), f"{secret!s:>12}".strip(), f"{secret!r}")
    assert set(shown) == {"<redacted>"}
    assert secret.matches(text)
    assert not secret.matches(text + "x")
    assert copy.deepcopy(secret) is secret
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_the_key_comes_from_the_strongest_place_of_the_chain(tmp_path: Path) -> None:
    key_file = write(tmp_path / "key", " from-file \n", 0o400)
    by_name = write(tmp_path / "env.toml", '[llm]\nbackend = "gemini"\napi_key_env = "MINE"')
    by_file = write(
        tmp_path / "file.toml", f'[llm]\nbackend = "gemini"\napi_key_file = "{key_file}"'
    )
    seen = []
    for environ, path in [
        ({"AI_MEMORY_LLM_API_KEY": "own", "GOOGLE_API_KEY": "vendor", "MINE": "named"}, by_name),
        ({"GOOGLE_API_KEY": "vendor", "MINE": "named"}, by_name),
        ({"MINE": "named"}, by_name),
        ({}, by_file),
        ({}, by_name),
    ]:
        key = resolve({}, environ, path).llm_key
        seen.append((key.source, key.secret.reveal() if key.secret else None))
    assert seen == [
        ("ProcessEnv", "own"),
        ("AliasFallback(GOOGLE_API_KEY)", "vendor"),
        ("ConfigEnvVar(MINE)", "named"),
        (f"ConfigFile({key_file})", "from-file"),
        ("None", None),
    ]


@pytest.mark.parametrize("mode", [0o440, 0o404, 0o644, 0o420])
def test_a_key_file_that_others_reach_is_an_error_for_doctor(tmp_path: Path, mode: int) -> None:
    key_file = write(tmp_path / "key", LITERAL, mode)
    path = write(tmp_path / "c.toml", f'[llm]\nbackend = "xai"\napi_key_file = "{key_file}"')
    key = resolve({}, {}, path).llm_key
    assert (key.place, key.secret) == (KeyPlace.ERROR, None)
    assert "lax permissions" in key.source
    assert LITERAL not in key.source


def test_the_escape_hatch_accepts_a_lax_key_file(tmp_path: Path) -> None:
    key_file = write(tmp_path / "key", "k", 0o644)
    path = write(tmp_path / "c.toml", f'[llm]\napi_key_file = "{key_file}"')
    key = resolve({}, {"AI_MEMORY_PASSPHRASE_FILE_ALLOW_LAX_PERMS": "1"}, path).llm_key
    assert key.place is KeyPlace.CONFIG_FILE


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff"])
def test_a_key_file_without_a_key_is_an_error_not_a_crash(
    tmp_path: Path, content: bytes | None
) -> None:
    key_file = tmp_path / "key"
    if content is not None:
        key_file.write_bytes(content)
        key_file.chmod(0o400)
    path = write(tmp_path / "c.toml", f'[embeddings]\napi_key_file = "{key_file}"')
    assert resolve({}, {}, path).embeddings_key.place is KeyPlace.ERROR


def test_the_short_call_model_uses_the_key_of_its_own_vendor_only(tmp_path: Path) -> None:
    environ = {"AI_MEMORY_LLM_API_KEY": "main", "XAI_API_KEY": "other"}
    same = write(tmp_path / "a.toml", '[llm]\nbackend = "openai"\n[llm.auto_tag]\nmodel = "small"')
    other = write(tmp_path / "b.toml", '[llm]\nbackend = "openai"\n[llm.auto_tag]\nbackend = "xai"')
    local = write(
        tmp_path / "c.toml", '[llm]\nbackend = "openai"\n[llm.auto_tag]\nbackend = "ollama"'
    )
    assert resolve({}, environ, same).auto_tag_key.secret == Secret("main")
    assert resolve({}, environ, other).auto_tag_key.secret == Secret("other")
    assert resolve({}, environ, local).auto_tag_key.secret is None


def test_a_file_with_a_literal_secret_that_others_may_read_is_warned_about(tmp_path: Path) -> None:
    text = 'schema_version = 2\napi_key = "k"'
    assert resolve({}, {}, write(tmp_path / "a.toml", text, 0o600)).warnings == ()
    open_file = resolve({}, {}, write(tmp_path / "b.toml", text, 0o644))
    assert any("chmod 600" in warning for warning in open_file.warnings)
