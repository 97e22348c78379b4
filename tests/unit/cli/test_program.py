"""The command line as such: help, global options, exit codes, what is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.exit_codes import MEANINGS, ExitCode, exit_code_of
from app.cli.program import ENTRIES, run
from app.domain.errors import (
    NotFoundError,
    StoreFullError,
    StoreOpenError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from tests.unit.cli.help_pages import SNAPSHOT, render

ROOT = Path(__file__).resolve().parents[3]
REQUIRED = {
    *("serve", "store", "recall", "search", "list", "get", "update", "delete", "promote"),
    *("forget", "link", "namespaces", "namespace", "agents", "archive", "stats", "gc"),
    *("quota-status", "capabilities", "export", "import", "backup", "restore", "reembed"),
    *(
        "doctor",
        "config",
        "schema-init",
        "migrate",
        "completions",
        "federation",
        "sync",
        "sync-daemon",
    ),
}


def test_every_help_page_is_as_reviewed():
    """`python tests/unit/cli/help_pages.py` renews the snapshot, which a reviewer then reads."""
    assert render() == SNAPSHOT.read_text(encoding="utf-8")


def test_every_verb_is_listed_once_and_can_be_loaded():
    assert sorted(entry.name for entry in ENTRIES) == sorted(REQUIRED)
    for entry in ENTRIES:
        assert entry.load().name == entry.name


def test_help_imports_neither_the_service_nor_the_settings(capsys):
    asked = (
        "import sys; from app.cli.program import run; run(['--help'], {});"
        "print([m for m in ('litestar', 'httpx', 'rich', 'asyncio') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("words", [["--version"], ["list", "--version"], ["archive", "--version"]])
def test_the_version_is_that_of_the_wire_wherever_it_is_asked(words, capsys):
    assert run(words, {}) == ExitCode.OK
    assert capsys.readouterr().out == "ai-memory 0.7.0\n"


@pytest.mark.parametrize(
    "words",
    [["nonsense"], ["list", "--nonsense"], ["store", "-T", "x"], ["serve", "--port", "x"], []],
)
def test_a_wrong_command_line_is_2_and_says_so_on_standard_error(words, capsys):
    assert run(words, {}) == ExitCode.USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Usage: ai-memory" in shown.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFoundError("x"), 1),
        (StoreOpenError("x", reason="damaged"), 65),
        (StoreOpenError("x", reason="not_a_database"), 65),
        (StoreOpenError("x", reason="older"), 66),
        (StoreUnavailableError("x"), 69),
        (StoreReadOnlyError("x"), 73),
        (StoreFullError("x"), 74),
        (StoreOpenError("x", reason="newer"), 76),
        (StoreOpenError("x", reason="unopenable"), 69),
    ],
)
def test_each_fault_of_a_store_has_its_exit_code(error, code):
    assert exit_code_of(error) == code


def test_the_page_for_operators_has_every_exit_code_with_its_meaning():
    page = (ROOT / "docs/EXIT_CODES.md").read_text(encoding="utf-8")
    for code, meaning in MEANINGS.items():
        assert f"| {code.value} | {meaning} |" in page
    assert set(MEANINGS) == set(ExitCode)


def test_a_refused_configuration_is_78_and_names_the_file(tmp_path, capsys):
    file = tmp_path / "config.toml"
    file.write_text('[llm]\napi_key = "sk-secret"\n', encoding="utf-8")
    assert run(["--config", str(file), "list"], {}) == ExitCode.CONFIG
    shown = capsys.readouterr().err
    assert str(file) in shown
    assert "sk-secret" not in shown


def test_the_first_run_leaves_a_commented_file_and_the_next_leaves_it_alone(tmp_path, capsys):
    environ = {"HOME": str(tmp_path)}
    words = ["--db", str(tmp_path / "none.db"), "--json", "doctor", "--fail-on-warn"]
    run(words, environ)
    file = tmp_path / ".config/ai-memory/config.toml"
    assert file.read_text(encoding="utf-8").startswith("# Configuration of ai-memory")
    file.write_text("# mine\n", encoding="utf-8")
    run(words, environ)
    assert file.read_text(encoding="utf-8") == "# mine\n"


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [("", 0o400, "is empty"), ("\n", 0o400, "is empty"), ("secret\n", 0o644, "chmod 400")],
)
def test_a_passphrase_file_that_is_empty_or_open_to_others_is_refused(
    tmp_path, capsys, content, mode, said
):
    file = tmp_path / "passphrase"
    file.write_text(content, encoding="utf-8")
    file.chmod(mode)
    words = ["--db", str(tmp_path / "x.db"), "--db-passphrase-file", str(file), "list"]
    assert run(words, {}) == ExitCode.FAILED
    assert said in capsys.readouterr().err
    assert not (tmp_path / "x.db").exists()


def test_the_bash_completion_offers_the_verbs(capsys):
    done = subprocess.run(
        [sys.executable, "-m", "app"],
        cwd=ROOT,
        env={
            "_AI_MEMORY_COMPLETE": "bash_complete",
            "COMP_WORDS": "ai-memory rec",
            "COMP_CWORD": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == ["plain,recall"]
