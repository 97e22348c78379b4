"""A server of our own: made from nothing, on loopback and a socket, gone when it is stopped."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import psycopg

from tools.postgres.errors import NoPostgresError
from tools.postgres.server import execute

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tools.postgres.programs import Programs

SUPERUSER = "postgres"
HOST = "127.0.0.1"
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_LOG_LINES = 5


class Cluster:
    """One server. `folder` holds its data, socket, log and the client's password file."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        # In the system's own folder, because a socket's path may have about a hundred bytes only.
        self.folder = Path(tempfile.mkdtemp(prefix="ai-memory-pg-"))
        self.folder.chmod(0o711)
        self.home = self.folder / "server"
        self.port = _free_port()
        self.passfile = self.folder / "pgpass"
        self._user, self._group = _unprivileged()
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def create(cls, programs: Programs) -> Cluster:
        """Make the files of a new server; it does not run yet.

        Raises:
            NoPostgresError: initdb failed.
        """
        made = cls(programs)
        try:
            made._initialise()
        except BaseException:
            made.stop()
            raise
        return made

    @classmethod
    def standby_of(cls, primary: Cluster, name: str) -> Cluster:
        """Make a streaming standby of a running server; it does not run yet.

        `name` is what the primary's synchronous_standby_names knows it by.

        Raises:
            NoPostgresError: pg_basebackup failed.
        """
        made = cls(primary._programs)
        try:
            made._copy(primary, name)
        except BaseException:
            made.stop()
            raise
        return made

    def copy(self) -> Cluster:
        """Another server of the same files, not running yet; this one must be halted."""
        made = Cluster(self._programs)
        try:
            made.home.mkdir(mode=0o755)
            made._hand_over(made.home, 0o755)
            subprocess.run(["cp", "-a", str(self.data), str(made.data)], check=True)
            made.passfile.touch(mode=0o600)
            made.passfile.write_text(self.passfile.read_text())
        except BaseException:
            made.stop()
            raise
        return made

    @property
    def data(self) -> Path:
        return self.home / "data"

    def url(self, database: str = "postgres", user: str = SUPERUSER, **parameters: str) -> str:
        """An address over TCP; the password comes from the password file that it names."""
        given = {"passfile": str(self.passfile), **parameters}
        return f"postgresql://{user}@{HOST}:{self.port}/{database}?{urlencode(given)}"

    def start(self, settings: Mapping[str, str] | None = None) -> None:
        """Run it, and return when it answers.

        Raises:
            NoPostgresError: it ended, or did not answer; with its last words.
        """
        chosen = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": str(self.home),
            "shared_preload_libraries": self._programs.release.preloaded,
            "max_connections": "200",
            "fsync": "off",  # what a test writes need not outlive the machine
            **(settings or {}),
        }
        words = [f"--{name}={value}" for name, value in chosen.items()]
        command = [self._programs.path("postgres"), "-D", str(self.data), *words]
        killer = shutil.which("setpriv")
        if killer is not None:
            # A session that is killed takes its server along.
            command = [killer, "--pdeathsig", "QUIT", "--", *command]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home,
                user=self._user,
                group=self._group,
                extra_groups=None if self._user is None else (),
            )
        self._await()

    def halt(self) -> None:
        """Stop at once, as a crash would, and keep the files."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGQUIT)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop(self) -> None:
        """Stop at once and remove every file."""
        self.halt()
        shutil.rmtree(self.folder, ignore_errors=True)

    def execute(self, statement: str, database: str = "postgres") -> None:
        """One statement as the superuser, outside a transaction."""
        execute(self.url(database), statement)

    def promote(self) -> None:
        """Make a standby the primary; it takes writes when this returns."""
        self.execute("SELECT pg_promote()")

    def switch_tls_on(self, certificate: Path, key: Path) -> None:
        """Offer TLS with a certificate; clients may still come without."""
        for source, name in ((certificate, "server.crt"), (key, "server.key")):
            target = self.data / name
            shutil.copyfile(source, target)
            self._hand_over(target, 0o600)
        self.execute("ALTER SYSTEM SET ssl = on")
        self.execute("SELECT pg_reload_conf()")

    def admit(self, *lines: str) -> None:
        """Replace who may connect how (pg_hba.conf)."""
        (self.data / "pg_hba.conf").write_text("".join(f"{line}\n" for line in lines))
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def admit_with_password(self) -> None:
        """Everybody by password, as a new server does."""
        self.admit("local all all scram-sha-256", "host all all 127.0.0.1/32 scram-sha-256")

    def _initialise(self) -> None:
        password = secrets.token_hex(16)
        self.home.mkdir(mode=0o755)
        self._hand_over(self.home, 0o755)
        self.data.mkdir(mode=0o700)
        self._hand_over(self.data, 0o700)
        pwfile = self.home / "pw"
        pwfile.touch(mode=0o600)
        self._hand_over(pwfile, 0o600)
        pwfile.write_text(password)
        self.passfile.touch(mode=0o600)
        self.passfile.write_text(f"*:*:*:{SUPERUSER}:{password}\n")
        try:
            self._run(
                *("initdb", "-D", str(self.data), "--no-sync"),
                *("--username", SUPERUSER, "--pwfile", str(pwfile), "--auth", "scram-sha-256"),
                # The same order of texts whatever the machine's own locales.
                *("--encoding", "UTF8", "--locale", "C", "--locale-provider", "builtin"),
                *("--builtin-locale", "C.UTF-8"),
            )
        finally:
            pwfile.unlink()

    def _copy(self, primary: Cluster, name: str) -> None:
        self.home.mkdir(mode=0o755)
        self._hand_over(self.home, 0o755)
        self.passfile.touch(mode=0o600)
        self.passfile.write_text(primary.passfile.read_text())
        # The server reads it, too, and is not who we are.
        own = self.home / "pgpass"
        own.touch(mode=0o600)
        self._hand_over(own, 0o600)
        own.write_text(primary.passfile.read_text())
        source = (
            f"host={HOST} port={primary.port} user={SUPERUSER} passfile={own}"
            f" application_name={name}"
        )
        self._run(
            *("pg_basebackup", "-D", str(self.data), "-d", source, "--no-sync"),
            *("--write-recovery-conf", "--wal-method", "stream", "--checkpoint", "fast"),
        )

    def _run(self, program: str, *words: str) -> None:
        """One of the server's programs, as the server's user."""
        done = subprocess.run(
            [self._programs.path(program), *words],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.home,
            user=self._user,
            group=self._group,
            extra_groups=None if self._user is None else (),
        )
        if done.returncode != 0:
            raise NoPostgresError(f"{program} failed:\n{done.stdout}{done.stderr}")

    def _hand_over(self, path: Path, mode: int) -> None:
        path.chmod(mode)
        if self._user is not None and self._group is not None:
            os.chown(path, self._user, self._group)

    def _await(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            assert self._process is not None
            try:
                psycopg.connect(self.url(), connect_timeout=5).close()
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise NoPostgresError(f"the server did not start:\n{self._said()}") from error
                time.sleep(0.05)
            else:
                return

    def _said(self) -> str:
        lines = (self.folder / "log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES:])


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _unprivileged() -> tuple[int | None, int | None]:
    """Whom the server runs as: PostgreSQL refuses root; None is whoever we are."""
    if os.getuid() != 0:
        return None, None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid
