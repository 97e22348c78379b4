"""Reading, listing, changing, promoting, deleting and bulk storing over a real store."""

import pytest

from app.api.options import ApiOptions
from app.api.schemas.memories import row_class
from app.domain import errors

ALICE = {"X-Agent-Id": "alice"}
BOB = {"X-Agent-Id": "bob"}
MEMORIES = "/api/v1/memories"


async def stored(api, title="Coffee", headers=ALICE, **body):
    body = {"title": title, "content": f"about {title}", **body}
    reply = await api.post(MEMORIES, json=body, headers=headers)
    assert reply.status_code == 201, reply.text
    return reply.json()


def refusal(reply):
    return reply.status_code, reply.json()["error"]


async def titles(api, headers=ALICE, **params):
    reply = await api.get(MEMORIES, params=params, headers=headers)
    assert reply.status_code == 200, reply.text
    return [memory["title"] for memory in reply.json()["memories"]]


# -- reading -----------------------------------------------------------------------------------


async def test_get_answers_the_memory_wrapped_and_spread_with_links_and_its_version(api):
    body = await stored(api)
    reply = await api.get(f"{MEMORIES}/{body['id']}", headers=ALICE)

    answer = reply.json()
    assert answer["memory"] == body["memory"]
    assert {key: answer[key] for key in body["memory"]} == body["memory"]
    assert answer["links"] == []
    assert reply.headers["etag"] == '"1"'


async def test_a_unique_prefix_is_as_good_as_the_id(api):
    body = await stored(api)

    found = await api.get(f"{MEMORIES}/{body['id'][:8]}", headers=ALICE)
    assert found.json()["id"] == body["id"]
    changed = await api.put(f"{MEMORIES}/{body['id'][:8]}", json={"priority": 1}, headers=ALICE)
    assert changed.json()["id"] == body["id"]


async def test_an_ambiguous_prefix_lists_what_it_fits(api):
    ids = sorted([(await stored(api, f"t{number}"))["id"] for number in range(17)])
    twice = next(
        prefix for prefix in "0123456789abcdef" if sum(one.startswith(prefix) for one in ids) > 1
    )
    fitting = [one for one in ids if one.startswith(twice)]
    reply = await api.get(f"{MEMORIES}/{twice}", headers=ALICE)

    listing = "\n".join(fitting)
    text = f"ambiguous ID prefix '{twice}': {len(fitting)} matches\n{listing}"
    assert refusal(reply) == (400, text)


@pytest.mark.parametrize("method", ["get", "put", "delete", "promote"])
async def test_what_the_caller_cannot_see_is_not_there(api, method):
    body = await stored(api)
    for memory_id in (body["id"], "00000000-0000-4000-8000-000000000000"):
        url = f"{MEMORIES}/{memory_id}"
        reply = await {
            "get": lambda url=url: api.get(url, headers=BOB),
            "put": lambda url=url: api.put(url, json={"priority": 1}, headers=BOB),
            "delete": lambda url=url: api.delete(url, headers=BOB),
            "promote": lambda url=url: api.post(f"{url}/promote", headers=BOB),
        }[method]()

        assert refusal(reply) == (404, "not found")
        assert "owner" not in reply.json()


@pytest.mark.parametrize("method", ["put", "delete", "promote"])
async def test_what_the_caller_sees_but_does_not_own_it_cannot_change(api, method):
    body = await stored(api, scope="collective")
    url = f"{MEMORIES}/{body['id']}"
    reply = await {
        "put": lambda: api.put(url, json={"priority": 1}, headers=BOB),
        "delete": lambda: api.delete(url, headers=BOB),
        "promote": lambda: api.post(f"{url}/promote", headers=BOB),
    }[method]()

    assert refusal(reply) == (403, "caller does not own this memory")
    assert (reply.json()["owner"], reply.json()["caller"]) == ("alice", "bob")


async def test_the_addressee_of_a_message_may_read_and_delete_it(api):
    body = await stored(api, metadata={"target_agent_id": "bob"})
    url = f"{MEMORIES}/{body['id']}"

    assert (await api.get(url, headers=BOB)).status_code == 200
    assert (await api.put(url, json={"priority": 1}, headers=BOB)).status_code == 403
    assert (await api.delete(url, headers=BOB)).status_code == 200


async def test_an_id_that_can_be_none_is_a_400(api):
    assert refusal(await api.get(f"{MEMORIES}/a..b")) == (400, "id contains invalid characters")


# -- listing -----------------------------------------------------------------------------------


