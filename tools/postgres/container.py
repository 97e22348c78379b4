"""The kit's own image, where a container engine runs and has it."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from tools.postgres.errors import NoPostgresError
from tools.postgres.server import ServerAt

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

IMAGE_VARIABLE = "AI_MEMORY_DOCKER_1461_PG_IMAGE"
_IMAGE = "ai-memory-docker-1461-pg-age-vector:latest"
_ENGINES = ("docker", "podman")
_PORT = "5432/tcp"
_LOOK_SECONDS = 10.0
_START_SECONDS = 90.0


def engine_with_image(environ: Mapping[str, str]) -> tuple[str, str] | None:
    """An engine that answers and has the image, and the image's name."""
    image = environ.get(IMAGE_VARIABLE, _IMAGE)
    for name in _ENGINES:
        engine = shutil.which(name)
        if engine is not None and _answers([engine, "image", "inspect", image]):
            return engine, image
    return None


@contextmanager
def run_image(engine: str, image: str) -> Iterator[ServerAt]:
    """A container of the image on a free loopback port, removed at the end.

    Raises:
        NoPostgresError: it did not start.
    """
    password = secrets.token_hex(16)
    command = [engine, "run", "--rm", "--detach", "--publish", "127.0.0.1::5432"]
    started = subprocess.run(
        [*command, "--env", "POSTGRES_PASSWORD", image],  # the value comes from the environment
        env={**os.environ, "POSTGRES_PASSWORD": password},
        capture_output=True,
        text=True,
        check=False,
    )
    if started.returncode != 0:
        raise NoPostgresError(f"{engine} could not run {image}:\n{started.stderr.strip()}")
    container = started.stdout.strip()
    try:
        asked = [engine, "port", container, _PORT]
        said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        address = said.splitlines()[0].strip()
        server = ServerAt(f"postgresql://postgres:{password}@{address}/postgres")
        _await(server)
        yield server
    finally:
        subprocess.run([engine, "rm", "--force", container], capture_output=True, check=False)


def _answers(command: list[str]) -> bool:
    try:
        return (
            subprocess.run(
                command, capture_output=True, check=False, timeout=_LOOK_SECONDS
            ).returncode
            == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def _await(server: ServerAt) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            psycopg.connect(server.url(), connect_timeout=5).close()
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise NoPostgresError("the container's server does not answer") from error
            time.sleep(0.2)
        else:
            return
