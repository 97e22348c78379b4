"""The command line as processes: on a running node, and on a database that nobody has open."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
from typing_extensions import override

from app.cli.program import run
from tests.integration.node import REPOSITORY, SERVE_CONFIG, Node, own_environment

COMMAND_SECONDS_MAX = 120.0
# Compiled modules are kept, as where the program is installed; tests may run where they are not.
ENVIRONMENT = {"PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": ""}


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """Its standard output as the one JSON document that it must be."""
        assert self.code == 0, self.err
        return json.loads(self.out)


@dataclass(frozen=True)
class CommandLine:
    """`ai-memory` on one database, with a home of its own."""

    folder: Path
    db: Path

    @property
    def environment(self) -> dict[str, str]:
        return own_environment(self.folder, ENVIRONMENT)

    def __call__(self, *words: str, stdin: str = "", cwd: Path | None = None) -> Done:
        config = self.folder / "config.toml"
        start = [sys.executable, "-m", "app", "--config", str(config), "--db", str(self.db)]
        done = subprocess.run(
            [*start, *words],
            cwd=cwd or REPOSITORY,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def store(self, title: str, content: str, *words: str):
        """Store a memory and return it."""
        return self("store", "-T", title, "-c", content, "--json", *words).json


@dataclass(frozen=True)
class InProcess(CommandLine):
    """The same without a new process: the service is imported once for all of its commands."""

    @override
    def __call__(self, *words: str, stdin: str = "", cwd: Path | None = None) -> Done:
        assert cwd is None
        out, err = io.StringIO(), io.StringIO()
        start = ["--config", str(self.folder / "config.toml"), "--db", str(self.db)]
        before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(stdin.encode()))
        try:
            with redirect_stdout(out), redirect_stderr(err):
                code = run([*start, *words], self.environment)
        finally:
            sys.stdin = before
        return Done(code, out.getvalue(), err.getvalue())


def command_line(folder: Path, db: Path, kind: type[CommandLine] = CommandLine) -> CommandLine:
    """Commands on a database of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(SERVE_CONFIG.format(tier="keyword"), encoding="utf-8")
    return kind(folder, db)


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[Node]:
    """One node for all the tests of a file; they keep to namespaces of their own."""
    node = Node(tmp_path_factory.mktemp("node"))
    node.start()
    yield node
    node.close()


@pytest.fixture
def cli(running: Node) -> CommandLine:
    """Commands that find a running node."""
    return CommandLine(running.folder, running.db)


@pytest.fixture
def alone(tmp_path: Path) -> CommandLine:
    """Commands that open the database themselves."""
    return command_line(tmp_path, tmp_path / "alone.db", InProcess)
