"""`/entities` over HTTP."""

from pathlib import Path

from app.services.caller import Caller
from app.services.entities import NewEntity
from app.services.touches import Extensions, Touches
from tests.integration.api.conftest import (
    Api,
    MovableClock,
    make_services,
    open_store,
)
from tests.integration.api.test_links import ALICE, BOB, stored

ADA = {"canonical_name": "Ada Lovelace", "namespace": "people"}


async def register(api: Api, agent=None, **body):
    return await api.post("/api/v1/entities", json=body, headers=agent or {})


async def by_alias(api: Api, agent=None, **query):
    answer = await api.get("/api/v1/entities/by_alias", params=query, headers=agent or {})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_an_entity_is_a_long_memory_with_all_its_names(api: Api):
    answer = await register(api, **ADA, aliases=["Countess", " AAL ", "", "Countess"])

    assert answer.status_code == 201
    body = answer.json()
    assert body == {
        "entity_id": body["entity_id"],
        **ADA,
        "aliases": ["AAL", "Ada Lovelace", "Countess"],
        "created": True,
    }
    memory = (await api.get(f"/api/v1/memories/{body['entity_id']}")).json()["memory"]
    assert (memory["tier"], memory["priority"], memory["tags"]) == ("long", 7, ["entity"])
    assert memory["title"] == memory["content"] == "Ada Lovelace"
    assert memory["metadata"] == {"agent_id": "local", "kind": "entity"}
    assert "expires_at" not in memory


async def test_registering_again_adds_the_names_that_are_new(api: Api, clock: MovableClock):
    first = (await register(api, **ADA, aliases=["Countess"])).json()
    clock.advance(minutes=1)

    again = await register(api, **ADA, aliases=["AAL", "Countess"])

    assert again.status_code == 200
    assert again.json() == {
        **first,
        "aliases": ["Ada Lovelace", "Countess", "AAL"],
        "created": False,
    }


async def test_any_name_finds_the_entity(api: Api):
    entity = (await register(api, **ADA, aliases=["AAL"])).json()

    for name in ("AAL", "  AAL ", "Ada Lovelace"):
        found = await by_alias(api, alias=name, namespace="people")
        assert found == {
            "found": True,
            "entity_id": entity["entity_id"],
            **ADA,
            "aliases": ["AAL", "Ada Lovelace"],
        }


async def test_what_nobody_is_called_is_not_found(api: Api):
    await register(api, **ADA)

    for query in ({"alias": "Babbage"}, {"alias": "Ada Lovelace", "namespace": "places"}):
        assert await by_alias(api, **query) == {
            "found": False,
            "entity_id": None,
            "canonical_name": None,
            "namespace": None,
            "aliases": [],
        }
    blank = await api.get("/api/v1/entities/by_alias", params={"alias": "  "})
    assert blank.status_code == 400


async def test_without_a_namespace_the_newest_entity_wins(api: Api, clock: MovableClock):
    await register(api, canonical_name="Mercury", namespace="planets")
    clock.advance(minutes=1)
    await register(api, canonical_name="Mercury", namespace="elements")

    assert (await by_alias(api, alias="Mercury"))["namespace"] == "elements"


async def test_a_name_that_another_memory_has_is_409(api: Api):
    other = await stored(api, "Ada Lovelace", namespace="people")

    answer = await register(api, **ADA)

    assert answer.status_code == 409
    assert answer.json()["existing_id"] == other


async def test_the_owner_is_the_caller_and_a_claim_must_agree(api: Api):
    refused = await register(api, ALICE, **ADA, agent_id="ai:bob")
    claimed = await register(api, **ADA, agent_id="ai:bob")

    assert refused.status_code == 403
    assert refused.json()["error"] == (
        "agent_id body parameter does not match authenticated caller"
    )
    assert claimed.status_code == 201
    assert (await by_alias(api, BOB, alias="Ada Lovelace"))["found"] is True
    assert (await by_alias(api, ALICE, alias="Ada Lovelace"))["found"] is False


async def test_an_entity_that_the_caller_may_not_see_is_not_told_apart_from_another_memory(
    api: Api,
):
    await register(api, ALICE, **ADA, aliases=["secret name"])

    answer = await register(api, BOB, **ADA, aliases=["AAL"])

    assert answer.status_code == 409
    assert "existing_id" not in answer.json()
    assert "secret name" not in answer.text
    assert (await by_alias(api, ALICE, alias="AAL"))["found"] is False


async def test_an_entity_that_all_may_see_takes_names_from_all(api: Api):
    await register(api, ALICE, **ADA, metadata={"scope": "collective"})

    answer = await register(api, BOB, **ADA, aliases=["AAL"])

    assert (answer.status_code, answer.json()["created"]) == (200, False)
    assert (await by_alias(api, ALICE, alias="AAL"))["found"] is True


async def test_a_deleted_entity_is_found_no_more_and_can_be_registered_again(api: Api):
    first = (await register(api, **ADA)).json()
    await api.delete(f"/api/v1/memories/{first['entity_id']}")

    gone = await by_alias(api, alias="Ada Lovelace")
    again = await register(api, **ADA)

    assert gone["found"] is False
    assert (again.status_code, again.json()["created"]) == (201, True)
    assert (await by_alias(api, alias="Ada Lovelace"))["found"] is True


async def test_an_erased_entity_comes_back_under_a_new_id(api: Api):
    first = (await register(api, **ADA)).json()
    await api.delete(f"/api/v1/memories/{first['entity_id']}", params={"purge": "true"})

    again = await register(api, **ADA)

    assert again.status_code == 201
    assert again.json()["entity_id"] != first["entity_id"]


async def test_a_renamed_entity_keeps_its_row_when_its_old_name_is_registered(api: Api):
    first = (await register(api, **ADA)).json()
    await api.put(f"/api/v1/memories/{first['entity_id']}", json={"title": "Augusta Ada King"})

    again = await register(api, **ADA)

    assert again.status_code == 201
    assert again.json()["entity_id"] != first["entity_id"]
    kept = await api.get(f"/api/v1/memories/{first['entity_id']}")
    assert kept.json()["title"] == "Augusta Ada King"


async def test_two_nodes_that_register_one_entity_have_one_entity(
    api: Api, store, tmp_path: Path, clock: MovableClock
):
    other = open_store(tmp_path / "other.db", clock)
    elsewhere = make_services(other, clock, Touches(other, clock, Extensions()))
    await register(api, ALICE, **ADA, aliases=["AAL"])
    there = await make_other(elsewhere, ADA, ["Countess"])

    for origin, head in (await store.clock()).as_dict().items():
        await other.append_foreign(await store.log_after(origin, 0, head))

    found = await other.aliases_of(there)
    assert set(found) == {"Ada Lovelace", "AAL", "Countess"}
    await other.close()


async def make_other(services, body: dict[str, str], aliases: list[str]) -> str:
    """Register on another node, without a surface."""
    new = NewEntity(body["canonical_name"], body["namespace"], aliases)
    done = await services.entities.register(new, Caller("ai:alice"))
    assert isinstance(done.entity.entity_id, str)
    return done.entity.entity_id


async def test_values_that_no_memory_may_have_are_refused(api: Api):
    assert (await register(api, canonical_name=" ", namespace="people")).status_code == 400
    assert (await register(api, canonical_name="x", namespace="a b")).status_code == 400
    assert (await register(api, canonical_name="x")).status_code == 422
    many = [f"name {number}" for number in range(1_001)]
    assert (await register(api, **ADA, aliases=many)).status_code == 400
