"""Nodes that meet one another, that are told to stop, and that follow one which was killed."""

import json
import os
import signal
import socket
import subprocess

import httpx

from app.cli.exit_codes import ExitCode
from app.store.sqlite.ownership import control_socket_path, read_owner
from tests.faults.conftest import MakeNode
from tests.faults.load import API, shown_by
from tests.faults.stores import faults_of
from tests.faults.waiting import wait_for
from tests.integration.node import REPOSITORY, Node, own_environment

EXIT_SECONDS = 60.0
BODY = json.dumps({"title": "slow", "content": "sent in two halves", "namespace": "n"}).encode()


def store_one(node: Node, title: str) -> None:
    body = {"title": title, "content": f"content of {title}", "namespace": "n"}
    reply = httpx.post(f"{node.url}{API}/memories", json=body, timeout=60, trust_env=False)
    assert reply.status_code == 201, reply.text


def titles(node: Node) -> set[str]:
    return set(shown_by(node.url, "n"))


def half_a_request(node: Node) -> socket.socket:
    """A request whose body has begun to arrive: the node is busy with it."""
    connection = socket.create_connection(("127.0.0.1", node.port), timeout=60)
    head = (
        f"POST {API}/memories HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(BODY)}\r\nExpect: 100-continue\r\n\r\n"
    )
    connection.sendall(head.encode())
    # The go-ahead is sent when the application asks for the body: then it is in flight.
    assert connection.recv(1_000).startswith(b"HTTP/1.1 100")
    connection.sendall(BODY[:10])
    return connection


def refuses(node: Node) -> bool:
    try:
        socket.create_connection(("127.0.0.1", node.port), timeout=60).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_port_in_use_is_named_and_the_node_there_goes_on(make_node: MakeNode):
    first, second = make_node().start(), make_node()
    second.port = first.port
    second.launch()
    assert second.wait(EXIT_SECONDS) == ExitCode.PORT_IN_USE
    assert f"127.0.0.1:{first.port}" in second.log
    assert "Traceback" not in second.log
    assert not second.db.exists()
    store_one(first, "still here")
    assert titles(first) == {"still here"}


def test_a_second_node_on_the_same_file_is_refused_and_a_command_goes_through_the_first(
    make_node: MakeNode,
):
    first = make_node().start()
    second = make_node(first.folder)
    second.launch()
    assert second.wait(EXIT_SECONDS) == ExitCode.OWNED
    assert f"process {first.pid}" in second.log
    assert str(first.db) in second.log
    store_one(first, "by http")
    words = ("store", "--title", "by command", "--content", "x", "--namespace", "n")
    done = subprocess.run(
        first.command(*words),
        cwd=REPOSITORY,
        env=own_environment(first.folder, {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=EXIT_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert {"by http", "by command"} == {*titles(first)}


def test_a_node_follows_a_killed_one_over_its_stale_lock_and_socket(make_node: MakeNode):
    node = make_node().start()
    store_one(node, "before")
    node.kill()
    control = control_socket_path(node.db)
    assert control.is_socket(), "a killed node leaves its socket behind"
    assert read_owner(node.db) is not None
    node.start()
    owner = read_owner(node.db)
    assert owner is not None
    assert owner.pid == node.pid
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(control))) as client:
        reply = client.get(f"http://node{API}/memories", params={"namespace": "n"})
    assert [one["title"] for one in reply.json()["memories"]] == ["before"]
    assert node.stop() == 0
    assert not control.exists()


def test_sigterm_lets_a_request_in_flight_finish_and_refuses_new_ones(make_node: MakeNode):
    node = make_node().start()
    with half_a_request(node) as connection:
        os.kill(node.pid, signal.SIGTERM)
        wait_for(lambda: refuses(node), "new connections to be refused")
        connection.sendall(BODY[10:])
        answer = connection.recv(100)
    assert answer.startswith(b"HTTP/1.1 201")
    assert node.wait(EXIT_SECONDS) == 0
    node.close()
    assert faults_of(node.db) == []
    node.start()
    assert titles(node) == {"slow"}


def test_a_second_sigterm_does_not_wait_for_clients(make_node: MakeNode):
    node = make_node(None, "--shutdown-grace-secs", "600").start()
    store_one(node, "kept")
    with half_a_request(node):
        os.kill(node.pid, signal.SIGTERM)
        wait_for(lambda: refuses(node), "new connections to be refused")
        assert node.wait(1.0) is None, "the first SIGTERM waits for the client"
        os.kill(node.pid, signal.SIGTERM)
        assert node.wait(EXIT_SECONDS) == 0
    assert faults_of(node.db) == []


def test_a_client_that_never_ends_is_cut_off_after_the_grace_period(make_node: MakeNode):
    node = make_node(None, "--shutdown-grace-secs", "1").start()
    store_one(node, "kept")
    with half_a_request(node):
        assert node.stop(EXIT_SECONDS) == 0
    assert faults_of(node.db) == []
