"""`/archive`: list, archive, purge, restore, count, over a real store."""

import pytest

ALICE = {"X-Agent-Id": "alice"}
BOB = {"X-Agent-Id": "bob"}
ARCHIVE = "/api/v1/archive"
MEMORIES = "/api/v1/memories"
ROW_KEYS = {
    *("id", "tier", "namespace", "title", "content", "tags", "priority", "confidence", "source"),
    *("access_count", "created_at", "updated_at", "last_accessed_at", "expires_at"),
    *("archived_at", "archive_reason", "metadata"),
}


async def stored(api, title="Coffee", headers=ALICE, **body):
    body = {"title": title, "content": f"about {title}", **body}
    reply = await api.post(MEMORIES, json=body, headers=headers)
    assert reply.status_code == 201, reply.text
    return reply.json()


async def archived(api, headers=ALICE, **params):
    body = await stored(api, **params, headers=headers)
    reply = await api.post(ARCHIVE, json={"ids": [body["id"]]}, headers=headers)
    assert reply.json()["count"] == 1
    return body["id"]


def refusal(reply):
    return reply.status_code, reply.json()["error"]


async def test_archiving_moves_what_is_the_callers_and_tells_the_rest(api):
    own = await stored(api, "own")
    addressed = await stored(api, "to alice", headers=BOB, metadata={"target_agent_id": "alice"})
    others = await stored(api, "others", headers=BOB, scope="collective")
    ids = [own["id"], others["id"], "unknown", addressed["id"], own["id"]]
    reply = await api.post(ARCHIVE, json={"ids": ids, "reason": "spring"}, headers=ALICE)

    assert reply.json() == {
        "archived": [own["id"], addressed["id"]],
        "missing": [others["id"], "unknown"],
        "count": 2,
        "reason": "spring",
    }
    assert (await api.get(f"{MEMORIES}/{own['id']}", headers=ALICE)).status_code == 404
    again = await api.post(ARCHIVE, json={"ids": [own["id"]]}, headers=ALICE)
    assert (again.json()["missing"], again.json()["reason"]) == ([own["id"]], "archive")


async def test_a_bad_id_or_too_many_change_nothing(api):
    own = await stored(api)
    bad = await api.post(ARCHIVE, json={"ids": [own["id"], "a/b"]}, headers=ALICE)
    many = await api.post(ARCHIVE, json={"ids": [own["id"]] * 1_001}, headers=ALICE)

    assert refusal(bad) == (400, "invalid id a/b: id contains invalid characters")
    assert refusal(many) == (400, "archive limited to 1000 ids per request")
    assert (await api.get(f"{MEMORIES}/{own['id']}", headers=ALICE)).status_code == 200


async def test_the_list_shows_whole_rows_newest_first_with_their_nulls(api, clock):
    first = await archived(api, title="first", tier="long")
    clock.advance(seconds=1)
    second = await archived(api, title="second", namespace="n", headers=BOB)
    body = (await api.get(ARCHIVE)).json()

    assert [row["id"] for row in body["archived"]] == [second, first]
    assert all(row.keys() == ROW_KEYS for row in body["archived"])
    assert body["archived"][1]["expires_at"] is None
    assert body["archived"][1]["last_accessed_at"] is None
    assert (body["count"], body["total"], body["next_cursor"]) == (2, 2, None)
    narrowed = (await api.get(ARCHIVE, params={"namespace": "n"})).json()
    assert [row["id"] for row in narrowed["archived"]] == [second]


