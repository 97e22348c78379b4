"""Fleets that are a mesh already when a test begins."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.faults.waiting import wait_for
from tests.mesh.seeing import allow_admins, is_connected
from tools.fleet.fleet import Fleet, FleetOptions


@contextmanager
def connected(folder: Path, options: FleetOptions) -> Iterator[Fleet]:
    """A fleet whose nodes all reach one another, with admin routes for the tests' agent."""
    made = Fleet(folder, options)
    allow_admins(made)
    try:
        made.start()
        wait_for(partial(is_connected, made), "a mesh")
        yield made
    finally:
        made.close()