async def test_lists_go_by_priority_then_recency_and_page_by_cursor_and_offset(api):
    for title, priority in (("a", 1), ("b", 9), ("c", 5), ("d", 5)):
        await stored(api, title, priority=priority)
    first = (await api.get(MEMORIES, params={"limit": 2}, headers=ALICE)).json()
    second = await titles(api, limit=2, cursor=first["next_cursor"])

    assert [row["title"] for row in first["memories"]] == ["b", "d"]
    assert (first["count"], first["total"]) == (2, 4)
    assert second == ["c", "a"]
    assert await titles(api, limit=2, offset=2) == ["c", "a"]
    last = (await api.get(MEMORIES, params={"limit": 4}, headers=ALICE)).json()
    assert last["next_cursor"] is None


async def test_rows_of_others_do_not_shorten_a_page(api):
    for number in range(4):
        await stored(api, f"alice {number}", priority=1)
        await stored(api, f"bob {number}", headers=BOB, priority=9)
    page = (await api.get(MEMORIES, params={"limit": 3}, headers=ALICE)).json()

    assert (page["count"], page["total"]) == (3, 4)
    assert all(row["title"].startswith("alice") for row in page["memories"])


async def test_every_filter_narrows_the_list(api, clock):
    await stored(api, "old", namespace="a", tier="long", tags=["x"], priority=2)
    clock.advance(days=1)
    middle = clock.now().isoformat()
    clock.advance(days=1)
    await stored(api, "new", namespace="a/b", tier="short", tags=["x", "y"], priority=8)
    await stored(api, "theirs", headers=BOB, scope="team")

    assert await titles(api, namespace="a") == ["old"]
    assert await titles(api, tier="short") == ["new"]
    assert await titles(api, min_priority=8) == ["new"]
    assert await titles(api, since=middle) == ["new", "theirs"]
    assert await titles(api, until=middle) == ["old"]
    assert await titles(api, tags="x") == ["new", "old"]
    assert await titles(api, agent_id="bob") == ["theirs"]
    assert await titles(api, limit=0) == []


async def test_commas_separate_tags_unless_a_tag_has_them(api):
    await stored(api, "both", tags=["x", "y"])
    await stored(api, "one", tags=["x"])

    assert await titles(api, tags="x,y") == ["both"]
    await stored(api, "literal", tags=["x,y"])
    assert await titles(api, tags="x,y") == ["literal"]


@pytest.mark.parametrize(
    "params",
    [
        {"since": "yesterday"},
        {"until": "2026-13-01T00:00:00Z"},
        {"tier": "huge"},
        {"limit": "many"},
        {"limit": "-1"},
        {"offset": "-1"},
        {"cursor": "?"},
        {"format": "xml"},
        {"tags": "a\x00"},
    ],
)
async def test_a_malformed_filter_is_a_400(api, params):
    reply = await api.get(MEMORIES, params=params)

    assert reply.status_code == 400
    assert reply.json()["error"]


async def test_a_malformed_owner_filter_says_so(api):
    reply = await api.get(MEMORIES, params={"agent_id": "a b"})

    assert reply.status_code == 400
    assert reply.json()["error"].startswith("invalid agent_id filter: ")


async def test_numbers_beyond_any_column_are_no_fault(api):
    for name in ("limit", "offset", "min_priority"):
        assert (await api.get(MEMORIES, params={name: 10**30})).status_code == 200


async def test_a_page_is_cut_at_the_operators_size(api, make_api):
    small = await make_api(ApiOptions(page_max=2))
    for number in range(3):
        await stored(api, f"t{number}")

    assert len(await titles(small, limit=50)) == 2


async def test_a_list_can_be_a_table(api):
    body = await stored(api, tags=["a", "b"], content="one|two")
    reply = await api.get(MEMORIES, params={"format": "toon_compact"}, headers=ALICE)

    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.text.splitlines() == [
        "count:1",
        "memories[id|title|tier|namespace|priority|score|tags|agent_id]:",
        f"{body['id']}|Coffee|mid|global|5||a,b|alice",
    ]


# -- changing ----------------------------------------------------------------------------------


async def test_a_change_answers_the_bare_memory_and_leaves_the_rest_alone(api):
    body = await stored(api, tags=["kept"], metadata={"topic": "drinks"})
    reply = await api.put(
        f"{MEMORIES}/{body['id']}", json={"content": "new", "priority": None}, headers=ALICE
    )

    memory = reply.json()
    assert memory.keys() == body["memory"].keys()
    assert (memory["content"], memory["priority"], memory["tags"]) == ("new", 5, ["kept"])
    assert memory["metadata"] == {"topic": "drinks", "agent_id": "alice"}
    assert (memory["version"], reply.headers["etag"]) == (2, '"2"')
    assert memory["updated_at"] > memory["created_at"]


