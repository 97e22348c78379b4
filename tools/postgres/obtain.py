"""Where a server comes from: the first of these that there is."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tools.postgres.cluster import Cluster
from tools.postgres.container import engine_with_image, run_image
from tools.postgres.programs import find_programs
from tools.postgres.release import USUAL, wanted
from tools.postgres.server import ServerAt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tools.postgres.server import Server

URL_VARIABLE = "AI_MEMORY_TEST_POSTGRES_URL"


@contextmanager
def obtain(environ: Mapping[str, str], say: Callable[[str], None]) -> Iterator[Server]:
    """A server for the length of a session: one that is named, a container, or one of our own.

    Raises:
        NoPostgresError: there is none; the message says what was tried and what to do.
    """
    named = environ.get(URL_VARIABLE)
    if named:
        say(f"using the server of {URL_VARIABLE}")
        yield ServerAt(named)
        return
    # The kit's image is of the usual release.
    found = engine_with_image(environ) if wanted(environ) is USUAL else None
    if found is not None:
        say(f"using the image {found[1]}")
        with run_image(*found) as server:
            yield server
        return
    with own_cluster(say) as cluster:
        yield cluster


@contextmanager
def own_cluster(say: Callable[[str], None]) -> Iterator[Cluster]:
    """A server of our own that a test may reconfigure, crash and restart.

    Raises:
        NoPostgresError: there are no programs for one, or it does not start.
    """
    cluster = Cluster.create(find_programs(say))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
