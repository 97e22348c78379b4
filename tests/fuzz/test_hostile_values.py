"""Every parameter and every key of every body, with every hostile value, many at a time."""

import asyncio
import itertools
import time
from collections.abc import Iterable, Iterator

import httpx
import pytest

from tests.fuzz.matrix import Attack, attacks
from tests.fuzz.promises import WITHOUT_FEATURE
from tests.fuzz.seeds import store_seeds
from tests.fuzz.sound import assert_sound
from tests.fuzz.wire import Wire, fault_of

CLIENTS = 8
ONE_IN = 7  # of the attacks are made by `make test`; a prime, so that every value meets many keys
REPLY_SECONDS_MAX = 15.0
FAULTS_SHOWN = 20
ROUTER_STATUSES = frozenset({404, 405})  # a path that is another one after decoding


async def fault_in(wire: Wire, attack: Attack) -> str | None:
    """Make one attack; None when the reply is as promised and documented."""
    started = time.monotonic()
    try:
        reply = await wire.ask(attack.raw)
    except (ConnectionError, TimeoutError) as error:
        return f"{attack.operation}, {attack.what}: {error!r}"
    fault = fault_of(reply, may_lack_feature=attack.operation in WITHOUT_FEATURE)
    if fault is None and reply.status not in attack.documented | ROUTER_STATUSES:
        fault = "a status that is not documented"
    if fault is None and time.monotonic() - started > REPLY_SECONDS_MAX:
        fault = "slow"
    return fault and f"{attack.operation}, {attack.what}: {fault}: {reply.text}"


async def make_all(port: int, todo: Iterable[Attack]) -> list[str]:
    waiting = iter(todo)
    faults: list[str] = []

    async def client() -> None:
        async with Wire(port) as wire:
            for attack in waiting:
                fault = await fault_in(wire, attack)
                if fault is not None:
                    faults.append(fault)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return faults


def by_operation(port: int, step: int) -> Iterator[list[Attack]]:
    document = httpx.get(f"http://127.0.0.1:{port}/schema/openapi.json", trust_env=False).json()
    for _, group in itertools.groupby(attacks(document), key=lambda attack: attack.operation):
        chosen = list(group)[::step]
        assert chosen
        yield chosen


async def attack_all(node, step: int) -> None:
    faults: list[str] = []
    for group in by_operation(node.port, step):
        store_seeds(node.url)  # an attack may have removed them
        faults += await make_all(node.port, group)
    assert not faults, "\n".join([f"{len(faults)} faults", *faults[:FAULTS_SHOWN]])
    assert_sound(node)


async def test_every_attack_starts_from_a_request_that_is_accepted(node):
    """Else each would stop at the same check, before the hostile value is looked at."""
    refused = []
    async with Wire(node.port) as wire:
        for plain, *_ in by_operation(node.port, 1):
            store_seeds(node.url)
            reply = await wire.ask(plain.raw)
            if reply.status >= 300 and plain.operation not in WITHOUT_FEATURE:
                refused.append(f"{plain.operation}: {reply.text}")
    assert refused == []


async def test_no_value_anywhere_gets_an_unexpected_answer(node):
    await attack_all(node, ONE_IN)


@pytest.mark.soak
async def test_no_value_anywhere_gets_an_unexpected_answer_for_long(node):
    await attack_all(node, 1)