@pytest.mark.parametrize("header", ["1", '"1"', "*"])
async def test_the_expected_version_may_be_bare_or_quoted(api, header):
    body = await stored(api)
    reply = await api.put(
        f"{MEMORIES}/{body['id']}", json={"priority": 1}, headers={**ALICE, "If-Match": header}
    )

    assert reply.json()["version"] == 2


async def test_a_stale_version_changes_nothing_and_tells_the_current_one(api):
    body = await stored(api)
    url = f"{MEMORIES}/{body['id']}"
    await api.put(url, json={"priority": 1}, headers=ALICE)
    reply = await api.put(url, json={"priority": 9}, headers={**ALICE, "If-Match": '"1"'})

    assert reply.status_code == 409
    told = reply.json()
    assert (told["status"], told["id"]) == ("conflict", body["id"])
    assert (told["expected_version"], told["current_version"]) == (1, 2)
    assert (await api.get(url, headers=ALICE)).json()["priority"] == 1


async def test_an_unreadable_version_is_a_400(api):
    body = await stored(api)
    reply = await api.put(
        f"{MEMORIES}/{body['id']}", json={"priority": 1}, headers={**ALICE, "If-Match": "abc"}
    )

    assert refusal(reply) == (400, "invalid If-Match: abc")


async def test_the_tier_never_falls_and_long_does_not_expire(api):
    body = await stored(api, tier="short")
    url = f"{MEMORIES}/{body['id']}"
    raised = (await api.put(url, json={"tier": "long"}, headers=ALICE)).json()
    lowered = (await api.put(url, json={"tier": "mid"}, headers=ALICE)).json()

    assert raised["tier"] == lowered["tier"] == "long"
    assert "expires_at" not in raised


@pytest.mark.parametrize("never", ["", "never"])
async def test_an_expiry_can_be_cleared(api, clock, never):
    body = await stored(api)
    url = f"{MEMORIES}/{body['id']}"
    assert (
        "expires_at" not in (await api.put(url, json={"expires_at": never}, headers=ALICE)).json()
    )
    clock.advance(days=365)
    assert (await api.get(url, headers=ALICE)).status_code == 200


async def test_an_expiry_may_be_set_in_any_offset_even_to_the_past(api):
    body = await stored(api)
    url = f"{MEMORIES}/{body['id']}"
    later = await api.put(url, json={"expires_at": "2099-01-01T01:00:00+01:00"}, headers=ALICE)
    gone = await api.put(url, json={"expires_at": "2020-01-01T00:00:00Z"}, headers=ALICE)

    assert later.json()["expires_at"] == "2099-01-01T00:00:00.000000+00:00"
    assert gone.status_code == 200
    assert (await api.get(url, headers=ALICE)).status_code == 404


async def test_metadata_is_replaced_or_merged_and_keeps_its_owner(api):
    body = await stored(api, metadata={"a": 1, "b": 2})
    url = f"{MEMORIES}/{body['id']}"
    new = {"metadata": {"b": 3, "agent_id": "bob"}}
    merged = await api.put(url, params={"merge_metadata": "true"}, json=new, headers=ALICE)
    replaced = await api.put(url, json=new, headers=ALICE)

    assert merged.json()["metadata"] == {"a": 1, "b": 3, "agent_id": "alice"}
    assert replaced.json()["metadata"] == {"b": 3, "agent_id": "alice"}


async def test_a_new_title_must_be_free(api):
    first = await stored(api, "first")
    second = await stored(api, "second")
    url = f"{MEMORIES}/{second['id']}"
    reply = await api.put(url, json={"title": "first"}, headers=ALICE)
    moved = await api.put(url, json={"title": "first", "namespace": "n"}, headers=ALICE)

    text = f"title 'first' already exists in namespace 'global' (memory {first['id']})"
    assert refusal(reply) == (409, text)
    assert (moved.json()["title"], moved.json()["namespace"]) == ("first", "n")


async def test_a_claim_in_an_update_has_its_own_refusal(api):
    body = await stored(api)
    reply = await api.put(f"{MEMORIES}/{body['id']}", json={"agent_id": "bob"}, headers=ALICE)

    assert refusal(reply) == (
        403,
        (
            'invalid agent_id: agent_id_body_header_mismatch: body-supplied agent_id "bob"'
            ' disagrees with authenticated header-resolved id "alice"'
        ),
    )
    assert reply.json()["message"] == "body.agent_id must match the X-Agent-Id header"


