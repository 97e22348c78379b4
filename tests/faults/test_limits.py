"""What a node must bear without an error and without losing a write."""

import asyncio
import json
import resource
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from random import Random

import httpx
import pytest

from app.store import schema
from app.store.protocol import Receipt
from app.store.sqlite.connection import FileOptions
from tests.contract.store import conftest as commands
from tests.faults.conftest import MakeNode
from tests.faults.load import API, Client, Load, shown_by
from tests.faults.stores import faults_of, open_store
from tests.faults.waiting import wait_for
from tests.integration.node import SERVE_CONFIG, Node

WRITERS = 100
WRITES = 1_000
BULK_ROWS_MAX = 1_000
CONTENT_BYTES_MAX = 65_536
SUBMITTED = 1_000
BOOT_SECONDS_MAX = 3.0


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("limits") / "node"
    made = Node(folder, SERVE_CONFIG.format(tier="keyword")).start()
    yield made
    assert made.stop() == 0
    assert faults_of(made.db) == []


@pytest.fixture
def client(node: Node) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=node.url + API, timeout=60, trust_env=False) as made:
        yield made


def test_a_hundred_writers_at_once_get_no_error_and_lose_no_write(node: Node):
    clients = [Client(f"writer-{number}", node.port, seed=1) for number in range(WRITERS)]
    load = Load(clients)
    load.start()
    wait_for(lambda: load.acknowledged >= WRITES, f"{WRITES} acknowledged writes", seconds=120)
    load.stop()
    assert [text for one in clients for text in one.refused] == []
    assert all(one.acknowledged for one in clients), "some writer was never served"
    assert [one.settle(shown_by(node.url, one.name)) for one in clients] == [[]] * WRITERS


def test_a_thousand_rows_in_one_request_are_all_stored(node: Node, client: httpx.Client):
    rows = [
        {"title": f"row {number}", "content": f"content {number}", "namespace": "bulk"}
        for number in range(BULK_ROWS_MAX)
    ]
    reply = client.post("/memories/bulk", json=rows)
    assert reply.status_code == 200
    assert (reply.json()["created"], reply.json()["errors"]) == (BULK_ROWS_MAX, [])
    shown = shown_by(node.url, "bulk")
    assert {title: text for title, (_, text) in shown.items()} == {
        str(row["title"]): row["content"] for row in rows
    }


@pytest.mark.parametrize("letter", ["x", "ß", "深", "𝄞"])
def test_contents_of_the_greatest_size_come_back_whole(client: httpx.Client, letter: str):
    content = letter * (CONTENT_BYTES_MAX // len(letter.encode()))
    title = f"great {letter}"
    stored = client.post("/memories", json={"title": title, "content": content})
    assert stored.status_code == 201, stored.text
    read = client.get(f"/memories/{stored.json()['id']}")
    assert read.json()["content"] == content
    over = client.post("/memories", json={"title": f"{title} over", "content": content + letter})
    assert over.status_code == 400


def letters_of_every_plane() -> str:
    """Some assigned characters of each plane, controls and surrogates left out."""
    chance = Random(1)
    found: list[str] = []
    for plane in range(17):
        codes = chance.sample(range(plane << 16, (plane + 1) << 16), 2_000)
        found += [chr(code) for code in codes if unicodedata.category(chr(code))[0] != "C"][:40]
    return "".join(found)


TEXTS = {
    "every-plane": letters_of_every_plane(),
    "combining": "e\u0301 a\u0308\u0323 \u1112\u1161\u11ab Z\u0351\u036b\u0343",
    "right-to-left": "שלום עולם مرحبا بالعالم",
    "joined": "👩\u200d👩\u200d👧\u200d👦 🏳️\u200d🌈 क्ष",
    "not-normal": "ﬁ ① ﷺ Å",
    "private-use": "\ue000\U000f0000\U0010fffd",
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_comes_back_as_it_was_sent(client: httpx.Client, name: str):
    text = TEXTS[name]
    body = {"title": f"{name} {text}"[:500], "content": text, "tags": [text[:40]]}
    stored = client.post("/memories", json=body)
    assert stored.status_code == 201, stored.text
    read = client.get(f"/memories/{stored.json()['id']}").json()
    assert (read["content"], read["title"], read["tags"]) == (text, body["title"], body["tags"])


# Tab, line feed and carriage return are text; the rest of C0 and DEL are not.
CONTROLS = [chr(code) for code in (*range(9), 11, 12, *range(14, 32), 127)]


def test_control_characters_are_refused_and_nothing_is_stored(node: Node, client: httpx.Client):
    answers = {}
    for control in CONTROLS:
        for field in ("title", "content"):
            body = {"title": f"t{ord(control)}", "content": "c", "namespace": "controls"}
            body[field] += f"a{control}b"
            answers[field, ord(control)] = client.post("/memories", json=body).status_code
    assert {key: code for key, code in answers.items() if code != 400} == {}
    assert shown_by(node.url, "controls") == {}


@pytest.mark.parametrize("raw", [b'"\\ud800"', b'"\xff\xfe"', b'"\xed\xa0\x80"'])
def test_text_that_is_no_unicode_is_refused(client: httpx.Client, raw: bytes):
    body = b'{"title": "half", "content": ' + raw + b"}"
    reply = client.post("/memories", content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code == 400
    assert json.loads(reply.content)["error"]


# -- size ------------------------------------------------------------------------------------


def fill(path: Path, rows: int) -> None:
    """A database of so many memories, by the store's own writer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    schema.migrate(path, lambda _: None)
    words = Random(3).choices([f"word{number}" for number in range(5_000)], k=60_000)

    async def run() -> None:
        store = open_store(FileOptions(path), seed=1)
        for start in range(0, rows, SUBMITTED):
            batch = [
                commands.Put(
                    commands.memory(
                        f"m{number}",
                        content=" ".join(words[number % 50_000 :][:120]),
                        tier="long",
                        namespace=f"n{number % 50}",
                    )
                )
                for number in range(start, min(rows, start + SUBMITTED))
            ]
            outcomes = await store.submit_all(batch)
            assert all(isinstance(one, Receipt) for one in outcomes)
        await store.close()

    asyncio.run(run())


def boot(node: Node) -> tuple[float, float]:
    """Boot and stop; seconds on the wall until the first healthy answer, and of CPU in all."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    node.start()
    wall = time.monotonic() - began
    assert node.stop() == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def total_of(node: Node) -> int:
    reply = httpx.get(f"{node.url}{API}/stats", timeout=60, trust_env=False)
    return int(reply.json()["total"])


def test_ten_thousand_rows_cost_a_boot_next_to_nothing(make_node: MakeNode):
    empty, full = make_node(), make_node()
    fill(full.db, 10_000)
    _, alone = boot(empty)
    _, with_rows = boot(full)
    # CPU, not wall time: the machine that tests is not idle.
    assert with_rows - alone <= 1.0


@pytest.mark.soak
def test_a_hundred_thousand_rows_are_up_in_three_seconds(make_node: MakeNode):
    node = make_node()
    fill(node.db, 100_000)
    assert min(boot(node)[0] for _ in range(3)) <= BOOT_SECONDS_MAX
    node.start()
    assert total_of(node) == 100_000
    assert node.stop() == 0
    assert faults_of(node.db) == []
