"""The server that the tests of the second store run on is the real thing, and leaves nothing."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tools.postgres.cluster import Cluster
from tools.postgres.errors import NoPostgresError
from tools.postgres.programs import find_programs
from tools.postgres.release import MAJOR_VARIABLE, OLDER, USUAL, wanted


def test_it_is_the_wanted_version_with_both_extensions(empty_database: str, ask) -> None:
    (version,) = ask(empty_database, "SHOW server_version_num")[0]
    assert int(version) // 10_000 == wanted(os.environ).major
    ask(empty_database, "CREATE EXTENSION vector")
    ask(empty_database, "CREATE EXTENSION age")
    assert ask(empty_database, "SELECT '[1,0]'::vector <=> '[0,1]'") == [(1.0,)]
    ask(f"{empty_database}&options=-csearch_path%3Dag_catalog", "SELECT create_graph('sample')")
    assert ask(empty_database, "SELECT name FROM ag_catalog.ag_graph") == [("sample",)]


def test_each_test_has_a_database_of_its_own(postgres_databases, postgres_server, ask) -> None:
    one, other = (postgres_server.url(postgres_databases.create()) for _ in range(2))
    ask(one, "CREATE TABLE mine (x int)")
    assert ask(other, "SELECT to_regclass('mine')") == [(None,)]


def test_a_new_server_starts_in_seconds_and_leaves_nothing_behind() -> None:
    begun = time.monotonic()
    cluster = Cluster.create(find_programs(lambda _: None))
    cluster.start()
    with closing(psycopg.connect(cluster.url())) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert time.monotonic() - begun < 30
    mounts = Path("/proc/mounts").read_text()

    cluster.stop()

    assert not cluster.folder.exists()
    assert str(cluster.folder) not in mounts
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(cluster.url(password="x"), connect_timeout=2)


def test_the_password_stands_on_no_command_line(postgres_cluster: Cluster) -> None:
    password = postgres_cluster.passfile.read_text().strip().rpartition(":")[2]
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue  # it ended meanwhile
        assert password.encode() not in words


def test_a_server_that_cannot_start_says_why() -> None:
    cluster = Cluster.create(find_programs(lambda _: None))
    try:
        with pytest.raises(NoPostgresError, match="no_such_library"):
            cluster.start({"shared_preload_libraries": "no_such_library"})
    finally:
        cluster.stop()


def test_a_session_that_is_killed_takes_its_server_along() -> None:
    started = subprocess.Popen(
        [sys.executable, "-m", "tools.postgres"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert started.stdout is not None
    url = started.stdout.readline().decode().strip().partition("'")[2].rstrip("'")
    started.send_signal(signal.SIGKILL)
    started.wait()
    deadline = time.monotonic() + 10
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            break
        assert time.monotonic() < deadline
        time.sleep(0.1)
    started.stdout.close()
    folder = Path(psycopg.conninfo.conninfo_to_dict(url)["passfile"]).parent  # type: ignore[arg-type]
    shutil.rmtree(folder, ignore_errors=True)  # the server may be removing its own files


def test_where_there_is_no_server_the_reason_is_said(tmp_path: Path) -> None:
    """No named server, no engine, no programs, nothing to fetch them with."""
    for name in ("sh", "id"):
        (tmp_path / name).write_text("#!/bin/sh\necho 1000\n" if name == "id" else "")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "sh").unlink()
    (tmp_path / "sh").symlink_to("/bin/sh")
    code = (
        "import tools.postgres.tree as tree, tools.postgres.programs as programs, pathlib, sys;"
        f"tree._place = lambda: pathlib.Path({str(tmp_path / 'trees')!r});"
        "programs._installed = lambda _: iter(());"
        "from tools.postgres.__main__ import main; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": str(tmp_path), "PYTHONPATH": str(Path.cwd()), MAJOR_VARIABLE: "18"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no PostgreSQL 18 with pgvector and AGE was found" in done.stderr
    assert "needed and missing: debootstrap" in done.stderr


def test_a_release_that_nobody_knows_is_refused_by_name() -> None:
    assert wanted({}) is wanted({MAJOR_VARIABLE: ""}) is USUAL
    assert wanted({MAJOR_VARIABLE: "17"}) is OLDER
    with pytest.raises(NoPostgresError, match="one of 18, 17, not 12"):
        wanted({MAJOR_VARIABLE: "12"})