async def test_a_promoted_memory_stays_for_good(api, clock):
    body = await stored(api, tier="short")
    reply = await api.post(f"{MEMORIES}/{body['id']}/promote", headers=ALICE)

    assert reply.json() == {"promoted": True, "id": body["id"], "tier": "long"}
    clock.advance(days=365)
    assert (await api.get(f"{MEMORIES}/{body['id']}", headers=ALICE)).json()["version"] == 2


# -- deleting ----------------------------------------------------------------------------------


async def test_a_deleted_memory_is_in_the_archive_and_can_come_back(api):
    body = await stored(api)
    url = f"{MEMORIES}/{body['id']}"
    reply = await api.delete(url, headers=ALICE)

    assert reply.json() == {"deleted": True, "archived": True}
    assert (await api.get(url, headers=ALICE)).status_code == 404
    assert (await api.delete(url, headers=ALICE)).status_code == 404
    restored = await api.post(f"/api/v1/archive/{body['id']}/restore", headers=ALICE)
    assert restored.json() == {"restored": True, "id": body["id"]}


async def test_a_purge_leaves_nothing_behind(api):
    body = await stored(api)
    reply = await api.delete(f"{MEMORIES}/{body['id']}", params={"purge": "true"}, headers=ALICE)

    assert reply.json() == {"deleted": True, "archived": False, "purged": True}
    restored = await api.post(f"/api/v1/archive/{body['id']}/restore", headers=ALICE)
    assert restored.status_code == 404


async def test_a_title_is_free_after_a_delete(api):
    body = await stored(api)
    await api.delete(f"{MEMORIES}/{body['id']}", headers=ALICE)

    assert (await stored(api))["id"] != body["id"]


# -- bulk --------------------------------------------------------------------------------------


async def test_a_bulk_store_tells_of_each_row_and_merges_repeated_titles(api):
    await stored(api, "bob's", headers=BOB)
    rows = [
        {"title": "a", "content": "1", "agent_id": "mallory", "scope": "team"},
        {"title": "a", "content": "2"},
        {"title": "", "content": "3"},
        {"title": "bob's", "content": "4"},
        {"title": "a", "content": "5", "on_conflict": "error"},
    ]
    reply = await api.post(f"{MEMORIES}/bulk", json=rows, headers=ALICE)

    body = reply.json()
    assert reply.status_code == 200
    assert [row["status"] for row in body["results"]] == [
        *("created", "updated", "failed", "failed", "failed"),
    ]
    assert body["created"] == 2
    assert body["ids"] == [body["results"][0]["id"], body["results"][1]["id"]]
    assert body["errors"] == [
        "validation failed: row 2: title cannot be empty",
        "forbidden: row 3: caller does not own this memory",
        (
            "conflict: already exists: row 4: memory with title 'a' already exists in namespace"
            " 'global'"
        ),
    ]
    assert [row.get("code") for row in body["results"][2:]] == ["INVALID", "NOT_OWNER", "CONFLICT"]
    memory = (await api.get(f"{MEMORIES}/{body['ids'][0]}", headers=ALICE)).json()
    assert (memory["content"], memory["metadata"]["agent_id"]) == ("2", "alice")


async def test_a_bulk_body_may_be_wrapped(api):
    rows = {"memories": [{"title": "a", "content": "1"}]}

    assert (await api.post(f"{MEMORIES}/bulk", json=rows)).json()["created"] == 1


async def test_a_bulk_of_more_than_a_thousand_rows_is_refused(api):
    rows = [{"title": f"t{number}", "content": "c"} for number in range(1_001)]
    reply = await api.post(f"{MEMORIES}/bulk", json=rows)

    assert refusal(reply) == (400, "bulk operations limited to 1000 items")


async def test_a_bulk_row_of_the_wrong_shape_is_a_422(api):
    reply = await api.post(f"{MEMORIES}/bulk", json=[{"title": "a"}])

    assert reply.status_code == 422
    assert reply.json()["fields"]


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (errors.QuotaExceededError("x"), "quota exceeded"),
        (errors.StoreFullError("x"), "replication unavailable"),
        (errors.AiMemoryError("x"), "internal error"),
        (errors.NotFoundError("x"), "not found"),
    ],
)
def test_a_failed_row_has_the_bare_word_of_its_class(error, word):
    assert row_class(error) == word
