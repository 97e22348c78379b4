"""The verbs of memories, each a process that talks to a running node over its control socket."""

import resource
from pathlib import Path

import httpx
import pytest

STORE_SECONDS_MAX = 0.7


def test_store_answers_with_the_memory_and_text_says_where_it_is(cli):
    memory = cli.store("a title", "some content", "-n", "store/json", "--tags", "x, y")
    assert memory["title"] == "a title"
    assert memory["tags"] == ["x", "y"]
    assert memory["source"] == "cli"
    assert memory["tier"] == "mid"
    assert memory["metadata"]["agent_id"] == "local"
    said = cli("store", "-T", "t", "-c", "other", "-n", "store/text", "-t", "long").out
    assert said.startswith("stored: ")
    assert said.endswith(" [long] (ns=store/text)\n")


def test_a_second_store_of_the_same_name_replaces_the_first(cli):
    first = cli.store("same", "one", "-n", "upsert", "-t", "long")
    second = cli.store("same", "two", "-n", "upsert", "-t", "short")
    assert second["id"] == first["id"]
    assert second["content"] == "two"
    assert second["tier"] == "long"


def test_store_reads_every_option(cli):
    memory = cli.store(
        *("all options", "text"),
        *("-n", "options", "-p", "9", "--confidence", "0.5", "--scope", "team", "--kind", "claim"),
        *("--source-uri", "doc:book", "--source-span", '{"start": 1, "end": 4}'),
        *("--citations", '[{"uri": "doc:book", "accessed_at": "2026-01-01T00:00:00Z"}]'),
        *("--ttl-secs", "3600"),
    )
    assert (memory["priority"], memory["confidence"]) == (9, 0.5)
    assert memory["metadata"]["scope"] == "team"
    assert memory["memory_kind"] == "claim"
    assert memory["source_uri"] == "doc:book"
    assert memory["source_span"] == {"start": 1, "end": 4}
    assert memory["citations"][0]["uri"] == "doc:book"
    assert memory["expires_at"] > memory["created_at"]


def test_content_comes_from_standard_input(cli):
    stored = cli("store", "-T", "piped", "-c", "-", "-n", "piped", "--json", stdin="línea\nzwei")
    assert stored.json["content"] == "línea\nzwei"


def test_the_namespace_is_the_folders_when_none_is_given(cli, tmp_path: Path):
    folder = tmp_path / "my project"
    folder.mkdir()
    stored = cli("store", "-T", "where", "-c", "here", "--json", cwd=folder)
    assert stored.json["namespace"] == "my-project"


def test_global_options_stand_before_or_after_the_verb(cli):
    before = cli("--agent-id", "ann", "--json", "store", "-T", "b", "-c", "b b", "-n", "who").json
    after = cli.store("a", "a a", "-n", "who", "--agent-id", "ann")
    assert before["metadata"]["agent_id"] == after["metadata"]["agent_id"] == "ann"


def test_on_search_and_list_the_agent_id_behind_the_verb_is_a_filter(cli):
    cli.store("hers", "kumquat one", "-n", "owners", "--agent-id", "ann")
    cli.store("mine", "kumquat two", "-n", "owners")
    listed = cli("list", "-n", "owners", "--agent-id", "ann", "--json").json
    assert [memory["title"] for memory in listed["memories"]] == ["hers"]
    found = cli("search", "kumquat", "-n", "owners", "--agent-id", "ann", "--json").json
    assert [memory["title"] for memory in found["results"]] == ["hers"]


def test_what_a_command_stores_http_callers_of_the_node_recall(cli, running):
    cli.store("Deploy day", "Deploys run on Fridays", "-n", "ops")
    reply = httpx.get(
        f"{running.url}/api/v1/recall", params={"context": "deploys", "namespace": "ops"}
    )
    assert [memory["title"] for memory in reply.json()["memories"]] == ["Deploy day"]


def test_recall_names_its_mode_and_scores(cli):
    cli.store("tulips", "Tulips flower in April", "-n", "garden")
    document = cli("recall", "when do tulips flower?", "-n", "garden", "--json").json
    assert set(document) == {"memories", "count", "mode", "tokens_used"}
    assert document["mode"] == "keyword"
    assert isinstance(document["memories"][0]["score"], float)
    said = cli("recall", "tulips", "-n", "garden").out
    assert "tulips (mid, garden)" in said
    assert "Tulips flower in April" in said


def test_recall_keeps_to_a_budget_and_says_so(cli):
    for number in range(3):
        cli.store(f"pear {number}", f"pear {number} " * 40, "-n", "budget")
    document = cli("recall", "pear", "-n", "budget", "--budget-tokens", "100", "--json").json
    assert document["budget_tokens"] == 100
    assert document["count"] < 3
    assert document["meta"]["memories_dropped"] >= 1


@pytest.mark.parametrize("verb", [("recall", "zzz"), ("search", "zzz"), ("list",)])
def test_an_empty_list_is_a_note_and_no_failure(cli, verb):
    done = cli(*verb, "-n", "nothing/here")
    assert (done.code, done.out) == (0, "")
    assert done.err == "no memories found\n"