async def test_the_list_has_pages(api, clock):
    ids = []
    for number in range(5):
        ids.append(await archived(api, title=f"t{number}"))
        clock.advance(seconds=1)
    first = (await api.get(ARCHIVE, params={"limit": 2})).json()
    second = (await api.get(ARCHIVE, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    third = (await api.get(ARCHIVE, params={"limit": 2, "offset": 4})).json()

    pages = [row["id"] for page in (first, second, third) for row in page["archived"]]
    assert pages == ids[::-1]


@pytest.mark.parametrize("limit", ["0", "-1"])
async def test_a_limit_below_one_is_refused(api, limit):
    reply = await api.get(ARCHIVE, params={"limit": limit})
    assert refusal(reply) == (400, "limit must be >= 1")


@pytest.mark.parametrize("path", [ARCHIVE, f"{ARCHIVE}/stats"])
async def test_list_and_counts_are_for_admins(api, path):
    reply = await api.get(path, headers=ALICE)

    assert refusal(reply) == (403, "admin role required")
    assert "agent_ids" in reply.json()["hint"]


async def test_counts_go_by_namespace_most_first(api):
    for title, namespace in (("a", "x"), ("b", "y"), ("c", "y")):
        await archived(api, title=title, namespace=namespace)

    assert (await api.get(f"{ARCHIVE}/stats")).json() == {
        "archived_total": 3,
        "by_namespace": [
            {"namespace": "y", "count": 2},
            {"namespace": "x", "count": 1},
        ],
    }


# -- restoring ---------------------------------------------------------------------------------


async def test_a_restored_row_is_what_it_was(api):
    body = await stored(api, tags=["t"], tier="short", metadata={"k": 1})
    await api.post(ARCHIVE, json={"ids": [body["id"]]}, headers=ALICE)
    reply = await api.post(f"{ARCHIVE}/{body['id']}/restore", headers=ALICE)
    memory = (await api.get(f"{MEMORIES}/{body['id']}", headers=ALICE)).json()["memory"]

    assert reply.json() == {"restored": True, "id": body["id"]}
    changed = {"updated_at", "version"}
    assert {key: value for key, value in memory.items() if key not in changed} == {
        key: value for key, value in body["memory"].items() if key not in changed
    }
    assert (await api.get(ARCHIVE)).json()["count"] == 0


async def test_a_live_id_cannot_be_restored(api):
    body = await stored(api)

    reply = await api.post(f"{ARCHIVE}/{body['id']}/restore", headers=ALICE)
    assert refusal(reply) == (409, "memory is already live")


async def test_what_is_not_there_or_not_the_callers_cannot_be_restored(api):
    memory_id = await archived(api)
    for url, headers in ((f"{ARCHIVE}/{memory_id}/restore", BOB), (f"{ARCHIVE}/x/restore", ALICE)):
        assert refusal(await api.post(url, headers=headers)) == (404, "not found in archive")


async def test_a_title_taken_meanwhile_stays_with_its_new_holder(api):
    memory_id = await archived(api)
    holder = await stored(api)
    reply = await api.post(f"{ARCHIVE}/{memory_id}/restore", headers=ALICE)

    assert reply.status_code == 409
    assert reply.json()["existing_id"] == holder["id"]


async def test_a_row_that_expired_gets_a_new_life_when_it_is_restored(api, clock):
    body = await stored(api, tier="short")
    clock.advance(seconds=21_601)
    before_sweep = await api.post(f"{ARCHIVE}/{body['id']}/restore", headers=ALICE)
    assert before_sweep.status_code == 200
    assert (await api.get(f"{MEMORIES}/{body['id']}", headers=ALICE)).status_code == 200

    clock.advance(seconds=21_601)
    assert (await api.post("/api/v1/gc")).status_code == 200
    rows = (await api.get(ARCHIVE)).json()["archived"]
    assert [(row["id"], row["archive_reason"]) for row in rows] == [(body["id"], "ttl_expired")]
    after_sweep = await api.post(f"{ARCHIVE}/{body['id']}/restore", headers=ALICE)
    assert after_sweep.status_code == 200
    assert (await api.get(f"{MEMORIES}/{body['id']}", headers=ALICE)).status_code == 200


# -- purging -----------------------------------------------------------------------------------


async def test_a_caller_purges_its_own_rows_and_an_admin_everyones(api):
    own = await archived(api, title="own")
    others = await archived(api, title="others", headers=BOB)
    mine = await api.delete(ARCHIVE, headers=ALICE)

    assert mine.json() == {"purged": 1, "owner_scope": "caller"}
    assert [row["id"] for row in (await api.get(ARCHIVE)).json()["archived"]] == [others]
    assert (await api.delete(ARCHIVE)).json() == {"purged": 1, "owner_scope": "admin"}
    gone = await api.post(f"{ARCHIVE}/{own}/restore", headers=ALICE)
    assert gone.status_code == 404


async def test_a_purge_may_spare_what_is_young(api, clock):
    await archived(api, title="old")
    clock.advance(days=3)
    await archived(api, title="young")
    reply = await api.delete(ARCHIVE, params={"older_than_days": 2})

    assert reply.json()["purged"] == 1
    assert [row["title"] for row in (await api.get(ARCHIVE)).json()["archived"]] == ["young"]
    assert (await api.delete(ARCHIVE, params={"older_than_days": 10**12})).json()["purged"] == 0


async def test_a_negative_age_is_refused(api):
    reply = await api.delete(ARCHIVE, params={"older_than_days": -1})
    assert refusal(reply) == (400, "older_than_days must not be negative (got -1)")


async def test_a_purge_takes_rows_that_only_expired(api, clock):
    await stored(api, tier="short")
    clock.advance(days=1)
    await api.post("/api/v1/gc")

    assert (await api.delete(ARCHIVE)).json()["purged"] == 1
    assert (await api.get(ARCHIVE)).json()["count"] == 0
