"""Identifiers: never the same twice, whoever draws them."""

import os
import uuid
from concurrent.futures import ThreadPoolExecutor

from app.bootstrap.sources import SystemIds

DRAWN = 5_000


def test_identifiers_are_random_uuids_and_never_repeat_between_threads():
    ids = SystemIds()
    with ThreadPoolExecutor(8) as threads:
        drawn = list(threads.map(lambda _: ids.uuid4(), range(DRAWN)))

    assert len(set(drawn)) == DRAWN
    assert {uuid.UUID(one).version for one in drawn} == {4}
    assert all(str(uuid.UUID(one)) == one for one in drawn)


def test_a_fork_draws_other_identifiers_than_its_parent():
    ids = SystemIds()
    ids.uuid4()
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, ids.uuid4().encode())
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(read, 36).decode() != ids.uuid4()
    os.close(read)
    os.close(write)
