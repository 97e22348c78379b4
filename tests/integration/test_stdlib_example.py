"""The standard-library example as a person runs it: a command, against a running node."""

import json
import subprocess
import sys

import httpx

from tests.integration.node import REPOSITORY, Node, free_port, own_environment

RUN_SECONDS_MAX = 120.0


def run_example(tmp_path, url: str, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "examples/stdlib/run.py", "--url", url, *words],
        cwd=REPOSITORY,
        env=own_environment(tmp_path, {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_SECONDS_MAX,
    )


def test_without_a_node_it_says_how_to_start_one(tmp_path):
    finished = run_example(tmp_path, f"http://127.0.0.1:{free_port()}", "--limit", "1")

    assert finished.returncode == 2
    assert "make serve" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_second_run_doubles_nothing_and_too_few_answers_are_a_failure(tmp_path, node: Node):
    first = run_example(tmp_path, node.url, "--limit", "300", "--json")
    total = httpx.get(f"{node.url}/api/v1/stats").json()["total"]
    second = run_example(tmp_path, node.url, "--limit", "300", "--json")

    # The first 300 texts hold few of the answers.
    assert (first.returncode, second.returncode) == (1, 1)
    outcome = json.loads(first.stdout)
    assert (outcome["documents"], outcome["created"], outcome["backlog_left"]) == (300, 300, 0)
    assert outcome["passed"] is False
    assert len(outcome["answers"]) == 20
    assert total == httpx.get(f"{node.url}/api/v1/stats").json()["total"] == 300


def test_what_it_stores_can_be_found_by_name(tmp_path, node: Node):
    run_example(tmp_path, node.url, "--limit", "1500", "--json")

    body = {"context": "asyncio wait_for timeout", "limit": 5}
    reply = httpx.post(f"{node.url}/api/v1/recall", json=body).json()

    assert "asyncio.tasks.wait_for" in [row["metadata"]["object"] for row in reply["memories"]]