def test_search_wants_every_word_and_list_pages(cli):
    for title in ("red apple", "green apple", "red car"):
        cli.store(title, f"{title} text", "-n", "words")
    found = cli("search", "red apple", "-n", "words", "--json").json
    assert [memory["title"] for memory in found["results"]] == ["red apple"]
    assert set(found) == {"results", "count"}
    first = cli("list", "-n", "words", "--limit", "2", "--json").json
    rest = cli("list", "-n", "words", "--limit", "2", "--offset", "2", "--json").json
    titles = {memory["title"] for page in (first, rest) for memory in page["memories"]}
    assert (first["count"], rest["count"], len(titles)) == (2, 1, 3)


def test_a_prefix_of_an_id_names_a_memory(cli):
    memory = cli.store("prefixed", "by its prefix", "-n", "prefix")
    short = memory["id"][:8]
    assert cli("get", short, "--json").json == {"memory": memory, "links": []}
    assert cli("update", short, "-T", "renamed", "--tags", "").out == (
        f"updated: {memory['id']} [renamed]\n"
    )
    assert cli("promote", short, "--json").json == {
        "promoted": True,
        "id": memory["id"],
        "tier": "long",
    }
    gone = cli("delete", short, "--json").json
    assert (gone["deleted"], gone["id"]) == (True, memory["id"])


@pytest.mark.parametrize(
    "verb", [("get",), ("update", "-T", "x"), ("delete",), ("promote",)], ids=lambda verb: verb[0]
)
def test_what_is_not_there_is_1_and_not_found(cli, verb):
    done = cli(verb[0], "no-such-id", *verb[1:])
    assert (done.code, done.out) == (1, "")
    assert "not found: no-such-id" in done.err


def test_update_changes_only_what_is_given_and_clears_an_expiry(cli):
    memory = cli.store("expiring", "soon", "-n", "expiry")
    changed = cli("update", memory["id"], "--expires-at", "", "--json").json
    assert "expires_at" not in changed
    assert changed["content"] == memory["content"]
    assert changed["version"] == memory["version"] + 1
    assert cli("update", memory["id"]).code == 1


def test_promote_to_a_namespace_copies_up_and_links_back(cli):
    memory = cli.store("shared", "worth sharing", "-n", "team/unit")
    document = cli("promote", memory["id"], "--to-namespace", "team", "--json").json
    assert document["mode"] == "vertical"
    assert document["source_id"] == memory["id"]
    clone = cli("get", document["clone_id"], "--json").json
    assert clone["memory"]["namespace"] == "team"
    assert [(link["target_id"], link["relation"]) for link in clone["links"]] == [
        (memory["id"], "derived_from")
    ]
    refused = cli("promote", memory["id"], "--to-namespace", "elsewhere")
    assert refused.code == 1
    assert "not an ancestor" in refused.err


def test_forget_archives_and_the_archive_gives_back_and_is_purged(cli):
    memory = cli.store("mistake", "a quince mistake", "-n", "forgetting")
    assert cli("forget").code == 1
    assert cli("forget", "-n", "forgetting", "-p", "quince", "--json").json == {"deleted": 1}
    listed = cli("archive", "list", "-n", "forgetting", "--json").json
    assert [row["id"] for row in listed["archived"]] == [memory["id"]]
    assert cli("archive", "stats", "--json").json["archived_total"] >= 1
    assert cli("archive", "restore", memory["id"], "--json").json == {
        "restored": True,
        "id": memory["id"],
    }
    assert cli("archive", "restore", memory["id"]).code == 1
    assert cli("forget", "-n", "forgetting").out == "forgot 1 memories\n"
    assert cli("archive", "purge", "--json").json["purged"] >= 1
    assert cli("archive", "list", "-n", "forgetting", "--json").json["count"] == 0


def test_link_relates_two_memories_and_refuses_an_unknown_relation(cli):
    one, two = (cli.store(title, f"{title} x", "-n", "links") for title in ("one", "two"))
    assert cli("link", one["id"][:8], two["id"], "-r", "supersedes", "--json").json["linked"]
    links = cli("get", one["id"], "--json").json["links"]
    assert [(link["target_id"], link["relation"]) for link in links] == [(two["id"], "supersedes")]
    refused = cli("link", one["id"], two["id"], "-r", "likes")
    assert refused.code == 1
    assert refused.err


def test_a_refused_value_is_1_with_the_nodes_own_words(cli):
    done = cli("store", "-T", "x", "-c", "y", "-p", "11", "-n", "refused")
    assert (done.code, done.out) == (1, "")
    assert done.err == "ai-memory: priority must be between 1 and 10 (got 11)\n"
    assert "use short, mid, long" in cli("store", "-T", "x", "-c", "y", "-t", "ever").err


def test_a_store_on_a_running_node_is_quick(cli):
    """Counted in processor time, because the machine that tests is shared; best of several."""
    cli.store("warm", "modules compiled", "-n", "quick")
    seconds = []
    for number in range(4):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        cli.store(f"q{number}", f"quick {number}", "-n", "quick")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < STORE_SECONDS_MAX
