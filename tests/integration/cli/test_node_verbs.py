"""The verbs about the node and its store, on a running node."""

import json

import pytest


def test_namespaces_and_stats_count_what_was_stored(cli):
    for number in range(3):
        cli.store(f"counted {number}", f"number {number}", "-n", "counted", "-t", "long")
    rows = cli("namespaces", "--json").json["namespaces"]
    assert {"namespace": "counted", "count": 3} in rows
    stats = cli("stats", "--json").json
    assert {"namespace": "counted", "count": 3} in stats["by_namespace"]
    assert stats["db_size_bytes"] > 0
    assert "tier long" in cli("stats").out


def test_gc_says_how_many_it_collected(cli):
    assert isinstance(cli("gc", "--json").json["expired_deleted"], int)
    assert cli("gc").out.endswith("expired memories collected\n")


def test_agents_are_registered_and_listed_by_default(cli):
    registered = cli(
        *("agents", "register", "--agent-id", "ai:helper", "--agent-type", "ai:helper"),
        *("--capabilities", "read, write", "--json"),
    ).json
    assert registered["registered"] is True
    assert registered["capabilities"] == ["read", "write"]
    for words in (("agents", "--json"), ("agents", "list", "--json")):
        document = cli(*words).json
        assert [row["agent_id"] for row in document["agents"]] == ["ai:helper"]
        assert document["count"] == 1


def test_a_standard_is_set_with_a_partial_policy_shown_and_cleared(cli):
    memory = cli.store("rules", "how we work", "-n", "rules")
    words = ("namespace", "set-standard", "--namespace", "rules", "--id", memory["id"])
    said = cli(*words, "--governance", '{"delete": "approve"}').out
    assert said.startswith(f"set standard: namespace='rules' standard_id='{memory['id']}'")
    cli(*words, "--governance", '{"write": "registered"}')
    cli(*words, "--governance", '{"promote": "owner"}')
    shown = cli("namespace", "get-standard", "--namespace", "rules", "--json").json
    policy = shown["governance"]
    assert (policy["write"], policy["delete"], policy["promote"]) == (
        "registered",
        "approve",
        "owner",
    )
    chain = cli("namespace", "get-standard", "--namespace", "rules", "--inherit", "--json").json
    assert chain["chain"][-1] == "rules"
    clear = ("namespace", "clear-standard", "--namespace", "rules", "--json")
    assert cli(*clear).json["cleared"] is True
    assert cli(*clear).json["cleared"] is False


@pytest.mark.parametrize("text", ["{", "[1]", '"any"'])
def test_a_policy_that_is_no_object_is_refused(cli, text):
    words = ("namespace", "set-standard", "--namespace", "x", "--id", "y", "--governance", text)
    done = cli(*words)
    assert done.code == 1
    assert "--governance must be a valid JSON object" in done.err


def test_quota_and_capabilities_are_shown(cli):
    assert cli("quota-status", "--json").json["agent_id"] == "local"
    assert cli("capabilities").json["storage_backend"] == "sqlite"


def test_reembed_without_an_embedder_is_2(cli):
    done = cli("reembed", "--dry-run")
    assert (done.code, done.out) == (2, "")


def test_doctor_finds_a_running_node_well_and_knows_where_settings_come_from(cli, running):
    done = cli("doctor", "--scrub", "--json")
    document = done.json
    assert document["mode"] == "local"
    assert document["overall"] == "info"
    sections = {section["name"]: section for section in document["sections"]}
    assert {"Storage", "Index", "Recall", "Governance", "Sync", "Webhook", "Capabilities"} <= set(
        sections
    )
    facts = dict(sections["Configuration"]["facts"])
    assert facts["tier"].startswith("keyword (Config")
    assert dict(sections["Scrub"]["facts"])["damaged_states"] == "none"
    said = cli("doctor").out
    assert "[INFO] Storage" in said
    assert "[N/A] Sync" in said


def test_doctor_asks_a_node_over_http_and_a_silent_one_is_critical(cli, running):
    document = cli("doctor", "--remote", running.url, "--json").json
    assert (document["mode"], document["overall"]) == ("remote", "info")
    silent = cli("doctor", "--remote", "http://127.0.0.1:9", "--json")
    assert silent.code == 2
    assert json.loads(silent.out)["overall"] == "critical"


def test_a_second_serve_on_the_database_is_75_and_on_the_port_98(cli, running, tmp_path):
    second = cli("serve", "--port", "0")
    assert second.code == 75
    assert f"serve (process {running.pid})" in second.err
    taken = cli("--db", str(tmp_path / "other.db"), "serve", "--port", str(running.port))
    assert taken.code == 98
    assert "in use" in taken.err
    assert not (tmp_path / "other.db").exists()


def test_serving_strangers_without_a_key_is_78(cli, tmp_path):
    refused = cli("--db", str(tmp_path / "open.db"), "serve", "--host", "0.0.0.0", "--port", "0")
    assert refused.code == 78
    assert "api_key" in refused.err


def test_restore_is_refused_while_a_node_runs(cli, tmp_path):
    cli.store("kept", "stays", "-n", "restore")
    assert cli("backup", "--to", str(tmp_path)).code == 0
    refused = cli("restore", "--from", str(tmp_path))
    assert refused.code == 75
    assert cli("list", "-n", "restore", "--json").json["count"] == 1
